package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sqs"
)

// kept is a store that outlives the daemons that open it.
type kept struct{ eventstore.Store }

func (kept) Close() error { return nil }

// Whole pipelines, from a queue under a plan of faults to the log, through restarts: nothing is lost, nothing appended
// twice, nothing parked, and each group of a FIFO queue is in the log in its order. The same with a handler that is slow and
// fails for some, and without a log, with a sink that fails for some: there events may come twice, and each group's come for the
// first time in their order. CI runs a few seeds of fewer messages; LEAT_TEST_SEEDS=200 LEAT_TEST_MESSAGES=10000 is the
// whole of it.
func TestPipelineUnderFaults(t *testing.T) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	seeds, messages := number("LEAT_TEST_SEEDS", 8), number("LEAT_TEST_MESSAGES", 500)
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { underFaults(t, uint64(seed), messages) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func underFaults(t *testing.T, seed uint64, messages int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	queue := []string{"orders", "orders.fifo"}[seed%2]
	log := seed/2%4 < 2
	steps := `
      - append: { stream: "g/{{ data.g }}" }`
	if !log {
		steps = `
      - forward: { rough: {} }`
	}
	if seed/2%2 == 1 {
		steps = `
      - handle: { rough: {} }` + steps
	}
	cfg, diags := config.LoadBytes("p.yaml", []byte(`
pipelines:
  p:
    source:
      sqs: { queue: `+queue+`, receivers: { min: `+strconv.Itoa(1+rng.IntN(4))+` } }
      event: { type: '"T"', source: '"test"' }
    retry: { attempts: 100, max: 10s }
    steps:`+steps+`
stores: { main: { memory: {} } }
`), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	cloud := awsfake.New(awsfake.Rough(seed).Faults)
	cloud.CreateQueue(awsfake.Queue{Name: "dead.fifo"})
	cloud.CreateQueue(awsfake.Queue{Name: "dead"})
	cloud.CreateQueue(awsfake.Queue{Name: queue, Visibility: time.Duration(10+rng.IntN(60)) * time.Second})
	groups := 1 + rng.IntN(40)
	for n := range messages {
		g := rng.IntN(groups)
		m := awsfake.Message{Body: fmt.Sprintf(`{"g":"%d","n":%d}`, g, n), Dedup: fmt.Sprint("d", n)}
		if strings.HasSuffix(queue, ".fifo") {
			m.Group = fmt.Sprint(g)
		}
		cloud.Send(queue, m)
	}
	store := memory.Open(memory.Options{})
	defer store.Close()
	rough := &rough{rng: rand.New(rand.NewPCG(seed, 8))}
	deadline := time.Now().Add(72 * time.Hour)
	for len(cloud.Messages(queue)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages still there after three days", len(cloud.Messages(queue)), messages)
		}
		daemon(t, cfg, store, rough, cloud, queue, time.Duration(10+rng.IntN(600))*time.Second)
	}
	if !log {
		store = memory.Open(memory.Options{})
		defer store.Close()
		rough.log(t, store)
	}
	check(t, store, queue, messages)
}

// daemon runs until the queue is empty, or for a while.
func daemon(t *testing.T, cfg *config.Config, store eventstore.Store, rough *rough, cloud *awsfake.Cloud, queue string, within time.Duration) {
	t.Helper()
	d := pipeline.New(cfg, pipeline.Options{
		OpenStore: func(context.Context, string, config.Plugin) (eventstore.Store, error) { return kept{store}, nil },
		OpenSource: func(_ context.Context, p config.Plugin, env sources.Env) (sources.Source, error) {
			return sqs.OpenOver(p.Config.(sqs.Config), env, cloud.Transport()), nil
		},
		OpenHandler: func(context.Context, config.Plugin, handlers.Env) (handlers.Handler, error) {
			return handlers.Func(rough.Handle), nil
		},
		OpenSink: func(context.Context, config.Plugin, sinks.Env) (sinks.Sink, error) { return rough, nil },
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, context.WithoutCancel(ctx))
		ended <- err
	}()
	for until := time.Now().Add(within); time.Now().Before(until) && len(cloud.Messages(queue)) > 0; {
		time.Sleep(time.Second)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// rough is a handler and a sink with a plan of faults: slow for some events, failing for some, down now and then.
type rough struct {
	mu    sync.Mutex
	rng   *rand.Rand
	taken []event.Event
}

func init() {
	handlers.Register("rough", func(context.Context, struct{}, handlers.Env) (handlers.Handler, error) {
		return nil, errors.ErrUnsupported
	})
	sinks.Register("rough", func(context.Context, struct{}, sinks.Env) (sinks.Sink, error) { return nil, errors.ErrUnsupported })
}

func (r *rough) trouble(ctx context.Context) error {
	r.mu.Lock()
	n, wait := r.rng.IntN(400), time.Duration(r.rng.ExpFloat64()*float64(time.Second))
	r.mu.Unlock()
	switch {
	case n < 4: // slow
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	case n < 12:
		return errors.New("rough: failed")
	case n < 13:
		return event.Unavailable(0, errors.New("rough: down"))
	}
	return nil
}

func (r *rough) Handle(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	if err := r.trouble(ctx); err != nil {
		return nil, err
	}
	return handlers.Events(e.Event), nil
}

// Write implements sinks.Sink. Some of a batch fail, or all of it, or all that follows the first failure.
func (r *rough) Write(ctx context.Context, batch []event.Recorded) error {
	if err := r.trouble(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed *event.BatchError
	for i := range batch {
		if r.rng.IntN(100) == 0 {
			failed = failed.Fail(i, errors.New("rough: not this one"))
			continue
		}
		r.taken = append(r.taken, batch[i].Clone())
	}
	return failed.Err()
}

func (*rough) FailsInPart() bool { return true }

func (*rough) Close() error { return nil }

// log writes what came for the first time into a store, in its order.
func (r *rough) log(t *testing.T, store eventstore.Store) {
	t.Helper()
	seen := map[string]bool{}
	for i := range r.taken {
		e := &r.taken[i]
		if seen[string(e.Raw)] {
			continue
		}
		seen[string(e.Raw)] = true
		g, _, _ := strings.Cut(strings.TrimPrefix(string(e.Raw), `{"g":"`), `"`)
		u := &eventstore.Unit{Pipeline: "test", Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "g", ID: g}, Events: []event.Event{{ID: fmt.Sprint(i), Type: "T", Source: "test", Data: e.Raw}},
		}}}
		if err := store.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Err != nil {
			t.Fatal(err, u.Result.Err)
		}
	}
}

func check(t *testing.T, store eventstore.Store, queue string, messages int) {
	t.Helper()
	for e, err := range store.ListParked(t.Context(), poison.Filter{}) {
		t.Fatalf("parked: %s %s, %v", e.Code, e.Reason, err)
	}
	seen, last := map[string]int{}, map[string]int{}
	for e, err := range store.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(e.Data), `"n":`)
		n, err := strconv.Atoi(strings.TrimSuffix(text, "}"))
		if err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		seen[text]++
		if before, ok := last[e.Stream.ID]; ok && strings.HasSuffix(queue, ".fifo") && n <= before {
			t.Errorf("group %s: %d came after %d", e.Stream.ID, n, before)
		}
		last[e.Stream.ID] = n
	}
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	if len(seen) != messages || twice > 0 {
		t.Errorf("%d of %d events in the log, %d of them more than once", len(seen), messages, twice)
	}
}
