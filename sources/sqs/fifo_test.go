package sqs_test

import (
	"context"
	"fmt"
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
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sqs"
)

// ticking is a store whose commits end every two milliseconds, as those of a disk that syncs: what is asked for meanwhile
// shares the next.
type ticking struct{ eventstore.Store }

const tick = 2 * time.Millisecond

func (s ticking) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	time.Sleep(tick - time.Duration(time.Now().UnixNano())%tick)
	return s.Store.Commit(ctx, units, o)
}

// slowSink takes five milliseconds for a call.
type slowSink struct{}

func (slowSink) Write(context.Context, []event.Recorded) error {
	time.Sleep(5 * time.Millisecond)
	return nil
}
func (slowSink) Close() error { return nil }

// How fast FIFO queues are read on the fake's clock, whatever the machine has to do: a call to SQS takes five milliseconds, a
// commit two, a call of the handler or the sink five. With -v it says what docs/benchmarks.md has.
func TestFIFOThroughput(t *testing.T) {
	const toLog, toSink = `
      - append: { stream: "g/{{ data.g }}" }`, `
      - forward: { rough: {} }`
	for _, tt := range []struct {
		name, steps string
		least       map[int]int // messages a second, by groups
	}{
		{"append", toLog, map[int]int{1: 800, 10: 6000, 1000: 7000}},
		{"handle, append", "\n      - handle: { rough: {} }" + toLog, map[int]int{1: 130, 10: 1000, 1000: 4000}},
		{"forward", toSink, map[int]int{1: 500, 10: 3000, 1000: 6000}},
		{"handle, forward", "\n      - handle: { rough: {} }" + toSink, map[int]int{1: 100, 10: 700, 1000: 4000}},
	} {
		for _, groups := range []int{1, 10, 1000} {
			t.Run(fmt.Sprintf("%s, groups %d", tt.name, groups), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					messages := min(200*groups, 2000)
					rate := int(float64(messages) / fifo(t, tt.steps, groups, messages).Seconds())
					t.Logf("%d messages/s", rate)
					if rate < tt.least[groups] {
						t.Errorf("%d messages/s, want %d", rate, tt.least[groups])
					}
				})
			})
		}
	}
}

// fifo reads a queue with messages of some groups, ten of each in turn, and gives the time that it took.
func fifo(t *testing.T, steps string, groups, messages int) time.Duration {
	cfg, diags := config.LoadBytes("p.yaml", []byte(`
pipelines:
  p:
    source:
      sqs: { queue: orders.fifo }
      event: { type: '"T"', source: '"test"' }
    steps:`+steps+`
stores: { main: { memory: {} } }
`), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	cloud := awsfake.New(func(string, int) awsfake.Fault { return awsfake.Fault{Delay: 5 * time.Millisecond} })
	cloud.CreateQueue(awsfake.Queue{Name: "orders.fifo", Visibility: time.Minute})
	for n := range messages {
		g := fmt.Sprint(n / 10 % groups)
		cloud.Send("orders.fifo", awsfake.Message{Body: fmt.Sprintf(`{"g":%q,"n":%d}`, g, n), Dedup: fmt.Sprint(n), Group: g})
	}
	store := memory.Open(memory.Options{})
	defer store.Close()
	d := pipeline.New(cfg, pipeline.Options{
		OpenStore: func(context.Context, string, config.Plugin) (eventstore.Store, error) {
			return ticking{kept{store}}, nil
		},
		OpenSource: func(_ context.Context, p config.Plugin, env sources.Env) (sources.Source, error) {
			return sqs.OpenOver(p.Config.(sqs.Config), env, cloud.Transport()), nil
		},
		OpenHandler: func(context.Context, config.Plugin, handlers.Env) (handlers.Handler, error) {
			return handlers.Func(func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
				time.Sleep(5 * time.Millisecond)
				return handlers.Events(e.Event), nil
			}), nil
		},
		OpenSink: func(context.Context, config.Plugin, sinks.Env) (sinks.Sink, error) { return slowSink{}, nil },
	})
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, context.WithoutCancel(ctx))
		ended <- err
	}()
	for cloud.Deleted("orders.fifo") < messages && time.Since(began) < time.Hour {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return took
}
