package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/tap"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// pipe is one running pipeline.
type pipe struct {
	cfg   *config.Pipeline
	plan  *plan
	store eventstore.Store
	// reader is the log that the relays read: the store's own, or that of an event_log source.
	reader eventstore.Reader
	// until and untilTime end what an event_log source lets the relays read.
	until     atomic.Int64
	untilTime time.Time
	head      eventstore.Head
	log       *slog.Logger
	metrics   *telemetry.Pipeline
	now       func() time.Time
	clock     clock.Clock
	envelope  event.Envelope
	env       environment
	taps      *pipeTaps
	traces    *pipeTraces

	source  sources.Source
	closed  atomic.Bool
	replays []*relay // guarded by mu; replaced, never changed
	takeUp  func()   // begins anew what was interrupted, once the pipeline runs
	working flight   // rebuilds and replays
	resting bool     // the intake is paused
	ordered bool     // batches enter in the order of the source
	lanes   bool     // events of one lane are ordered, others are not
	// sourceLanes: the lanes are the source's own; else order_by says which.
	sourceLanes bool
	laneSlots   slots // of the steps, where they run in lanes
	relays      []*relay
	seats       *seats
	intake      *seat // of a source that one replica alone may read; else nil
	fence       atomic.Pointer[eventstore.Lease]
	inline      []*inlineTable
	within      func(ctx context.Context, tx table.Tx, written []event.Recorded) error // writes them; nil: there are none
	copies      *copies

	room      *room
	counts    counts
	places    places
	flushing  chan struct{} // held by who saves places
	frontier  *frontier
	laneState lanes
	// streams are held by units that run again after a conflict.
	streams streamLocks
	// reads: a handler has read the store, so that what it decides depends on what is committed before.
	reads   atomic.Bool
	trouble trouble
	// deferred: sinks are synced when the source's place is saved.
	deferred bool
	// directTurn orders the writes of a pipeline without a log.
	directTurn chan struct{}
	// background are goroutines that settle events after their batch's handler let go of them.
	background flight
	// shown are the numbers of source and sinks.
	shown     []*telemetry.Plugin
	flight    flight // batches that the gate let in
	retryWake chan struct{}
	retried   chan struct{} // closed when the parked events that were sent again before the start are done
	noMore    chan struct{} // closed when the input has ended and all of it is settled
	deadline  deadline
	// cut is set once an ordered event went back to its source: those behind it go too, or they would overtake it.
	cut atomic.Bool
	// lastOwn is the position up to which the log may hold events for the relays.
	lastOwn     atomic.Int64
	outageRetry config.Retry

	// soft ends when the pipeline stops pulling, relaysStop when its relays stop, hard when nothing may go on.
	soft, relaysStop, hard     context.Context
	endSoft, endRelays, giveUp context.CancelFunc
	mu                         sync.Mutex
	failure                    error
	state                      string
	started                    chan struct{}
	ended                      bool // the input ended by itself
}

// environment is what pipelines get from their daemon.
type environment struct {
	log      *slog.Logger
	metrics  *telemetry.Metrics
	now      func() time.Time
	clock    clock.Clock
	random   func() float64
	instance func(eventstore.Store) string
	database func(name string) table.Store // nil: there is none of that name
	sourceOf func(p *pipe) (sources.Source, error)
	sinkOf   func(p *pipe, r string, c config.Plugin) (sinks.Sink, error)
	// lookupOf makes the function that finds rows for a step.
	lookupOf func(p *pipe, step string, c *config.Lookup) (steps.Lookup, error)
	// handlerOf makes the handler of a step.
	handlerOf func(p *pipe, step string, c config.Plugin, s handlers.Store) (handlers.Handler, error)
	tables    map[string]*config.Table
	// logOf gives the log of a store, for sources that read one.
	logOf func(store string) (eventstore.Reader, error)
	// hub gives the taps of a pipeline: the same for the one that takes its place.
	hub func(pipeline string) *tap.Hub
	// tracer makes spans; nil: none.
	tracer *telemetry.Tracer
}

