package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/control"
)

// routeWorks lists the part of the API that rebuilds tables and replays forwards.
func (s *Server) routeWorks() {
	steer(s, Admin, huma.Operation{
		OperationID: "rebuild", Method: http.MethodPost, Path: "/api/v1/rebuilds", Tags: []string{"works"},
		Summary: "Build a table anew", Description: "Beside the live one, which goes on; swapped when it has caught up. It answers at once; the work tells how far it has come.",
		RequestBody: jsonBody[control.Rebuild](s),
	}, func(ctx context.Context, o Operator, in *workIn) (*workOut, error) {
		var a control.Rebuild
		if err := decode(in.RawBody, &a); err != nil {
			return nil, err
		}
		return worked(o.Rebuild(ctx, a))
	})
	steer(s, Admin, huma.Operation{
		OperationID: "replay", Method: http.MethodPost, Path: "/api/v1/replays", Tags: []string{"works"},
		Summary: "Send a part of the log once more through a forward", Description: "The live relay does not know of it. dry_run counts only.",
		RequestBody: jsonBody[control.Replay](s),
	}, func(ctx context.Context, o Operator, in *workIn) (*workOut, error) {
		var a control.Replay
		if err := decode(in.RawBody, &a); err != nil {
			return nil, err
		}
		return worked(o.Replay(ctx, a))
	})
	steer(s, Read, huma.Operation{
		OperationID: "works", Method: http.MethodGet, Path: "/api/v1/works", Tags: []string{"works"},
		Summary: "Rebuilds and replays since the daemon's start, the last one first",
	}, func(_ context.Context, o Operator, _ *struct{}) (*worksOut, error) {
		return &worksOut{o.Works()}, nil
	})
	steer(s, Read, huma.Operation{
		OperationID: "work", Method: http.MethodGet, Path: "/api/v1/works/{id}", Tags: []string{"works"}, Summary: "How far a rebuild or replay has come",
	}, func(_ context.Context, o Operator, in *workID) (*workOut, error) { return worked(o.Work(in.ID)) })
	steer(s, Admin, huma.Operation{
		OperationID: "cancel-work", Method: http.MethodDelete, Path: "/api/v1/works/{id}", Tags: []string{"works"}, Summary: "End a rebuild or replay",
		Description: "What a rebuild has built is dropped; what a replay has sent is sent, what it has parked is dropped.",
	}, func(ctx context.Context, o Operator, in *workID) (*workOut, error) {
		return worked(o.CancelWork(ctx, in.ID))
	})
}

type workIn struct{ RawBody []byte }

type workID struct {
	ID string `path:"id"`
}

type workOut struct{ Body control.Work }

type worksOut struct{ Body []control.Work }

func worked(w control.Work, err error) (*workOut, error) {
	if err != nil {
		return nil, err
	}
	return &workOut{w}, nil
}
