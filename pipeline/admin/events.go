package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func (s *Server) routeEvents() {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"events"}}
	}
	onStore(s, Read, op("head", http.MethodGet, "/head", "The log's end"), head)

	streams := op("list-streams", http.MethodGet, "/streams", "Streams with their revisions")
	streams.Responses = lineResponse[wire.Stream](s, "Streams in the order of type and id")
	onStore(s, Read, streams, listStreams)

	read := op("read-events", http.MethodGet, "/events", "Read a stream, or the whole log")
	read.Responses = lineResponse[wire.Event](s, "Events in the order of the stream, or of the log")
	onStore(s, Read, read, readEvents)

	write := op("append-events", http.MethodPost, "/events", "Append events to one stream")
	write.Description = "All are appended or none. An event whose id is in the stream already is not appended again: a repeat answers with the original revisions."
	write.RequestBody = jsonBody[wire.Append](s)
	onStore(s, Write, write, appendEvents)

	verify := op("verify", http.MethodGet, "/verify", "Read everything and check that the store is whole")
	verify.Responses = lineResponse[wire.VerifyLine](s, "Each fault, at last the counts")
	onStore(s, Read, verify, verifyStore)
}

func head(ctx context.Context, st eventstore.Store, _ *OfStore) (*Body[wire.Head], error) {
	h, err := st.Head(ctx)
	return body(wire.Head{LogID: h.LogID, Position: h.Position, Committed: h.Committed}, err)
}

// stream reads type/id; "" is the zero stream.
func stream(s string) (event.Stream, error) {
	if s == "" {
		return event.Stream{}, nil
	}
	out, err := event.ParseStream(s)
	if err != nil {
		return out, &wire.RequestError{Err: err}
	}
	return out, nil
}

type streamsIn struct {
	OfStore
	Type   string `query:"type" doc:"only streams of this type (what stands before the /)"`
	Prefix string `query:"prefix" doc:"only streams whose id starts so"`
	After  string `query:"after" doc:"only streams behind this one, type/id"`
	Max    int64  `query:"max" minimum:"0" doc:"at most so many; 0: all"`
}

func listStreams(ctx context.Context, st eventstore.Store, in *streamsIn) (*Lines, error) {
	after, err := stream(in.After)
	if err != nil {
		return nil, err
	}
	o := eventstore.StreamsOptions{Type: in.Type, Prefix: in.Prefix, After: after, Max: in.Max}
	return list(func(l *lines) error {
		for info, err := range st.Streams(ctx, o) {
			if err == nil {
				err = l.encode(wire.StreamOf(info))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Filtering is the part of an input that selects events.
type Filtering struct {
	Type       []string `query:"type,explode" doc:"only events of this type; may be repeated"`
	StreamType []string `query:"stream_type,explode" doc:"only streams of this type; may be repeated"`
	Origin     []string `query:"origin,explode" doc:"only what this pipeline appended; may be repeated"`
}

func (f *Filtering) filter() eventstore.Filter {
	return eventstore.Filter{Types: f.Type, StreamTypes: f.StreamType, Origins: f.Origin}
}

type readIn struct {
	OfStore
	Filtering
	Stream    string    `query:"stream" doc:"type/id; without it the whole log"`
	From      int64     `query:"from" minimum:"0" doc:"first revision of the stream, or position of the log; 0: the first, backwards the last"`
	To        int64     `query:"to" minimum:"0" doc:"last one; 0: no bound"`
	Max       int64     `query:"max" minimum:"0" doc:"at most so many; 0: all"`
	Backwards bool      `query:"backwards" doc:"the last first"`
	Since     time.Time `query:"since" doc:"only what was recorded since"`
	OfType    string    `query:"of_type" doc:"with of_id: the stream, where its type has a slash"`
	OfID      string    `query:"of_id"`
	Form      string    `query:"form" enum:"plain,exact" default:"plain" doc:"exact: each event with all that the store has of it, for Go clients"`
}

func readEvents(ctx context.Context, st eventstore.Store, in *readIn) (*Lines, error) {
	s, err := stream(in.Stream)
	if err != nil {
		return nil, err
	}
	o := eventstore.ReadOptions{From: in.From, To: in.To, Max: in.Max, Backwards: in.Backwards, SinceTime: in.Since, Filter: in.filter()}
	if in.OfType != "" || in.OfID != "" {
		s = event.Stream{Type: in.OfType, ID: in.OfID}
	}
	events := st.ReadAll(ctx, o)
	if !s.IsZero() {
		events = st.ReadStream(ctx, s, o)
	}
	return list(func(l *lines) error {
		for e, err := range events {
			switch {
			case err != nil:
			case in.Form == "exact":
				err = l.encode(wire.ExactOf(e))
			default:
				err = l.encode(wire.EventOf(e))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

type appendIn struct {
	OfStore
	Stream  string `query:"stream" doc:"type/id"`
	RawBody []byte `contentType:"application/json"`
}

func appendEvents(ctx context.Context, st eventstore.Store, in *appendIn) (*Body[wire.Appended], error) {
	s, err := stream(in.Stream)
	if err == nil && s.IsZero() {
		err = badRequest("stream is missing")
	}
	if err != nil {
		return nil, err
	}
	var a wire.Append
	if err := decode(in.RawBody, &a); err != nil {
		return nil, err
	}
	u, err := wire.UnitOf(s, a)
	if err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	if err := st.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return nil, err
	}
	if u.Result.Status == eventstore.Refused {
		return nil, u.Result.Err
	}
	return &Body[wire.Appended]{wire.AppendedOf(s, u.Result.Written[0])}, nil
}

func verifyStore(ctx context.Context, st eventstore.Store, _ *OfStore) (*Lines, error) {
	return list(func(l *lines) error {
		v, err := st.Verify(ctx, func(f eventstore.Fault) {
			w := wire.FaultOf(f)
			_ = l.encode(wire.VerifyLine{Fault: &w}) // a reader that has gone ends the context too
			_ = l.flush()
		})
		if err != nil {
			return err
		}
		return l.encode(wire.VerifyLine{Verified: &wire.Verified{Events: v.Events, Streams: v.Streams, Faults: v.Faults}})
	})
}
