package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// The rig runs a pipeline from YAML on a memory store, with a source that the test feeds and sinks that it watches.
//
//	source: { feed: {} }                   sinks: forward: { catch: { name: x } }

type feedConfig struct {
	Ordered bool `yaml:"ordered,omitempty"`
	Cursor  bool `yaml:"cursor,omitempty"`
}

type catchConfig struct {
	Name string `yaml:"name"`
}

func (c catchConfig) Target() string { return c.Name }

var errNoRig = errors.New("rig: opened outside a test")

func init() {
	sources.Register("feed", func(context.Context, feedConfig, sources.Env) (sources.Source, error) { return nil, errNoRig })
	sinks.Register("catch", func(context.Context, catchConfig, sinks.Env) (sinks.Sink, error) { return nil, errNoRig })
	eventstore.Register("rig", func(context.Context, struct{}, eventstore.Env) (eventstore.Store, error) { return nil, errNoRig })
}

// feed is a source under the test's hand.
type feed struct {
	cfg     feedConfig
	batches chan *event.Batch
	mu      sync.Mutex
	settled map[string]event.Outcome // by body
	reasons map[string]error
	told    chan struct{}
	offset  int
}

func (f *feed) Traits() sources.Traits { return sources.Traits{Ordered: f.cfg.Ordered, Ends: true} }

func (f *feed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case b, ok := <-f.batches:
				if !ok {
					return
				}
				select {
				case out <- b.Message(context.Background()):
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (f *feed) Close() error { return nil }

// send gives one batch of bodies; it does not wait for them.
func (f *feed) send(bodies ...string) {
	b := &event.Batch{}
	for _, body := range bodies {
		b.Events = append(b.Events, event.Event{Raw: []byte(body)})
	}
	first := f.offset
	f.offset += len(bodies)
	if f.cfg.Cursor {
		b.Cursor = func(i int) event.Cursor { return event.Cursor{Key: "feed", Value: strconv.Itoa(first + i + 1)} }
	}
	b.OnSettle = func(i int, o event.Outcome, err error) {
		f.mu.Lock()
		f.settled[bodies[i]] = o
		f.reasons[bodies[i]] = err
		f.mu.Unlock()
		select {
		case f.told <- struct{}{}:
		default:
		}
	}
	f.batches <- b
}

func (f *feed) end() { close(f.batches) }

// outcome waits until a body is settled.
func (f *feed) outcome(t *testing.T, body string) event.Outcome {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		o, ok := f.settled[body]
		f.mu.Unlock()
		if ok {
			return o
		}
		select {
		case <-f.told:
		case <-deadline:
			t.Fatalf("the event was not settled: %s", body)
		}
	}
}

// catch is a sink that remembers what it got; fail decides about each call.
type catch struct {
	mu   sync.Mutex
	got  []event.Recorded
	fail func(batch []event.Recorded) error
	told chan struct{}
}

func (c *catch) Write(_ context.Context, batch []event.Recorded) error {
	c.mu.Lock()
	fail := c.fail
	c.mu.Unlock()
	var err error
	if fail != nil {
		err = fail(batch)
	}
	var partial *event.BatchError
	c.mu.Lock()
	for i := range batch {
		if err == nil || (errors.As(err, &partial) && partial.Failed[i] == nil) {
			e := batch[i]
			e.Event = e.Clone()
			c.got = append(c.got, e)
		}
	}
	c.mu.Unlock()
	select {
	case c.told <- struct{}{}:
	default:
	}
	return err
}

func (c *catch) Close() error { return nil }

func (c *catch) bodies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for i := range c.got {
		out = append(out, string(c.got[i].Raw))
	}
	return out
}

// waitFor waits until the sink has n events.
func (c *catch) waitFor(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if got := c.bodies(); len(got) >= n {
			return got
		}
		select {
		case <-c.told:
		case <-deadline:
			t.Fatalf("the sink has %d events, want %d: %v", len(c.bodies()), n, c.bodies())
		}
	}
}

type rig struct {
	t       *testing.T
	cfg     *config.Config
	store   eventstore.Store
	metrics *telemetry.Metrics
	feeds   map[string]*feed // by pipeline
	sinks   map[string]*catch
	log     io.Writer
	daemon  *Daemon
	stop    context.CancelFunc
	kill    context.CancelFunc
	ended   chan struct{}
	summary Summary
	err     error
}

