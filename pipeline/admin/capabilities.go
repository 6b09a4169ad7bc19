package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// Capabilities say what this daemon can do, and how much of it at a time.
type Capabilities struct {
	Version  string   `json:"version"`
	Stores   []string `json:"stores" doc:"names of the open stores"`
	Default  string   `json:"default" doc:"the store of routes that name none"`
	Features []string `json:"features" doc:"parts of the API that are there"`
	Scope    string   `json:"scope" doc:"what the caller may do"`
	Limits   Limits   `json:"limits"`
}

// Limits are the bounds of requests and of what they write. Sizes are bytes.
type Limits struct {
	Body          int64   `json:"body" doc:"size of a request's body, for this caller"`
	Event         int64   `json:"event" doc:"size of an event"`
	ID            int     `json:"id" doc:"size of an event's id"`
	StreamType    int     `json:"stream_type"`
	StreamID      int     `json:"stream_id"`
	Units         int     `json:"units" doc:"units of a commit"`
	PageEvents    int     `json:"page_events" doc:"events on a page of a subscription"`
	PageRows      int     `json:"page_rows" doc:"rows on a page of a table"`
	PollSeconds   float64 `json:"poll_seconds" doc:"longest wait of a poll"`
	TimeoutSecond float64 `json:"timeout_seconds" doc:"for a request that is no list and no subscription"`
	Rate          float64 `json:"rate,omitempty" doc:"requests a second of this caller; 0: no bound"`
}

func (s *Server) routeCapabilities() {
	operate(s, Read, huma.Operation{
		OperationID: "capabilities", Method: http.MethodGet, Path: "/capabilities", Summary: "What there is, and its limits", Tags: []string{"daemon"},
	}, func(ctx context.Context, d *Daemon, _ *struct{}) (*Body[Capabilities], error) {
		who, _ := ctx.Value(callerKey{}).(*caller)
		c := Capabilities{
			Version: s.version, Default: d.fallback(), Stores: []string{}, Scope: who.scope.String(),
			Features: []string{"append", "append_all", "commit", "idempotency", "poll", "subscribe", "server_sent_events", "tables", "poison", "serverless_event_store"},
			Limits: Limits{
				Body: who.maxBody, Event: min(plan.MaxEvent, who.maxBody), ID: plan.MaxID, StreamType: plan.MaxID, StreamID: 4 * plan.MaxID, Units: maxUnits,
				PageEvents: maxPage, PageRows: maxRows, PollSeconds: maxWait.Seconds(), TimeoutSecond: s.cfg.Timeout.Seconds(),
			},
		}
		if d.Stores != nil {
			c.Stores = d.Stores()
		}
		if who.limit != nil {
			c.Limits.Rate = float64(who.limit.Limit())
		}
		return &Body[Capabilities]{c}, nil
	})
}
