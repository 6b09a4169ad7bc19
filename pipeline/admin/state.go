package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
)

// routeState is a pipeline's own state as far as it travels: cursors, the inbox, parked events as they are put there. A
// program elsewhere that takes events in exactly once needs it.
func (s *Server) routeState() {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"state"}}
	}
	onStore(s, Read, op("cursors", http.MethodGet, "/cursors/{pipeline}", "Places that a pipeline's source has committed"), cursors)
	marks := op("marks", http.MethodGet, "/marks/{pipeline}", "Inbox keys of a pipeline")
	marks.Responses = lineResponse[wire.Mark](s, "Keys in their order")
	onStore(s, Read, marks, listMarks)
	onStore(s, Admin, op("prune-marks", http.MethodPost, "/marks/prune", "Remove inbox keys"), pruneMarks)
	parking := op("park", http.MethodPost, "/poison/park", "Park events")
	parking.RequestBody = jsonBody[wire.ParkRequest](s)
	onStore(s, Admin, parking, park)
	onStore(s, Admin, op("set-parked", http.MethodPost, "/poison/state", "Move parked events to another state"), setParked)
}

type pipelineIn struct {
	OfStore
	Pipeline string `path:"pipeline"`
}

func cursors(ctx context.Context, st eventstore.Store, in *pipelineIn) (*Body[map[string]string], error) {
	m, err := st.Cursors(ctx, in.Pipeline)
	if m == nil {
		m = map[string]string{}
	}
	return body(m, err)
}

type marksIn struct {
	OfStore
	Pipeline string `path:"pipeline"`
	Prefix   string `query:"prefix" doc:"only keys that start so"`
}

func listMarks(ctx context.Context, st eventstore.Store, in *marksIn) (*Lines, error) {
	return list(func(l *lines) error {
		for m, err := range st.Marks(ctx, in.Pipeline, in.Prefix) {
			if err == nil {
				err = l.encode(wire.MarkOf(m))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

type pruneIn struct {
	OfStore
	Body wire.Prune
}

func pruneMarks(ctx context.Context, st eventstore.Store, in *pruneIn) (*Body[wire.Count], error) {
	var before time.Time
	if in.Body.Before != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, in.Body.Before); err != nil {
			return nil, badRequest("before: %w", err)
		}
	}
	n, err := st.PruneMarks(ctx, in.Body.Pipeline, in.Body.Prefix, before)
	return body(wire.Count{N: n}, err)
}

func park(ctx context.Context, st eventstore.Store, in *rawIn) (*Body[wire.Count], error) {
	var req wire.ParkRequest
	if err := decode(in.RawBody, &req); err != nil {
		return nil, err
	}
	entries := make([]poison.Entry, len(req.Entries))
	for i := range req.Entries {
		var err error
		if entries[i], err = req.Entries[i].Back(); err != nil {
			return nil, badRequest("entry %d: %w", i+1, err)
		}
	}
	return body(wire.Count{N: int64(len(entries))}, st.Park(ctx, entries...))
}

type stateIn struct {
	OfStore
	Body wire.StateRequest
}

func setParked(ctx context.Context, st eventstore.Store, in *stateIn) (*Body[wire.Count], error) {
	f, err := in.Body.Filter()
	if err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	if in.Body.Nothing() {
		return nil, errNothing
	}
	n, err := st.SetParked(ctx, f, in.Body.To)
	return body(wire.Count{N: n}, err)
}
