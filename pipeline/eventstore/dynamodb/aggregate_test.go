package dynamodb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/sources"
)

// purse is an aggregate's state; Ballast makes it as large as somebody wants.
type purse struct {
	Balance, Moves int
	Ballast        string
}

type purses struct{}

func (purses) Evolve(s purse, e event.Recorded) purse {
	var d struct{ Amount, Grow int }
	_ = json.Unmarshal(e.Data, &d)
	s.Balance += d.Amount
	s.Ballast += strings.Repeat("x", d.Grow)
	s.Moves++
	return s
}

func (purses) Decide(_ context.Context, s purse, e event.Recorded) ([]event.Event, error) {
	var d struct{ Amount int }
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return nil, event.Poison(err)
	}
	if s.Balance+d.Amount < 0 {
		return nil, event.PoisonAs("overdrawn", errors.New("not enough"))
	}
	return []event.Event{{Type: "Moved", Source: "bank", Data: e.Data}}, nil
}

// readings are the revisions from which streams were read.
type readings struct {
	mu   sync.Mutex
	from []int64
}

type countingStore struct {
	handlers.Store
	r *readings
}

func (c countingStore) ReadStream(ctx context.Context, s event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	c.r.mu.Lock()
	c.r.from = append(c.r.from, o.From)
	c.r.mu.Unlock()
	return c.Store.ReadStream(ctx, s, o)
}

type purseConfig struct {
	handlers.Streams `yaml:",inline"`
}

type handFed struct{ batches chan *event.Batch }

func (f handFed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
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

func (handFed) Close() error { return nil }

func init() {
	handlers.Register("purse", func(context.Context, purseConfig, handlers.Env) (handlers.Handler, error) { return nil, nil })
	sources.Register("hand_fed", func(context.Context, struct{}, sources.Env) (sources.Source, error) { return nil, nil })
}

// bank is a daemon with one pipeline, whose aggregate keeps its state in a table of its name.
type bank struct {
	t     *testing.T
	fed   handFed
	reads readings
	stop  func()
}

func openBank(t *testing.T, c *aws.DynamoDB, name, pipe string) *bank {
	t.Helper()
	cfg, diags := config.LoadBytes("p.yaml", fmt.Appendf(nil, `
pipelines:
  %[1]s:
    source: { hand_fed: {} }
    steps:
      - handle: { purse: { stream: "purse/{{ data.to }}", state: states_%[1]s } }
      - append: {}
    retry: { attempts: 3, initial: 1ms }
stores: { main: { dynamodb: { table: leat } } }
`, pipe), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b := &bank{t: t, fed: handFed{make(chan *event.Batch)}}
	d := pipeline.New(cfg, pipeline.Options{
		OpenSource: func(context.Context, config.Plugin, sources.Env) (sources.Source, error) { return b.fed, nil },
		OpenStore: func(ctx context.Context, _ string, _ config.Plugin) (eventstore.Store, error) {
			return dynamodb.Open(ctx, dynamodb.Config{Client: c, Table: name, Create: true})
		},
		OpenHandler: func(_ context.Context, p config.Plugin, env handlers.Env) (handlers.Handler, error) {
			env.Store = countingStore{env.Store, &b.reads}
			return handlers.NewAggregate(purses{}, p.Config.(purseConfig).Streams, env)
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, context.Background())
		ended <- err
	}()
	b.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	select {
	case <-d.Started():
	case err := <-ended:
		t.Fatal(err)
	}
	return b
}

// send gives the outcomes of events that it sends in one batch.
func (b *bank) send(bodies ...string) []event.Outcome {
	b.t.Helper()
	batch := &event.Batch{Events: make([]event.Event, len(bodies))}
	for i := range bodies {
		batch.Events[i].Raw = []byte(bodies[i])
	}
	b.fed.batches <- batch
	select {
	case <-batch.Done():
	case <-time.After(time.Minute):
		b.t.Fatal("nothing comes of a batch")
	}
	out := make([]event.Outcome, len(bodies))
	for i := range out {
		out[i] = batch.Outcome(i)
	}
	return out
}

func pay(id, to string, amount, grow int) string {
	return fmt.Sprintf(`{"id":%q,"source":"client","detail-type":"Move","detail":{"to":%q,"amount":%d,"grow":%d}}`, id, to, amount, grow)
}

// TestAggregates runs aggregates of two daemons that decide about the same streams: no move is lost or done twice, each
// state fits its stream, loading starts from it, and what cannot be kept is parked with nothing of it written.
func TestAggregates(t *testing.T) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) { aggregates(t, client(t, fake(t, nil).URL), 15, func() {}) })
	t.Run("faults", func(t *testing.T) {
		plan := &dynamofake.Plan{Seed: 5, Throttle: 0.02, Fail: 0.02, Lose: 0.03, Break: 0.02, Conflict: 0.01, Part: 0.3, Skip: 0.05}
		aggregates(t, client(t, fake(t, plan).URL), 10, plan.Stop)
	})
	t.Run("moto", func(t *testing.T) { aggregates(t, client(t, mototest.OneAtATime(t, mototest.Start(t))), 3, func() {}) })
}