func newPipe(c *config.Pipeline, store eventstore.Store, env environment) (*pipe, error) {
	p := &pipe{
		cfg: c, store: store, env: env, now: env.now, clock: env.clock, log: env.log.With("pipeline", c.Name), metrics: env.metrics.Pipeline(c.Name),
		reader: store, envelope: c.Source.EnvelopeOf(), retryWake: make(chan struct{}, 1), retried: make(chan struct{}), directTurn: make(chan struct{}, 1), flushing: make(chan struct{}, 1), noMore: make(chan struct{}), started: make(chan struct{}), state: "starting",
	}
	p.counts.metrics = p.metrics
	p.copies = newCopies(p)
	p.outageRetry = c.Retry
	p.outageRetry.Initial, p.outageRetry.Multiplier, p.outageRetry.Max = max(c.Retry.Initial, 50*time.Millisecond), 2, min(max(c.Retry.Max, time.Second), 30*time.Second)
	p.metrics.State(p.state)
	var err error
	p.plan, err = newPlan(c, func(step string, err error) {
		p.metrics.WrongType(step, 1)
		p.limited("type "+step).Warn("a value of the wrong type made a condition false", "step", step, "error", err)
	})
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", c.Name, err)
	}
	p.taps = &pipeTaps{hub: env.hub(c.Name), pipeline: c.Name, now: env.now}
	p.plan.intake.Watch("", p.taps)
	p.traces = newTraces(env.tracer, c)
	for _, r := range p.plan.relays {
		r.prog.Watch(r.name, p.taps)
	}
	p.room = newRoom(c.Limits.Events, int(c.Limits.Bytes), func(events, bytes int) { p.metrics.InFlight(int64(events), int64(bytes)) })
	return p, nil
}

// limited gives a logger that writes at most once in ten seconds for each subject.
func (p *pipe) limited(subject string) *slog.Logger {
	return telemetry.Limited(p.log, p.cfg.Name+" "+subject, 10*time.Second)
}

// open makes source, sinks and relays, and registers the relays before anything is read.
func (p *pipe) open(ctx context.Context) error {
	var err error
	if err := p.openLog(ctx); err != nil {
		return err
	}
	if c := p.cfg.Poison.Copy; c != nil {
		if p.copies.sink, err = p.env.sinkOf(p, "poison copy", *c); err != nil {
			return err
		}
	}
	p.seats = p.newSeats()
	switch {
	case p.resting:
		p.source = resting{p}
	case p.plan.follows:
		p.source = &logEnd{pipe: p}
	}
	if p.source != nil {
		// not the plugin's
	} else if p.source, err = p.env.sourceOf(p); err != nil {
		return err
	}
	t := sources.TraitsOf(p.source)
	if t.Alone && p.seats.replicas != nil {
		p.intake = p.seats.add(p.cfg.Name+"#intake", func() context.Context { return p.soft })
	}
	if err := p.openSteps(ctx); err != nil {
		return err
	}
	if err := p.openRelays(ctx); err != nil {
		return err
	}
	if err := p.openInline(ctx); err != nil {
		return err
	}
	p.openLanes(t)
	return nil
}

func (p *pipe) openSteps(ctx context.Context) error {
	return p.plan.steps.Open(ctx, steps.Env{
		Clock: p.clock, Now: p.now, Store: p.store, LogID: p.head.LogID, Reads: &p.reads, Tables: p.tablesOf,
		Handler: func(step string, c config.Plugin, s handlers.Store) (handlers.Handler, error) {
			return p.env.handlerOf(p, step, c, s)
		},
		Lookup: func(step string, c *config.Lookup) (steps.Lookup, error) { return p.env.lookupOf(p, step, c) },
	})
}

func (p *pipe) openRelays(ctx context.Context) error {
	for _, all := range p.plan.relays {
		if err := p.openRelay(all); err != nil {
			return err
		}
	}
	if p.plan.log {
		return p.register(ctx)
	}
	for _, r := range p.relays {
		if err := r.adopt(ctx); err != nil {
			return err
		}
	}
	if p.intake == nil {
		return nil
	}
	if err := p.seats.join(ctx); err != nil {
		return err
	}
	_, err := p.seats.first(ctx, p.intake)
	return err
}