// shared keeps a store open when a daemon closes it, so that the next one goes on with it.
type sharedStore struct{ eventstore.Store }

func (sharedStore) Close() error { return nil }

func newRig(t *testing.T, yaml string) *rig {
	t.Helper()
	cfg, diags := config.LoadBytes("test.yaml", []byte(yaml+"\nstores: { main: { rig: {} } }\n"), config.Options{})
	for _, d := range diags {
		if d.Severity == config.Error {
			t.Fatalf("config: %v", d)
		}
	}
	s := memory.Open(memory.Options{})
	r := &rig{t: t, cfg: cfg, store: s, feeds: map[string]*feed{}, sinks: map[string]*catch{}, log: t.Output()}
	t.Cleanup(func() {
		r.halt()
		s.Close()
	})
	return r
}

// start runs a daemon on the rig's store; a second start is a restart.
func (r *rig) start() *rig {
	r.t.Helper()
	r.metrics = telemetry.NewMetrics("test")
	for _, p := range r.cfg.Pipelines {
		c := p.Source.Plugin.Config.(feedConfig)
		r.feeds[p.Name] = &feed{cfg: c, batches: make(chan *event.Batch), settled: map[string]event.Outcome{}, reasons: map[string]error{}, told: make(chan struct{}, 1)}
	}
	r.daemon = New(r.cfg, Options{
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Metrics: r.metrics, Stdout: io.Discard,
		OpenStore: func(context.Context, string, config.Plugin) (eventstore.Store, error) {
			return sharedStore{r.store}, nil
		},
		OpenSource: func(_ context.Context, _ config.Plugin, env sources.Env) (sources.Source, error) {
			return r.feeds[env.Pipeline], nil
		},
		OpenSink: func(_ context.Context, p config.Plugin, _ sinks.Env) (sinks.Sink, error) {
			return r.sink(p.Config.(catchConfig).Name), nil
		},
	})
	var soft, hard context.Context
	soft, r.stop = context.WithCancel(context.Background())
	hard, r.kill = context.WithCancel(context.Background())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.summary, r.err = r.daemon.Run(soft, hard)
	}()
	select {
	case <-r.daemon.Started():
	case <-r.ended:
		r.t.Fatalf("the daemon ended at once: %v", r.err)
	case <-time.After(10 * time.Second):
		r.t.Fatal("the daemon did not start")
	}
	return r
}

func (r *rig) sink(name string) *catch {
	if r.sinks[name] == nil {
		r.sinks[name] = &catch{told: make(chan struct{}, 1)}
	}
	return r.sinks[name]
}

func (r *rig) feed() *feed { return r.feeds[r.cfg.Pipelines[0].Name] }

// finish ends the input and waits for the daemon.
func (r *rig) finish() PipelineSummary {
	r.t.Helper()
	for _, f := range r.feeds {
		f.end()
	}
	return r.join()
}

func (r *rig) join() PipelineSummary {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(20 * time.Second):
		r.t.Fatalf("the daemon does not end: %+v", r.daemon.Status())
	}
	if err := r.metrics.Conserved(); err != nil {
		r.t.Errorf("events are not conserved: %v", err)
	}
	if len(r.summary.Pipelines) == 0 {
		return PipelineSummary{}
	}
	return r.summary.Pipelines[0]
}

// halt stops the daemon if it runs.
func (r *rig) halt() {
	if r.stop == nil {
		return
	}
	r.stop()
	r.kill()
	<-r.ended
}

// logged gives the log, an event a line: position stream@revision type id.
func (r *rig) logged() []string {
	r.t.Helper()
	var out []string
	for e, err := range r.store.ReadAll(context.Background(), eventstore.ReadOptions{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s@%d %s %s", e.Stream, e.Revision, e.Type, e.ID))
	}
	return out
}

// order makes a body in EventBridge's shape.
func order(id, orderID string, amount int) string {
	return fmt.Sprintf(`{"id":%q,"source":"shop","detail-type":"OrderCreated","detail":{"order_id":%q,"amount":%d}}`, id, orderID, amount)
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}