func aggregates(t *testing.T, c *aws.DynamoDB, batches int, calm func()) {
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	banks := map[string]*bank{"p": openBank(t, c, name, "p"), "q": openBank(t, c, name, "q")}
	const streams = 3
	var all sync.WaitGroup
	for pipe, b := range banks {
		all.Go(func() {
			for i := range batches {
				var bodies []string
				for k := range 4 {
					bodies = append(bodies, pay(fmt.Sprintf("%s-%d-%d", pipe, i, k), fmt.Sprint("s", (i*4+k)%streams), 1, 0))
				}
				for k, o := range b.send(bodies...) {
					if o != event.Committed {
						t.Errorf("%s: %s", bodies[k], o)
					}
				}
			}
		})
	}
	all.Wait()
	p := banks["p"]
	got := p.send(pay("over", "s0", -1_000_000, 0), pay("large", "s1", 1, 450_000), pay("after", "s1", 1, 0), pay("fits", "s2", 1, 300_000), pay("again", "s2", 1, 0))
	if want := []event.Outcome{event.Poisoned, event.Poisoned, event.Committed, event.Committed, event.Committed}; !slices.Equal(got, want) {
		t.Errorf("outcomes %v", got)
	}
	calm()
	s := openStore(t, dynamodb.Config{Client: c, Table: name, ReadOnly: true})
	balances, revisions := map[string]int{}, map[string]int64{}
	for e, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ Amount int }
		_ = json.Unmarshal(e.Data, &d)
		balances[e.Stream.String()] += d.Amount
		revisions[e.Stream.String()] = e.Revision
	}
	total := 0
	for _, n := range balances {
		total += n
	}
	if total != 2*batches*4+3 {
		t.Errorf("%d moves in the log", total)
	}
	for _, states := range []string{"states_p", "states_q"} {
		d, rows, err := s.Tables().Query(t.Context(), table.Query{Table: states})
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range rows {
			if err != nil {
				t.Fatal(err)
			}
			var r struct {
				Stream   string
				Revision int64
				State    purse
			}
			if err := json.Unmarshal(table.AppendRowJSON(nil, &d, row), &r); err != nil {
				t.Fatal(err)
			}
			if int64(r.State.Moves) != r.Revision || r.State.Balance != r.State.Moves {
				t.Errorf("%s: %s has %d moves and %d at revision %d", states, r.Stream, r.State.Moves, r.State.Balance, r.Revision)
			}
			if last := revisions[r.Stream]; r.Revision > last || (states == "states_p" && r.Stream == "purse/s2" && (r.Revision != last || len(r.State.Ballast) != 300_000)) {
				t.Errorf("%s: %s at revision %d of %d, ballast %d", states, r.Stream, r.Revision, last, len(r.State.Ballast))
			}
		}
	}
	parked := map[string]string{}
	for e, err := range s.ListParked(t.Context(), poison.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		parked[e.EventID] = e.Reason
	}
	if len(parked) != 2 || !strings.Contains(parked["over"], "not enough") || !strings.Contains(parked["large"], "400 KB") {
		t.Errorf("parked %q", parked)
	}
	// Another daemon starts from the state.
	for _, b := range banks {
		b.stop()
	}
	p = openBank(t, c, name, "p")
	if got := p.send(pay("next", "s2", 1, 0)); got[0] != event.Committed {
		t.Errorf("%v", got)
	}
	if want := revisions["purse/s2"] + 1; len(p.reads.from) != 1 || p.reads.from[0] != want {
		t.Errorf("read from %v, the state is of revision %d", p.reads.from, want-1)
	}
}
