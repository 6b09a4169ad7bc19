package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// maxUnits bounds the units of one commit; a client sends more in several requests.
const maxUnits = 10_000

func (s *Server) routeCommit() {
	all := huma.Operation{
		OperationID: "append-all", Method: http.MethodPost, Path: "/append", Summary: "Append events to several streams at once", Tags: []string{"events"},
		Description: "Everything is written, or nothing: a stream that is not where it is expected to be refuses all. Events whose ids are in their streams already are not written again: a repeat answers with the original revisions.",
		RequestBody: jsonBody[wire.AppendAll](s),
	}
	onStore(s, Write, all, appendAll)
	commit := huma.Operation{
		OperationID: "commit", Method: http.MethodPost, Path: "/commit", Summary: "Commit units, each of them atomic", Tags: []string{"events"},
		Description: "For clients of the store's whole contract. Each unit has its own result. Units with an origin, an inbox key, a cursor or parked events want the scope admin, as these are a pipeline's own.",
		RequestBody: jsonBody[wire.Commit](s),
	}
	onStore(s, Write, commit, commitUnits)
}

type rawIn struct {
	OfStore
	RawBody []byte `contentType:"application/json"`
}

func appendAll(ctx context.Context, st eventstore.Store, in *rawIn) (*Body[wire.AppendedAll], error) {
	var a wire.AppendAll
	if err := decode(in.RawBody, &a); err != nil {
		return nil, err
	}
	u, err := a.Unit()
	if err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	if err := st.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return nil, err
	}
	if u.Result.Status == eventstore.Refused {
		return nil, u.Result.Err
	}
	var out wire.AppendedAll
	for i, w := range u.Result.Written {
		out.Appended = append(out.Appended, wire.AppendedOf(u.Appends[i].Stream, w))
	}
	return &Body[wire.AppendedAll]{out}, nil
}

func commitUnits(ctx context.Context, st eventstore.Store, in *rawIn) (*Body[wire.Results], error) {
	var c wire.Commit
	if err := decode(in.RawBody, &c); err != nil {
		return nil, err
	}
	if len(c.Units) > maxUnits {
		return nil, fmt.Errorf("%w: %d units, at most %d in a request", eventstore.ErrTooLarge, len(c.Units), maxUnits)
	}
	who, _ := ctx.Value(callerKey{}).(*caller)
	units := make([]*eventstore.Unit, len(c.Units))
	for i, raw := range c.Units {
		var w wire.Unit
		if err := json.Unmarshal(raw, &w); err != nil {
			return nil, badRequest("unit %d: %w", i+1, err)
		}
		if w.Internal() && (who == nil || who.scope < Admin) {
			return nil, wire.NewProblem(http.StatusForbidden, "forbidden", fmt.Sprintf("unit %d has parts that are a pipeline's own: they want the scope admin", i+1))
		}
		var err error
		if units[i], err = w.Back(); err != nil {
			return nil, badRequest("unit %d: %w", i+1, err)
		}
	}
	if err := st.Commit(ctx, units, eventstore.CommitOptions{Ordered: c.Ordered}); err != nil {
		return nil, err
	}
	out := wire.Results{Results: make([]wire.Result, len(units))}
	for i, u := range units {
		out.Results[i] = wire.ResultOf(u, telemetry.Redact)
	}
	return &Body[wire.Results]{out}, nil
}
