package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
)

func (s *Server) routePoison() {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"poison"}}
	}
	list := op("list-parked", http.MethodGet, "/poison", "Parked events")
	list.Responses = lineResponse[wire.Parked](s, "Parked events in the order of their ids")
	onStore(s, Read, list, listParked)
	edit := op("edit-parked", http.MethodPut, "/poison/{id}/payload", "Replace a parked event's payload")
	edit.RequestBody = &huma.RequestBody{
		Description: "the new payload, as it is",
		Content:     map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
	onStore(s, Admin, edit, editParked)
	edit.RequestBody.Required = false // a payload may be empty
	onStore(s, Read, op("count-parked", http.MethodPost, "/poison/count", "Count parked events"), countParked)

	// These wake the pipelines, so they need the daemon.
	retry := op("retry-parked", http.MethodPost, "/api/v1/stores/{store}/poison/retry", "Send parked events again")
	operate(s, Admin, retry, retryParked)
	drop := op("drop-parked", http.MethodPost, "/api/v1/stores/{store}/poison/drop", "Drop parked events")
	operate(s, Admin, drop, dropParked)
}

type listParkedIn struct {
	OfStore
	ID       []int64        `query:"id,explode" doc:"only these; may be repeated"`
	Pipeline string         `query:"pipeline"`
	Step     string         `query:"step"`
	Relay    string         `query:"relay"`
	Code     string         `query:"code"`
	Stream   string         `query:"stream" doc:"type/id"`
	State    []poison.State `query:"state,explode" doc:"parked, held, waiting or retrying; may be repeated"`
	Since    time.Time      `query:"since" doc:"only those that failed since"`
	Max      int            `query:"max" minimum:"0" doc:"at most so many; 0: all"`
}

func listParked(ctx context.Context, st eventstore.Store, in *listParkedIn) (*Lines, error) {
	f, err := (&wire.Selection{
		IDs: in.ID, Pipeline: in.Pipeline, Step: in.Step, Relay: in.Relay, Code: in.Code, Stream: in.Stream, States: in.State, Since: in.Since, Max: in.Max,
	}).Filter()
	if err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	return list(func(l *lines) error {
		for e, err := range st.ListParked(ctx, f) {
			if err == nil {
				err = l.encode(wire.ParkedOf(&e))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

type editParkedIn struct {
	OfStore
	ID      int64  `path:"id" doc:"its number"`
	RawBody []byte `contentType:"application/octet-stream"`
}

func editParked(ctx context.Context, st eventstore.Store, in *editParkedIn) (*Body[wire.Count], error) {
	return body(wire.Count{N: 1}, st.EditParked(ctx, in.ID, slices.Clone(in.RawBody)))
}

type selectionIn struct {
	OfStore
	Body wire.Selection
}

func countParked(ctx context.Context, st eventstore.Store, in *selectionIn) (*Body[wire.Count], error) {
	f, err := in.Body.Filter()
	if err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	n, oldest, err := st.CountParked(ctx, f)
	return body(wire.Count{N: n, Oldest: oldest}, err)
}

var errNothing = badRequest("nothing is selected: name ids, a pipeline, a code …, or set all")

// selected gives the store and the filter. A selection of nothing is a mistake, not everything.
func (d *Daemon) selected(in *selectionIn) (eventstore.Store, poison.Filter, error) {
	st, err := d.store(in.Store)
	if err != nil {
		return nil, poison.Filter{}, err
	}
	f, err := in.Body.Filter()
	if err != nil {
		return nil, f, &wire.RequestError{Err: err}
	}
	if in.Body.Nothing() {
		return nil, f, errNothing
	}
	return st, f, nil
}

func retryParked(ctx context.Context, d *Daemon, in *selectionIn) (*Body[wire.Count], error) {
	st, f, err := d.selected(in)
	if err != nil {
		return nil, err
	}
	n, err := st.SetParked(ctx, f, poison.Retrying)
	if err != nil {
		return nil, err
	}
	if n > 0 && d.Retry != nil {
		pipelines, err := retrying(ctx, st)
		if err != nil {
			return nil, err
		}
		for _, p := range pipelines {
			d.Retry(ctx, p)
		}
	}
	return &Body[wire.Count]{wire.Count{N: n}}, nil
}

func retrying(ctx context.Context, st eventstore.Store) ([]string, error) {
	var out []string
	for e, err := range st.ListParked(ctx, poison.Filter{States: []poison.State{poison.Retrying}}) {
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, e.Pipeline) {
			out = append(out, e.Pipeline)
		}
	}
	return out, nil
}

func dropParked(ctx context.Context, d *Daemon, in *selectionIn) (*Body[wire.Count], error) {
	st, f, err := d.selected(in)
	if err != nil {
		return nil, err
	}
	n, err := st.DropParked(ctx, f)
	if n > 0 && d.Retry != nil {
		d.Retry(ctx, "") // what was held behind them may go on
	}
	return body(wire.Count{N: n}, err)
}
