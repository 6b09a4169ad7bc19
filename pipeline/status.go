package pipeline

import (
	"context"
	"time"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// Summary is what a run did.
type Summary struct {
	Pipelines []PipelineSummary `json:"pipelines"`
}

// PipelineSummary counts one pipeline's source events by outcome, and what its relays delivered.
type PipelineSummary struct {
	Name      string `json:"name"`
	Received  int64  `json:"received"`
	Committed int64  `json:"committed"`
	Delivered int64  `json:"delivered"`
	Filtered  int64  `json:"filtered"`
	// Unrouted are those of the filtered for which a branch had no case.
	Unrouted  int64 `json:"unrouted"`
	Duplicate int64 `json:"duplicate"`
	Dropped   int64 `json:"dropped"`
	Poisoned  int64 `json:"poisoned"`
	Released  int64 `json:"released"`
	// Projected and Forwarded count events that relays brought to tables and sinks; RelayPoisoned those that a relay parked.
	Projected     int64 `json:"projected"`
	Forwarded     int64 `json:"forwarded"`
	RelayPoisoned int64 `json:"relay_poisoned"`
	// Undelivered counts log positions that relays have not reached.
	Undelivered int64 `json:"undelivered"`
	// Log is false for pipelines that append nothing.
	Log bool `json:"log"`
}

func (p *pipe) summary() PipelineSummary {
	c := &p.counts
	s := PipelineSummary{
		Name: p.cfg.Name, Received: c.received.Load(), Committed: c.of(event.Committed), Delivered: c.of(event.Delivered),
		Filtered: c.of(event.Filtered), Unrouted: c.unrouted.Load(), Duplicate: c.of(event.Duplicate), Dropped: c.of(event.Dropped), Poisoned: c.of(event.Poisoned),
		Released: c.of(event.Released), Undelivered: p.undelivered(), Log: p.plan.log,
	}
	for _, r := range p.relays {
		if r.plan.kind == kindProject {
			s.Projected += r.delivered.Load()
		} else {
			s.Forwarded += r.delivered.Load()
		}
		if p.plan.log {
			s.RelayPoisoned += r.parked.Load()
		}
	}
	return s
}

// Status is what a daemon is doing.
type Status struct {
	Config    control.Config   `json:"config"`
	Pipelines []PipelineStatus `json:"pipelines"`
	// Works are the rebuilds and replays since the start, the last one first.
	Works []control.Work `json:"works,omitempty"`
}

// PipelineStatus is the state of one pipeline.
type PipelineStatus struct {
	PipelineSummary
	State string `json:"state"`
	// Paused is pipeline or intake where that was asked for.
	Paused  string        `json:"paused,omitempty"`
	Trouble string        `json:"trouble,omitempty"`
	Flight  int           `json:"in_flight"`
	Store   string        `json:"store"`
	Parked  int64         `json:"parked"`
	Oldest  *time.Time    `json:"oldest_parked,omitempty"`
	Relays  []RelayStatus `json:"relays"`
	// Replica is this replica's name where several may run the pipeline; Source is the plugin that it reads, "" while the
	// intake is paused or where the relays read the log themselves.
	Replica string `json:"replica,omitempty"`
	Source  string `json:"source,omitempty"`
	// Intake is the replica that reads a source of which one alone may be read; Standby: it is not this one.
	Intake  string `json:"intake,omitempty"`
	Standby bool   `json:"standby,omitempty"`
}

// RelayStatus is the state of one relay.
type RelayStatus struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	Position int64  `json:"position"`
	Head     int64  `json:"head"`
	Lag      int64  `json:"lag"`
	// LagSeconds is the age of the oldest event that the relay has yet to deal with.
	LagSeconds float64 `json:"lag_seconds"`
	// Held counts the streams that wait behind parked events, or is 1 where the whole relay does.
	Held      int    `json:"held,omitempty"`
	Delivered int64  `json:"delivered"`
	Poisoned  int64  `json:"poisoned"`
	Outage    string `json:"outage,omitempty"`
	Paused    bool   `json:"paused,omitempty"`
	// Owner is the replica that runs the relay, "" where nobody does at present. Standby: it is not this one.
	Owner   string `json:"owner,omitempty"`
	Standby bool   `json:"standby,omitempty"`
}

func (p *pipe) status(ctx context.Context) PipelineStatus {
	p.mu.Lock()
	s := PipelineStatus{State: p.state, Store: p.cfg.Store}
	p.mu.Unlock()
	s.PipelineSummary = p.summary()
	if err := p.trouble.err(); err != nil {
		s.Trouble = err.Error()
	}
	p.room.mu.Lock()
	s.Flight = p.room.events
	p.room.mu.Unlock()
	if n, oldest, err := p.store.CountParked(ctx, poison.Filter{Pipeline: p.cfg.Name}); err == nil && n > 0 {
		s.Parked, s.Oldest = n, &oldest
	}
	s.Source = p.reading()
	if p.seats != nil && p.seats.replicas != nil {
		s.Replica = p.seats.me.Owner
	}
	s.Intake, s.Standby = p.seats.status(p.intake)
	head, err := p.reader.Head(ctx)
	for _, r := range p.relays {
		at := r.seen.Load()
		owner, standby := p.seats.status(r.seat)
		if standby {
			if now, err := r.stored(ctx); err == nil {
				at = now
			}
		}
		st := RelayStatus{ID: r.plan.id, Name: r.plan.name, Kind: r.plan.kind, Target: r.plan.target, Position: at, Delivered: r.delivered.Load(),
			Poisoned: r.parked.Load(), Outage: p.trouble.of("relay " + r.plan.name), Paused: r.paused.Load(), Owner: owner, Standby: standby, Held: r.holding.count()}
		if err == nil && p.plan.log {
			st.Head, st.Lag = head.Position, max(0, head.Position-at)
			st.LagSeconds = r.behind(ctx, at, head.Position)
		}
		s.Relays = append(s.Relays, st)
	}
	return s
}

// behind gives the age of the next event that the relay is to deal with, in seconds; 0 where there is none.
func (r *relay) behind(ctx context.Context, at, head int64) float64 {
	if at >= head {
		return 0
	}
	for e, err := range r.pipe.reader.ReadAll(ctx, eventstore.ReadOptions{From: at + 1, To: head, Max: 1, Filter: r.selects()}) {
		if err != nil {
			return 0
		}
		return max(0, r.pipe.now().Sub(e.Committed).Seconds())
	}
	return 0
}
