package eventbridge_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/sinks/eventbridge"
	"github.com/leatdev/leat/sources"
)

// fed is a source whose batches come from the test.
type fed struct{ batches chan *event.Batch }

func (f fed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case b := <-f.batches:
				out <- b.Message(context.WithoutCancel(ctx))
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (fed) Close() error { return nil }

type fedConfig struct{}

func init() {
	sources.Register("fed", func(context.Context, fedConfig, sources.Env) (sources.Source, error) { return nil, nil })
}

// A whole pipeline to a bus: under load calls carry full tens; thin traffic is put at once, not gathered.
func TestBatchesOfARelay(t *testing.T) {
	cloud := awsfake.New(nil)
	srv := httptest.NewServer(cloud)
	defer srv.Close()
	cfg, diags := config.LoadBytes("p.yaml", []byte(`
pipelines:
  p:
    source: { fed: {} }
    steps:
      - append: { stream: "s/{{ id }}" }
      - forward: { eventbridge: { endpoint: "`+srv.URL+`" } }
stores: { main: { memory: {} } }
`), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f := fed{make(chan *event.Batch)}
	d := pipeline.New(cfg, pipeline.Options{
		OpenSource: func(context.Context, config.Plugin, sources.Env) (sources.Source, error) { return f, nil },
		OpenStore: func(ctx context.Context, _ string, p config.Plugin) (eventstore.Store, error) {
			return eventstore.Open(ctx, p, eventstore.Env{})
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, t.Context())
		ended <- err
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-d.Started()
	n := 0
	send := func(count int) (committed chan time.Time) {
		b := &event.Batch{Events: make([]event.Event, count)}
		committed = make(chan time.Time, count)
		b.OnSettle = func(int, event.Outcome, error) { committed <- time.Now() }
		for i := range b.Events {
			n++
			b.Events[i].Raw = fmt.Appendf(nil, `{"id":"e%d","source":"shop","detail-type":"T","detail":{}}`, n)
		}
		f.batches <- b
		return committed
	}
	arrived := func(want int) time.Time {
		for deadline := time.Now().Add(time.Minute); len(cloud.Events("default")) < want; {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d events on the bus", len(cloud.Events("default")), want)
			}
			time.Sleep(100 * time.Microsecond) // what is measured is how soon
		}
		return time.Now()
	}
	var added []time.Duration
	for range 50 {
		at := <-send(1)
		added = append(added, arrived(n).Sub(at))
	}
	slices.Sort(added)
	t.Logf("from the commit to the bus: p50 %s, p90 %s", added[25], added[45])
	if added[25] > time.Second { // 5 ms on a machine that does nothing else, a hundred where much else runs
		t.Errorf("thin traffic is put %s after its commit (p50)", added[25])
	}
	before := cloud.Calls("PutEvents")
	for range 20 {
		send(1000)
	}
	arrived(n)
	if calls := cloud.Calls("PutEvents") - before; calls > 20_000/10*105/100 {
		t.Errorf("%d calls for 20,000 events, want full tens", calls)
	} else {
		t.Logf("%d calls for 20,000 events", calls)
	}
}
