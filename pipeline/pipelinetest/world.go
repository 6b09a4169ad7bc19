package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/tap"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// world is what one test runs in: a daemon of its own with nothing real around it.
type world struct {
	test   *config.Test
	under  []*config.Pipeline // the one under test first
	cfg    *config.Config     // with those pipelines alone
	every  []*config.Pipeline // of the files
	clock  *clock.Manual
	rest   *rest
	daemon *pipeline.Daemon
	stop   context.CancelFunc
	ctx    context.Context
	ended  chan struct{}
	err    error // of the daemon, once ended is closed
	tapped sync.WaitGroup
	feeds  map[string]*feeder
	names  int // of events that the test did not name

	mu      sync.Mutex
	stores  map[string]eventstore.Store
	stubs   map[string]*stub // by pipeline and step, or relay
	sent    []sent
	reached map[place]int

	// What earlier steps have looked at.
	heads    map[string]int64
	parked   map[string]map[int64]poison.State
	looked   int // of sent
	unrouted int
}

// place is a step of a pipeline.
type place struct{ pipeline, step string }

func newWorld(ctx context.Context, cfg *config.Config, t *config.Test, r *rest) (*world, error) {
	memory, ok := config.LookupPlugin(config.KindStore, "memory")
	if !ok {
		return nil, errors.New("this build has no store in memory, which tests need")
	}
	w := &world{test: t, every: cfg.Pipelines, clock: clock.NewManual(t.Start()), rest: r, feeds: map[string]*feeder{}, stores: map[string]eventstore.Store{},
		stubs: map[string]*stub{}, reached: map[place]int{}, heads: map[string]int64{}, parked: map[string]map[int64]poison.State{}, ended: make(chan struct{})}
	c := *cfg
	w.cfg, c.Pipelines = &c, nil
	for _, name := range append([]string{t.Pipeline}, t.With...) {
		for _, p := range cfg.Pipelines {
			if p.Name == name {
				w.under = append(w.under, p)
			}
		}
	}
	c.Pipelines = w.under
	plugin := config.Plugin{Kind: config.KindStore, Name: memory.Name, Config: reflect.Zero(memory.Config).Interface()}
	c.Stores = map[string]config.Plugin{}
	c.Tables = config.InStores(cfg.Tables)
	for _, p := range w.under {
		c.Stores[p.Store] = plugin
		for _, s := range config.AllSteps(p.Steps) {
			if s.Lookup != nil && s.Lookup.Store != "" {
				c.Stores[s.Lookup.Store] = plugin
			}
		}
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	for _, p := range w.under {
		f, err := newFeeder(p)
		if err != nil {
			w.stop()
			return nil, err
		}
		w.feeds[p.Name] = f
	}
	w.daemon = pipeline.New(w.cfg, pipeline.Options{
		Log: slog.New(slog.DiscardHandler), Clock: w.clock, Random: func() float64 { return 1 },
		OpenStore: func(ctx context.Context, name string, plugin config.Plugin) (eventstore.Store, error) {
			st, err := eventstore.Open(ctx, plugin, eventstore.Env{Log: slog.New(slog.DiscardHandler), Now: w.clock.Now})
			if err != nil {
				return nil, err
			}
			w.mu.Lock()
			w.stores[name] = st
			w.mu.Unlock()
			return kept{st}, w.given(ctx, name, st)
		},
		OpenSink: func(_ context.Context, _ config.Plugin, env sinks.Env) (sinks.Sink, error) {
			return &recorder{w: w, pipeline: env.Pipeline, relay: env.Relay, stub: w.stub(env.Pipeline, env.Relay)}, nil
		},
		OpenHandler: func(ctx context.Context, p config.Plugin, env handlers.Env) (handlers.Handler, error) {
			h, err := handlers.Open(ctx, p, env)
			if err != nil {
				return nil, err
			}
			return stubbed(h, w.stub(env.Pipeline, env.Step)), nil
		},
		OpenLookup: w.lookup,
		OpenSource: func(ctx context.Context, p config.Plugin, env sources.Env) (sources.Source, error) {
			f := w.feeds[env.Pipeline]
			if _, ok := p.Config.(sources.Hermetic); ok {
				real, err := sources.Open(ctx, p, env)
				if err != nil {
					return nil, err
				}
				f.real = real
			}
			return f, nil
		},
	})
	return w, nil
}

// kept is a store that outlives its daemon, for what is compared after it.
type kept struct{ eventstore.Store }

// Close implements eventstore.Store.
func (kept) Close() error { return nil }

// stub gives what stands in for a step, or a relay's sink.
func (w *world) stub(pipeline, name string) *stub {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := pipeline + "/" + name
	if w.stubs[key] == nil {
		w.stubs[key] = &stub{}
	}
	return w.stubs[key]
}

// setStubs puts stubs in. Those of forwards may go by the step's name or by the relay's.
func (w *world) setStubs(list []config.Named[config.TestStub]) {
	for _, s := range list {
		for _, p := range w.under {
			names := config.StepNames(p)
			for i, step := range config.AllSteps(p.Steps) {
				switch {
				case step.Forward != nil && (names[i] == s.Name || config.RelayName(step) == s.Name):
					w.stub(p.Name, config.RelayName(step)).set(s.Value)
				case names[i] == s.Name:
					w.stub(p.Name, s.Name).set(s.Value)
				}
			}
		}
	}
}

// start runs the daemon up to the moment at which every pipeline takes events and nothing moves.
func (w *world) start() error {
	w.setStubs(w.test.Stubs)
	for _, p := range w.under {
		samples, err := w.daemon.Tap(w.ctx, p.Name, tap.Options{Stages: []string{tap.Step + "/*"}, Buffer: 4096})
		if err != nil {
			return err
		}
		w.tapped.Go(func() {
			for s := range samples {
				w.mu.Lock()
				w.reached[place{p.Name, s.Name}]++
				w.mu.Unlock()
			}
		})
	}
	go func() {
		defer close(w.ended)
		_, w.err = w.daemon.Run(w.ctx, w.ctx)
	}()
	select {
	case <-w.daemon.Started():
	case <-w.ended:
		if w.err != nil {
			return fmt.Errorf("the pipeline does not start: %w", w.err)
		}
	}
	return w.settle()
}

// settle waits until nothing moves, and tells when the pipeline has stopped by itself.
func (w *world) settle() error {
	if err := w.rest.wait(); err != nil {
		return err
	}
	select {
	case <-w.ended:
		if w.err == nil {
			return nil // its input has an end
		}
		return fmt.Errorf("the pipeline has stopped: %w", w.err)
	default:
		return nil
	}
}

// play does what a step says: stubs, events, time.
func (w *world) play(s *config.TestStep) error {
	w.setStubs(s.Stubs)
	to := w.test.Pipeline
	if s.To != "" {
		to = s.To
	}
	f := w.feeds[to]
	for i := range s.Events {
		if err := w.event(f, &s.Events[i]); err != nil {
			return err
		}
	}
	for i := range s.Raw {
		w.names++
		body := []byte(s.Raw[i].Text)
		if s.Raw[i].Kind != config.JSONString {
			body = s.Raw[i].Append(nil)
		}
		id := fmt.Sprintf("event-%d", w.names)
		if err := w.send(f, id, body, nil); err != nil {
			return err
		}
		if err := w.settle(); err != nil {
			return err
		}
	}
	return w.pass(s.After)
}

func (w *world) event(f *feeder, t *config.TestEvent) error {
	e := w.made(t)
	body, err := f.encode(&e)
	if err != nil {
		return fmt.Errorf("%s:%d: the event cannot be written: %w", t.Pos.File, t.Pos.Line, err)
	}
	if err := w.send(f, e.ID, body, e.Metadata); err != nil {
		return err
	}
	return w.settle()
}

// send gives a body to a pipeline, unless all have ended.
func (w *world) send(f *feeder, id string, body, metadata []byte) error {
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-w.ended:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	if err := f.send(ctx, id, "test-"+id, body, metadata); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

var errEnded = errors.New("the pipeline has ended: it takes no more events")

// made makes an event of what the test says of it.
func (w *world) made(t *config.TestEvent) event.Event {
	w.names++
	e := event.Event{ID: t.ID, Type: t.Type, Source: t.Source, Subject: t.Subject, Time: w.clock.Now()}
	if e.ID == "" {
		e.ID = fmt.Sprintf("event-%d", w.names)
	}
	if at, err := time.Parse(time.RFC3339, t.Time); err == nil {
		e.Time = at
	}
	if !t.Data.IsZero() {
		e.Data = t.Data.Append(nil)
	}
	if t.Metadata.Kind == config.JSONObject {
		e.Metadata = t.Metadata.Append(nil)
	}
	return e
}

// pass moves the clock, from one moment at which something waits for it to the next.
func (w *world) pass(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	end := w.clock.Now().Add(d)
	for {
		at, ok := w.clock.Next()
		if !ok || at.After(end) {
			break
		}
		w.clock.Set(at)
		if err := w.settle(); err != nil {
			return err
		}
	}
	w.clock.Set(end)
	return w.settle()
}

// leave is how long in real time a daemon may take to stop.
const leave = 10 * time.Second

// end stops the daemon and lets go of everything.
func (w *world) end() error {
	w.stop()
	// What is given some time to stop is given it by the test's clock, which moves on by itself now.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun, ended := time.Now(), false; !ended; {
		select {
		case <-w.ended:
			ended = true
		case <-tick.C:
			if time.Since(begun) > leave {
				return fmt.Errorf("the pipeline did not stop within %s", leave)
			}
			if at, ok := w.clock.Next(); ok {
				w.clock.Set(at)
			}
		}
	}
	w.tapped.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, s := range w.stores {
		errs = append(errs, s.Close())
	}
	if w.err != nil && !errors.Is(w.err, context.Canceled) && !errors.Is(w.err, pipeline.ErrUndelivered) {
		errs = append(errs, w.err)
	}
	return errors.Join(errs...)
}

// notes tells what still waits, which is often why something is not there yet.
func (w *world) notes() []string {
	var out []string
	for _, p := range w.under {
		for _, a := range w.feeds[p.Name].waiting() {
			out = append(out, fmt.Sprintf("event %s waits: `after: 1m` moves the clock", a.id))
		}
	}
	if st := w.daemon.Status(); len(st.Pipelines) > 0 {
		for i := range st.Pipelines {
			for _, r := range st.Pipelines[i].Relays {
				if r.Lag > 0 && r.Outage != "" {
					out = append(out, fmt.Sprintf("relay %s waits for its target (%s): `after: 1m` moves the clock", r.Name, r.Outage))
				} else if r.Lag > 0 {
					out = append(out, fmt.Sprintf("relay %s has %d events to go: `after: 1m` moves the clock", r.Name, r.Lag))
				}
			}
		}
	}
	return out
}
