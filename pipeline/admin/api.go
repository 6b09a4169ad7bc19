package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// routeAPI lists the API, a file for each subject.
func (s *Server) routeAPI() {
	s.routeDaemon()
	s.routeCapabilities()
	s.routeEvents()
	s.routeCommit()
	s.routeSubscribe()
	s.routeTables()
	s.routePoison()
	s.routeState()
	s.routeServerless()
	s.routeDocument()
}

// Version is what this daemon is.
type Version struct {
	Version string `json:"version"`
}

func (s *Server) routeDaemon() {
	operate(s, Read, huma.Operation{
		OperationID: "version", Method: http.MethodGet, Path: "/api/v1/version", Summary: "The daemon's version", Tags: []string{"daemon"},
	}, func(context.Context, *Daemon, *struct{}) (*Body[Version], error) {
		return &Body[Version]{Version{s.version}}, nil
	})
	operate(s, Read, huma.Operation{
		OperationID: "status", Method: http.MethodGet, Path: "/api/v1/status", Summary: "What the pipelines are doing", Tags: []string{"daemon"},
	}, func(_ context.Context, d *Daemon, _ *struct{}) (*Body[any], error) {
		if d.Status == nil {
			return nil, wire.NewProblem(http.StatusNotFound, "unknown", "this daemon has no status")
		}
		return &Body[any]{d.Status()}, nil
	})
}
