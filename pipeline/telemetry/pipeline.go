package telemetry

import (
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/telemetry/prom"
)

// Pipeline counts what one pipeline's intake does. Its methods are called once for a batch, not for an event; counts of
// zero are ignored.
type Pipeline struct {
	m    *Metrics
	name string

	received, conflicts       *prom.Value
	settled                   [event.Released + 1]*prom.Value
	inFlight, inFlightBytes   *prom.Value
	commit, commitEvents, e2e *prom.Histogram

	mu    sync.Mutex
	state string
}

// Pipeline gives the handle of one pipeline. All its outcomes are there from the start, at zero.
func (m *Metrics) Pipeline(name string) *Pipeline {
	if m == nil {
		return nil
	}
	p := &Pipeline{
		m: m, name: name,
		received: m.received.With(name), conflicts: m.conflicts.With(name),
		inFlight: m.inFlight.With(name), inFlightBytes: m.inFlightBytes.With(name),
		commit: m.commit.With(name), commitEvents: m.commitEvents.With(name),
		e2e: m.endToEnd.With(name),
	}
	for o := range p.settled {
		if o := event.Outcome(o); o != event.Pending {
			p.settled[o] = m.settled.With(name, o.String())
		}
	}
	return p
}

// Received counts source events taken in.
func (p *Pipeline) Received(n int) {
	if p != nil && n > 0 {
		p.received.Add(float64(n))
	}
}

// Settled counts source events that got an outcome.
func (p *Pipeline) Settled(o event.Outcome, n int) {
	if p != nil && n > 0 && o != event.Pending && int(o) < len(p.settled) {
		p.settled[o].Add(float64(n))
	}
}

// Poisoned counts events that the intake parked, beside Settled(event.Poisoned).
func (p *Pipeline) Poisoned(step, code string, n int) {
	if p != nil && n > 0 {
		p.m.poisoned.With(p.name, step, code).Add(float64(n))
	}
}

// InFlight sets what is taken in and not settled.
func (p *Pipeline) InFlight(events, bytes int64) {
	if p != nil {
		p.inFlight.Set(float64(events))
		p.inFlightBytes.Set(float64(bytes))
	}
}

// WrongType counts expressions that met a value of the wrong type and were taken as false.
func (p *Pipeline) WrongType(step string, n int) {
	if p != nil && n > 0 {
		p.m.wrongType.With(p.name, step).Add(float64(n))
	}
}

// Retries counts further attempts.
func (p *Pipeline) Retries(step string, n int) {
	if p != nil && n > 0 {
		p.m.retries.With(p.name, step).Add(float64(n))
	}
}

// Unrouted counts events for which a branch had no case, beside Settled(event.Filtered).
func (p *Pipeline) Unrouted(step string, n int) {
	if p != nil && n > 0 {
		p.m.unrouted.With(p.name, step).Add(float64(n))
	}
}

// Conflicts counts appends that were refused.
func (p *Pipeline) Conflicts(n int) {
	if p != nil && n > 0 {
		p.conflicts.Add(float64(n))
	}
}

// Commit notes one commit.
func (p *Pipeline) Commit(d time.Duration, events int) {
	if p != nil {
		p.commit.Observe(d.Seconds())
		p.commitEvents.Observe(float64(events))
	}
}

// EndToEnd notes the time from an event's own time to its commit. One sample for a commit is enough.
func (p *Pipeline) EndToEnd(d time.Duration) {
	if p != nil {
		p.e2e.Observe(max(d, 0).Seconds())
	}
}

// State says which state the pipeline is in now; the one before is no longer reported.
func (p *Pipeline) State(state string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != "" && p.state != state {
		p.m.state.Delete(p.name, p.state)
	}
	p.state = state
	p.m.state.With(p.name, state).Set(1)
}

// Owner says whether this process reads the pipeline's source, where one replica alone does.
func (p *Pipeline) Owner(own bool) {
	if p == nil {
		return
	}
	n := 0.0
	if own {
		n = 1
	}
	p.m.intakeOwner.With(p.name).Set(n)
}

// Relay counts what one relay does.
type Relay struct {
	m      *Metrics
	labels []string // pipeline, component, kind

	delivered, filtered, poisoned, retries *prom.Value
	outage, position, head, lag, lagS, own *prom.Value
	write, writeEvents                     *prom.Histogram
}

// Relay gives the handle of a relay. The component is its identity without pipeline and kind, which are labels themselves; the target is part of
// that identity where the relay has no name, and never a label of its own.
func (p *Pipeline) Relay(id, kind, target string) *Relay {
	if p == nil {
		return nil
	}
	component := strings.TrimPrefix(strings.TrimPrefix(id, p.name+"/"), kind+" ")
	if component == "" {
		component = target
	}
	m, labels := p.m, []string{p.name, component, kind}
	outcome := func(o string) *prom.Value {
		return m.relayEvents.With(p.name, component, kind, o)
	}
	return &Relay{
		m: m, labels: labels,
		delivered: outcome("delivered"), filtered: outcome("filtered"), poisoned: outcome("poisoned"),
		retries: m.relayRetries.With(labels...),
		outage:  m.relayOutage.With(labels...), position: m.relayPosition.With(labels...),
		head: m.relayHead.With(labels...), lag: m.relayLag.With(labels...),
		lagS:  m.relayLagS.With(labels...),
		own:   m.relayOwner.With(labels...),
		write: m.relayWrite.With(labels...), writeEvents: m.relayWriteEvents.With(labels...),
	}
}

// Delivered counts events that the target has.
func (r *Relay) Delivered(n int) {
	if r != nil && n > 0 {
		r.delivered.Add(float64(n))
	}
}

// Filtered counts events that the relay's own steps let pass by.
func (r *Relay) Filtered(n int) {
	if r != nil && n > 0 {
		r.filtered.Add(float64(n))
	}
}

// Retries counts further attempts.
func (r *Relay) Retries(n int) {
	if r != nil && n > 0 {
		r.retries.Add(float64(n))
	}
}

// Poisoned counts events that the relay parked.
func (r *Relay) Poisoned(code string, n int) {
	if r != nil && n > 0 {
		r.poisoned.Add(float64(n))
		r.m.relayPoisoned.With(r.labels[0], r.labels[1], r.labels[2], code).Add(float64(n))
	}
}

// Outage says whether the target is down.
func (r *Relay) Outage(down bool) {
	if r == nil {
		return
	}
	if down {
		r.outage.Set(1)
	} else {
		r.outage.Set(0)
	}
}

// Owner says whether this process runs the relay, or stands by. What stands by is behind nothing.
func (r *Relay) Owner(own bool) {
	switch {
	case r == nil:
	case own:
		r.own.Set(1)
	default:
		r.own.Set(0)
		r.lag.Set(0)
		r.lagS.Set(0)
	}
}

// Position sets the checkpoint and the position up to which the relay has something to do.
func (r *Relay) Position(pos, head int64) {
	if r != nil {
		r.position.Set(float64(pos))
		r.head.Set(float64(head))
		r.lag.Set(float64(max(head-pos, 0)))
	}
}

// LagSeconds sets the age of the oldest event that is not dealt with; 0 at the head.
func (r *Relay) LagSeconds(s float64) {
	if r != nil {
		r.lagS.Set(max(s, 0))
	}
}

// Write notes one write to the target.
func (r *Relay) Write(d time.Duration, events int) {
	if r != nil {
		r.write.Observe(d.Seconds())
		r.writeEvents.Observe(float64(events))
	}
}
