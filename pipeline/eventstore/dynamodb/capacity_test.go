package dynamodb_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

func one(id string) *eventstore.Unit {
	return &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "s", ID: id}, Events: []event.Event{{ID: id, Type: "T"}}}}}
}

// TestProvisioned holds that a table with less capacity than one full transaction takes still gets everything, in smaller
// ones, and is not asked without a pause.
func TestProvisioned(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Units: 30, Per: 40 * time.Millisecond}
	plan.Stop()
	server := fake(t, plan)
	s := openStore(t, dynamodb.Config{Client: client(t, server.URL)})
	plan.Pause(false)
	server.Reset()
	const callers = 100
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			u := one(fmt.Sprint(i))
			if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Done {
				t.Error(err, u.Result)
			}
		})
	}
	all.Wait()
	if n := server.Cost().Calls["TransactWriteItems"]; n > 3*callers {
		t.Errorf("%d transactions were tried for %d appends", n, callers)
	} else {
		t.Logf("%d transactions were tried for %d appends", n, callers)
	}
}

// TestBudget holds that a call is given up when its time is over, in words, after few tries, and that nothing is lost by it.
func TestBudget(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Throttle: 1}
	plan.Stop()
	server := fake(t, plan)
	s := openStore(t, dynamodb.Config{Client: client(t, server.URL), Patience: 300 * time.Millisecond})
	plan.Pause(false)
	server.Reset()
	u := one("1")
	err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("throttled for ever: %v", err)
	}
	_, err = s.Head(t.Context())
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("throttled for ever, a read: %v", err)
	}
	plan.Stop()
	if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Done {
		t.Error(err, u.Result)
	}
}

// numbers is a metric.Series.
type numbers map[string]func(show func(float64, ...string))

func (n numbers) Counters(name, _ string, read func(show func(float64, ...string))) { n[name] = read }

func (n numbers) of(name string) map[string]float64 {
	out := map[string]float64{}
	n[name](func(v float64, labels ...string) { out[fmt.Sprint(labels)] = v })
	return out
}

// TestNumbers holds what a store says of its calls: what is counted here is what the service has counted.
func TestNumbers(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Seed: 1, Throttle: 0.3}
	plan.Stop()
	server := fake(t, plan)
	got := numbers{}
	s := openStore(t, dynamodb.Config{Client: client(t, server.URL), Metrics: got})
	for i := range 20 {
		if i == 5 {
			plan.Pause(false)
		}
		if err := s.Commit(t.Context(), []*eventstore.Unit{one(fmt.Sprint(i))}, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	plan.Stop()
	if _, err := s.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	cost := server.Cost()
	var read, write, calls, retries, throttled float64
	for labels, v := range got.of("dynamodb_capacity_units_total") {
		switch labels {
		case "[operation TransactWriteItems kind write]":
			write += v
		case "[operation GetItem kind read]", "[operation BatchGetItem kind read]", "[operation Query kind read]":
			read += v
		default:
			t.Errorf("units of %s", labels)
		}
	}
	for _, v := range got.of("dynamodb_calls_total") {
		calls += v
	}
	for _, v := range got.of("dynamodb_retries_total") {
		retries += v
	}
	for _, v := range got.of("dynamodb_throttled_total") {
		throttled += v
	}
	all := cost.Total() - cost.Calls["CreateTable"] - cost.Calls["DescribeTable"]
	// A call that is throttled is none to the fake.
	if read != cost.Read || write != cost.Write || int(calls-throttled) != all || throttled == 0 || retries != throttled {
		t.Errorf("read %v of %v, write %v of %v, calls %v of %d, retries %v, throttled %v", read, cost.Read, write, cost.Write, calls, all, retries, throttled)
	}
	if r := got.of("dynamodb_lost_races_total"); r["[]"] != 0 {
		t.Errorf("races %v", r)
	}
}
