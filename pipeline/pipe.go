package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// pipe is one running pipeline.
type pipe struct {
	cfg      *config.Pipeline
	plan     *plan
	store    eventstore.Store
	head     eventstore.Head
	log      *slog.Logger
	metrics  *telemetry.Pipeline
	now      func() time.Time
	envelope event.Envelope
	env      environment

	source   sources.Source
	ordered  bool // batches enter in the order of the source
	lanes    bool // order_by: events with the same value are ordered, others are not
	relays   []*relay
	within   func(ctx context.Context, tx table.Tx, written []event.Recorded) error
	copySink sinks.Sink

	room      *room
	counts    counts
	places    places
	flushing  sync.Mutex
	frontier  *frontier
	laneState lanes
	trouble   trouble
	// directTurn orders the writes of a pipeline without a log.
	directTurn sync.Mutex
	// background are goroutines that settle events after their batch's handler let go of them.
	background  sync.WaitGroup
	flight      sync.WaitGroup // batches that the gate let in
	retryWake   chan struct{}
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
	instance string
	sourceOf func(p *pipe) (sources.Source, error)
	sinkOf   func(p *pipe, r string, c config.Plugin) (sinks.Sink, error)
	tables   map[string]*config.Table
}

func newPipe(c *config.Pipeline, store eventstore.Store, env environment) (*pipe, error) {
	p := &pipe{
		cfg: c, store: store, env: env, now: env.now, log: env.log.With("pipeline", c.Name), metrics: env.metrics.Pipeline(c.Name),
		envelope: c.Source.EnvelopeOf(), retryWake: make(chan struct{}, 1), started: make(chan struct{}), state: "starting",
	}
	p.counts.metrics = p.metrics
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
	p.plan.intake.identity = p.identity
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
	if p.head, err = p.store.Head(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if c := p.cfg.Poison.Copy; c != nil {
		if p.copySink, err = p.env.sinkOf(p, "poison copy", *c); err != nil {
			return err
		}
	}
	if err := p.openRelays(ctx); err != nil {
		return err
	}
	if err := p.openInline(ctx); err != nil {
		return err
	}
	if p.source, err = p.env.sourceOf(p); err != nil {
		return err
	}
	t := sources.TraitsOf(p.source)
	p.lanes = p.plan.orderBy != nil && p.plan.log
	p.ordered = t.Ordered || p.plan.orderBy != nil
	if p.lanes {
		p.frontier = newFrontier(p.places.note)
	}
	return nil
}

func (p *pipe) openRelays(ctx context.Context) error {
	if len(p.plan.relays) == 0 {
		if p.plan.log {
			_, err := p.store.SetRelays(ctx, p.cfg.Name, nil)
			return err
		}
		return nil
	}
	for _, rp := range p.plan.relays {
		rp.retry = p.cfg.Retry
		if rp.frame.Retry != nil {
			rp.retry = *rp.frame.Retry
		}
		r := &relay{pipe: p, plan: rp, held: map[event.Stream]bool{}, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
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
			s, err := p.env.sinkOf(p, rp.name, rp.sink)
			if err != nil {
				return err
			}
			r.target = &forwardTarget{sink: s}
		} else {
			t, err := p.newTableTarget(rp)
			if err != nil {
				return err
			}
			r.target = t
		}
		p.relays = append(p.relays, r)
	}
	if !p.plan.log {
		return nil
	}
	return p.register(ctx)
}

// register tells the store of the relays and takes their leases.
func (p *pipe) register(ctx context.Context) error {
	specs := make([]eventstore.RelaySpec, len(p.relays))
	for i, r := range p.relays {
		from, err := p.startOf(ctx, r.plan)
		if err != nil {
			return err
		}
		specs[i] = eventstore.RelaySpec{ID: r.plan.id, Pipeline: p.cfg.Name, Kind: r.plan.kind, Target: r.plan.target, Definition: r.plan.definition, From: from}
		if was := r.plan.frame.Was; was != "" {
			specs[i].Was = p.cfg.Name + "/" + was
		}
	}
	known, err := p.store.SetRelays(ctx, p.cfg.Name, specs)
	if err != nil {
		return fmt.Errorf("register relays: %w", err)
	}
	for i, r := range p.relays {
		if r.lease, err = p.store.Acquire(ctx, r.plan.id, p.env.instance, leaseTime); err != nil {
			return fmt.Errorf("relay %s: %w", r.plan.name, err)
		}
		r.paused.Store(known[i].Paused)
		r.head.Store(p.head.Position)
		at := known[i].Position
		if t, ok := r.target.(*tableTarget); ok {
			if at, err = t.open(ctx, r, known[i].From); err != nil {
				return fmt.Errorf("relay %s: %w", r.plan.name, err)
			}
		} else {
			r.position.Store(at)
		}
		r.seen.Store(at)
		r.saved = p.now()
		r.metrics.Position(at, p.head.Position)
		if err := r.remember(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remember loads which streams wait behind parked events.
func (r *relay) remember(ctx context.Context) error {
	for e, err := range r.pipe.store.ListParked(ctx, poison.Filter{Relay: r.plan.id}) {
		if err != nil {
			return fmt.Errorf("pipeline: list parked events: %w", err)
		}
		r.hold(e.Stream)
		if e.State != poison.Parked {
			r.poke()
		}
	}
	return nil
}

// leaseTime is how long a relay's owner may be silent before another may take over.
const leaseTime = 15 * time.Second

// startOf gives the position behind which a new relay starts.
func (p *pipe) startOf(ctx context.Context, r *relayPlan) (int64, error) {
	switch from := r.frame.From; from {
	case "":
		if r.kind == kindForward {
			return eventstore.FromHead, nil
		}
		return 0, nil
	case "start":
		return 0, nil
	case "now":
		return eventstore.FromHead, nil
	default:
		if at, err := time.Parse(time.RFC3339, from); err == nil {
			for e, err := range p.store.ReadAll(ctx, eventstore.ReadOptions{SinceTime: at, Max: 1}) {
				if err != nil {
					return 0, err
				}
				return e.Position - 1, nil
			}
			return eventstore.FromHead, nil
		}
		var n int64
		if _, err := fmt.Sscanf(from, "%d", &n); err != nil || n < 0 {
			return 0, fmt.Errorf("relay %s: from: %q is not start, now, a position or a time", r.name, from)
		}
		return n, nil
	}
}

// persist calls write until it succeeds, the pipeline stops, or somebody else owns the relay.
func (p *pipe) persist(ctx context.Context, write func() error) error {
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
		if !sleep(backoff(&p.outageRetry, min(attempt+1, 16)), p.relaysStop, ctx) {
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

// run lets the pipeline work until its input ends or stop is done; hard ends everything at once. It gives the error
// that stopped it; what is left undelivered is in the summary.
func (p *pipe) run(stop, hard context.Context) error {
	p.hard, p.giveUp = context.WithCancel(hard)
	p.soft, p.endSoft = context.WithCancel(p.hard)
	p.relaysStop, p.endRelays = context.WithCancel(p.hard)
	defer p.giveUp()

	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", p.cfg.Name, err)
	}
	g := &gate{src: p.source, pull: p.soft, hard: p.hard, room: p.room, flight: &p.flight, ended: make(chan struct{}),
		taken:   func(b *event.Batch) { p.counts.receive(len(b.Events)) },
		refused: p.release,
	}
	intake := router.AddConsumerHandler("intake", "", g, p.handle)
	var relays []*message.Handler
	if p.plan.log {
		for _, r := range p.relays {
			relays = append(relays, router.AddConsumerHandler(r.plan.id, "", r, r.handle))
		}
	}
	var work sync.WaitGroup
	runErr := make(chan error, 1)
	// The router's own context ends only with hard: its Close would cancel what is in flight.
	go func() { runErr <- router.Run(p.hard) }()
	select {
	case <-router.Running():
	case err := <-runErr:
		return fmt.Errorf("pipeline %s: %w", p.cfg.Name, err)
	}
	p.setState("running")
	close(p.started)
	work.Go(p.retryLoop)
	work.Go(p.keepLeases)

	select {
	case <-g.ended:
		p.ended = true
	case <-stop.Done():
	case <-p.soft.Done():
	}
	p.drain(stop, g, intake, relays)
	p.endSoft()
	p.endRelays()
	work.Wait()
	err = router.Close()
	if rerr := <-runErr; err == nil {
		err = rerr
	}
	if err != nil && p.hard.Err() != nil {
		err = nil // the deadline says it all
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.failure, err)
}

// drain finishes what is in flight, on contexts that the stop does not end, until the deadline.
func (p *pipe) drain(stop context.Context, g *gate, intake *message.Handler, relays []*message.Handler) {
	deadline := func() *time.Timer { return time.AfterFunc(p.cfg.Drain, p.giveUp) }
	if !p.ended {
		p.setState("draining")
		defer deadline().Stop()
		p.endSoft()
	}
	// Stopped does not wait for messages in hand (watermill v1.5.1): the gate has counted them.
	wait(p.hard, intake.Stopped())
	wait(p.hard, done(&p.flight))
	wait(p.hard, done(&p.background))
	if p.hard.Err() == nil {
		p.flushPlaces()
	}
	if p.ended && p.plan.log {
		p.setState("finishing")
		p.toHead(stop)
	}
	p.endSoft()
	p.endRelays()
	if p.ended {
		defer deadline().Stop()
	}
	for _, h := range relays {
		wait(p.hard, h.Stopped())
	}
	wait(p.hard, done(&p.background))
}

// toHead waits until every relay has reached the end of the log. A relay that makes no progress for the drain time is
// not waited for.
func (p *pipe) toHead(stop context.Context) {
	head, err := p.store.Head(p.hard)
	if err != nil {
		return
	}
	for _, r := range p.relays {
		for r.seen.Load() < head.Position && !r.paused.Load() {
			t := time.NewTimer(p.cfg.Drain)
			select {
			case <-r.moved:
				t.Stop()
				continue
			case <-t.C:
			case <-stop.Done():
			case <-p.relaysStop.Done():
			}
			t.Stop()
			return
		}
	}
}

func wait(ctx context.Context, ch <-chan struct{}) {
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

func done(wg *sync.WaitGroup) <-chan struct{} {
	ch := make(chan struct{})
	go func() { wg.Wait(); close(ch) }()
	return ch
}

// keepLeases renews the leases of the relays; a lost one stops the pipeline, for another has taken over.
func (p *pipe) keepLeases() {
	if !p.plan.log || len(p.relays) == 0 {
		return
	}
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-p.relaysStop.Done():
			return
		case <-tick.C:
		}
		for _, r := range p.relays {
			l, err := p.store.Renew(p.relaysStop, r.lease, leaseTime)
			if errors.Is(err, eventstore.ErrFenced) {
				p.fail(fmt.Errorf("relay %s: %w", r.plan.name, err))
				return
			}
			if err == nil && l.Epoch != r.lease.Epoch {
				p.fail(fmt.Errorf("relay %s: %w", r.plan.name, eventstore.ErrFenced))
				return
			}
		}
	}
}

// close lets go of source, sinks and leases.
func (p *pipe) close() error {
	var errs []error
	if p.source != nil {
		errs = append(errs, p.source.Close())
	}
	for _, r := range p.relays {
		if r.target != nil {
			errs = append(errs, r.target.close())
		}
		if r.lease.Name != "" {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			errs = append(errs, p.store.Release(ctx, r.lease))
			cancel()
		}
	}
	if p.copySink != nil {
		errs = append(errs, p.copySink.Close())
	}
	p.setState("stopped")
	return errors.Join(errs...)
}

// undelivered counts the events that relays have not brought to their targets.
func (p *pipe) undelivered() int64 {
	if !p.plan.log {
		return 0
	}
	head, err := p.store.Head(context.Background())
	if err != nil {
		return 0
	}
	var n int64
	for _, r := range p.relays {
		n += max(0, head.Position-r.seen.Load())
	}
	return n
}