// openRelay makes the relay of a plan, or one for each of its shards, which share a sink.
func (p *pipe) openRelay(all *relayPlan) error {
	var shared *forwardTarget
	plans := []*relayPlan{all}
	if p.plan.log {
		plans = all.shards()
	}
	for _, rp := range plans {
		r, err := p.newRelay(rp, all.name, shared)
		if err != nil {
			return err
		}
		if t, ok := r.target.(*forwardTarget); ok && shared == nil {
			shared = t
		}
		p.relays = append(p.relays, r)
	}
	return nil
}

// newRelay makes a relay with its target, on the sink of another target where one is given. Name is what the sink
// knows it by.
func (p *pipe) newRelay(rp *relayPlan, name string, shared *forwardTarget) (*relay, error) {
	rp.retry = p.cfg.Retry
	if rp.frame.Retry != nil {
		rp.retry = *rp.frame.Retry
	}
	r := &relay{pipe: p, plan: rp, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), swaps: make(chan *rebuilding), passes: p.plan.log}
	r.metrics = p.metrics.Relay(rp.id, rp.kind, rp.target)
	if n := rp.frame.Limits.Rate; n > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(n), max(1, int(n)))
	}
	if rp.frame.Batch.Events == 0 {
		rp.frame.Batch.Events = 1000
	}
	if rp.frame.Batch.Bytes == 0 {
		rp.frame.Batch.Bytes = 4 << 20
	}
	if rp.kind == kindForward {
		if shared == nil {
			s, err := p.env.sinkOf(p, name, rp.sink)
			if err != nil {
				return nil, err
			}
			r.target = &forwardTarget{sink: s}
		} else {
			r.target = &forwardTarget{sink: shared.sink, shared: true}
		}
	} else {
		t, err := p.newTableTarget(rp)
		if err != nil {
			return nil, err
		}
		r.target = t
	}
	return r, nil
}

// persist calls write until it succeeds, the relay stops, or somebody else owns it.
func (r *relay) persist(ctx context.Context, write func() error) error {
	p := r.pipe
	for attempt := 1; ; attempt++ {
		err := write()
		switch {
		case err == nil:
			if attempt > 1 {
				p.trouble.clear("store")
			}
			return nil
		case ctx.Err() != nil:
			return errStopped
		case errors.Is(err, eventstore.ErrFenced), errors.Is(err, eventstore.ErrGone), errors.Is(err, table.ErrFenced), errors.Is(err, table.ErrGone),
			errors.Is(err, table.ErrForeignLog), errors.Is(err, eventstore.ErrClosed), errors.Is(err, eventstore.ErrCorrupt), errors.Is(err, eventstore.ErrReadOnly):
			return err
		}
		p.trouble.set("store", err)
		p.limited("store").Error("the store cannot write; trying again", "error", err, "attempt", attempt)
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt+1, 16)), r.stop(), ctx) {
			return errStopped
		}
	}
}

// fail stops the pipeline with an error.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	if p.failure == nil {
		p.failure = err
		p.log.Error("the pipeline stops", "error", err)
	}
	p.mu.Unlock()
	p.trouble.set("pipeline", err)
	p.endSoft()
	p.endRelays()
}

func (p *pipe) setState(s string) {
	p.mu.Lock()
	p.state = s
	p.mu.Unlock()
	p.metrics.State(s)
}

// numbers takes those of a source or sink.
func (p *pipe) numbers(component string) *telemetry.Plugin {
	n := p.env.metrics.Plugin(p.cfg.Name, component)
	p.shown = append(p.shown, n)
	return n
}

// close lets go of source, sinks and leases.
func (p *pipe) close() error {
	if p.closed.Swap(true) {
		return nil
	}
	var errs []error
	if p.source != nil {
		errs = append(errs, p.source.Close())
	}
	for _, r := range p.relays {
		if r.target != nil {
			errs = append(errs, r.target.close())
		}
	}
	if p.seats != nil {
		p.seats.close()
	}
	errs = append(errs, p.plan.steps.Close())
	if p.copies.sink != nil {
		errs = append(errs, p.copies.sink.Close())
	}
	for _, n := range p.shown {
		n.Close()
	}
	p.setState("stopped")
	return errors.Join(errs...)
}
