package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// account is an aggregate: money comes and goes, and never more goes than is there.
type account struct {
	Balance int
	Moves   int
}

type accounts struct{}

func (accounts) Evolve(s account, e event.Recorded) account {
	var d struct{ Amount int }
	_ = json.Unmarshal(e.Data, &d)
	switch e.Type {
	case "Paid":
		s.Balance += d.Amount
	case "Taken":
		s.Balance -= d.Amount
	}
	s.Moves++
	return s
}

var errOverdrawn = errors.New("not enough")

func (accounts) Decide(_ context.Context, s account, e event.Recorded) ([]event.Event, error) {
	var d struct{ Amount int }
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return nil, event.Poison(err)
	}
	switch {
	case e.Type == "Twice":
		paid := event.Event{Type: "Paid", Source: "bank", Data: e.Data}
		return []event.Event{paid, paid}, nil
	case e.Type == "Take" && s.Balance < d.Amount:
		return nil, event.PoisonAs("overdrawn", errOverdrawn)
	case e.Type == "Take":
		return []event.Event{{Type: "Taken", Source: "bank", Data: e.Data}}, nil
	}
	return []event.Event{{Type: "Paid", Source: "bank", Data: e.Data}}, nil
}

// openAccounts makes the rig's handlers account aggregates.
func openAccounts(version int) func(stubConfig, handlers.Env) (handlers.Handler, error) {
	return func(c stubConfig, env handlers.Env) (handlers.Handler, error) {
		return handlers.NewAggregate(accounts{}, handlers.Streams{Stream: config.Text{Source: "account/{{ data.to }}"}, State: c.State, Version: version}, env)
	}
}

func move(id, typ, to string, amount int) string {
	return fmt.Sprintf(`{"id":%q,"source":"client","detail-type":%q,"detail":{"to":%q,"amount":%d}}`, id, typ, to, amount)
}

const bank = `
pipelines:
  p:
    source: { feed: SOURCE }
    steps:
      - handle: { stub: { STATE } }
      - append: {}
      - project: { table: sums, key: { id: data.to }, by_type: { Paid: { add: { sum: data.amount } }, Taken: { add: { sum: -1 * data.amount } } } }
    retry: { attempts: 3, initial: 10ms }
`

func bankOf(source, state string) string {
	return strings.Replace(strings.Replace(bank, "SOURCE", source, 1), "STATE", state, 1)
}

// The events of one batch see what those before them have given, and are committed together.
func TestAggregateInABatch(t *testing.T) {
	for _, source := range []string{"{ cursor: true, ordered: true }", "{}"} {
		for _, state := range []string{"", "state: accounts"} {
			run(t, bankOf(source, state), func(r *rig) {
				r.open = openAccounts(1)
				f := r.start().feed()
				f.send(move("1", "Pay", "a", 10), move("2", "Take", "a", 7), move("3", "Take", "a", 4), move("4", "Twice", "a", 5), move("5", "Take", "b", 1), move("6", "Take", "a", 13)).
					is("committed committed poisoned committed poisoned committed")
				commits := 0
				for _, units := range r.store.commits {
					if len(units) > 1 {
						commits++
					}
				}
				f.send(move("7", "Pay", "a", 1)).is("committed")
				r.finish()
				r.ok()
				same(r, "log", shape(r.logged()), []string{"account/a@1 Paid", "account/a@2 Taken", "account/a@3 Paid", "account/a@4 Paid", "account/a@5 Taken", "account/a@6 Paid"})
				same(r, "sum", r.rows("sums"), []string{"a 1"})
				same(r, "conflicts", r.counter("leat_append_conflicts_total", "pipeline", "p"), 0)
				if state != "" {
					row := r.rows("accounts")
					if len(row) != 1 || !strings.HasPrefix(row[0], "account/a 6 1 ") || !strings.HasSuffix(row[0], `{"Balance":1,"Moves":6}`) {
						t.Errorf("state %q", row)
					}
				}
			})
		}
	}
}

// The batches of an ordered source are decided on one behind another, each on what those before it have committed: none
// decides on what is past, to meet a conflict and decide again.
func TestAggregateOverOrderedBatches(t *testing.T) {
	run(t, bankOf("{ cursor: true, ordered: true }", ""), func(r *rig) {
		r.open = openAccounts(1)
		r.store.slow = time.Millisecond
		f := r.start().feed()
		f.send(move("0", "Pay", "a", 1)).is("committed")
		var all []*sent
		for i := range 5 {
			all = append(all, f.send(move(fmt.Sprint(i+1), "Pay", "a", 1)))
		}
		for _, s := range all {
			s.is("committed")
		}
		r.finish()
		r.ok()
		same(r, "sum", r.rows("sums"), []string{"a 6"})
		same(r, "conflicts", r.counter("leat_append_conflicts_total", "pipeline", "p"), 0)
	})
}

// Writers that know nothing of each other lose nothing: each conflict decides again, one at a time for each stream.
func TestAggregateConflicts(t *testing.T) {
	const batches, streams = 40, 3
	for _, state := range []string{"", "state: accounts"} {
		other := strings.Replace(strings.Replace(bankOf("{}", strings.Replace(state, "accounts", "others", 1)), "  p:\n", "  q:\n", 1), "table: sums", "table: sums2", 1)
		run(t, bankOf("{}", state)+strings.TrimPrefix(strings.TrimPrefix(other, "\n"), "pipelines:\n"), func(r *rig) {
			r.open = openAccounts(1)
			r.start()
			r.store.slow = time.Millisecond
			var all []*sent
			for i := range batches {
				for _, p := range []string{"p", "q"} {
					var bodies []string
					for k := range 4 {
						n := i*4 + k
						bodies = append(bodies, move(fmt.Sprintf("%s-%d", p, n), "Pay", fmt.Sprintf("s%d", n%streams), 1))
					}
					all = append(all, r.feeds[p].send(bodies...))
				}
			}
			for _, s := range all {
				<-s.b.Done()
				s.is("committed committed committed committed")
			}
			r.finish()
			r.ok()
			// Revisions are dense by the store's own rule; every event is there once.
			revisions := map[string]int64{}
			total := 0
			for e, err := range r.store.ReadAll(context.Background(), eventstore.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if revisions[e.Stream.ID]++; revisions[e.Stream.ID] != e.Revision {
					t.Errorf("%s has a gap at %d", e.Stream, e.Revision)
				}
				total++
			}
			same(r, "events", total, 2*4*batches)
			same(r, "parked", r.parked(), nil)
			if state == "" {
				return
			}
			for _, row := range append(r.rows("accounts"), r.rows("others")...) {
				var s account
				part := strings.SplitN(row, " ", 5)
				if err := json.Unmarshal([]byte(part[4]), &s); err != nil || fmt.Sprint(s.Moves) != part[1] || s.Balance != s.Moves {
					t.Errorf("state %q", row)
				}
			}
		})
	}
}

// reads counts what handlers read of streams.
type countedReads struct {
	handlers.Store
	mu   *sync.Mutex
	from *[]int64
}

func (c countedReads) ReadStream(ctx context.Context, s event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	c.mu.Lock()
	*c.from = append(*c.from, o.From)
	c.mu.Unlock()
	return c.Store.ReadStream(ctx, s, o)
}

// Loading starts from the kept state; one of another version, or that fits the type no more, is written anew.
func TestAggregateStartsFromItsState(t *testing.T) {
	run(t, bankOf("{}", "state: accounts"), func(r *rig) {
		var mu sync.Mutex
		var from []int64
		version := 1
		r.open = func(c stubConfig, env handlers.Env) (handlers.Handler, error) {
			env.Store = countedReads{env.Store, &mu, &from}
			return openAccounts(version)(c, env)
		}
		// Another writer's event is behind the state, and read.
		f := r.start().feed()
		f.send(move("1", "Pay", "a", 10)).is("committed")
		f.send(move("2", "Pay", "a", 10)).is("committed")
		unit := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "account", ID: "a"}, Events: []event.Event{{ID: "x", Type: "Paid", Data: []byte(`{"amount":5}`)}}}}}
		if err := r.store.Commit(context.Background(), []*eventstore.Unit{unit}, eventstore.CommitOptions{}); err != nil || unit.Result.Status != eventstore.Done {
			t.Fatal(err, unit.Result.Err)
		}
		f.send(move("3", "Take", "a", 25)).is("committed")
		same(r, "reads", from, []int64{1, 2, 3})
		r.finish()
		r.ok()
		version = 2
		from = nil
		r.start().feed().send(move("4", "Pay", "a", 1)).is("committed")
		r.wait()
		r.feed().send(move("5", "Pay", "a", 1)).is("committed")
		same(r, "reads of another version", from, []int64{1, 6})
		if row := r.rows("accounts")[0]; !strings.HasPrefix(row, "account/a 6 2 ") || !strings.HasSuffix(row, `{"Balance":2,"Moves":6}`) {
			t.Errorf("state %q", row)
		}
		r.finish()
		r.ok()
	})
}

// What one source event gives is seen by its own later parts.
func TestAggregateInOneUnit(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - split: { each: data.moves }
      - map: { set: { type: data.type } }
      - handle: { stub: { state: accounts } }
      - append: {}
`, func(r *rig) {
		r.open = openAccounts(1)
		body := func(id, moves string) string {
			return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":"Moves","detail":{"moves":%s}}`, id, moves)
		}
		r.start().feed().send(
			body("1", `[{"type":"Pay","to":"a","amount":5},{"type":"Twice","to":"a","amount":1},{"type":"Take","to":"a","amount":7}]`),
			body("2", `[{"type":"Pay","to":"a","amount":5},{"type":"Take","to":"a","amount":6}]`),
			body("3", `[{"type":"Pay","to":"a","amount":1},{"type":"Take","to":"b","amount":0}]`)).
			is("committed poisoned committed")
		r.finish()
		r.ok()
		same(r, "log", shape(r.logged()), []string{"account/a@1 Paid", "account/a@2 Paid", "account/a@3 Paid", "account/a@4 Taken", "account/a@5 Paid", "account/b@1 Taken"})
		if rows := r.rows("accounts"); len(rows) != 2 || !strings.HasPrefix(rows[0], "account/a 5 ") || !strings.HasSuffix(rows[0], `{"Balance":1,"Moves":5}`) {
			t.Errorf("states %q", rows)
		}
	})
}

// The words of on_conflict stay; a handler that never sees the stream as it is uses up its attempts.
func TestAggregateConflictWords(t *testing.T) {
	for words, want := range map[string]string{"": "poisoned", "on_conflict: drop": "dropped", "on_conflict: poison": "poisoned", "expect: any": "committed"} {
		run(t, strings.Replace(bankOf("{}", "name: h"), "append: {}", "append: { "+words+" }", 1), func(r *rig) {
			calls := 0
			r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
				calls++
				return []handlers.Emitted{{Event: event.Event{Type: "Paid", Data: e.Data}, Stream: event.Stream{Type: "account", ID: "a"}, Expect: eventstore.Revision(7)}}, nil
			}
			s := r.start().feed().send(move("1", "Pay", "a", 1))
			<-s.b.Done()
			s.is(want)
			r.finish()
			r.ok()
			if want == "poisoned" {
				same(r, words, r.entries()[0].Code, "conflict")
			}
			attempts := 1
			if words == "" {
				attempts = 4 // the first conflict costs no attempt
			}
			same(r, "calls "+words, calls, attempts)
		})
	}
}

// A redelivered event is known before it could count twice.
func TestAggregateDuplicates(t *testing.T) {
	run(t, bankOf("{}", "state: accounts"), func(r *rig) {
		r.open = openAccounts(1)
		f := r.start().feed()
		f.send(move("1", "Pay", "a", 5), move("2", "Take", "a", 5)).is("committed committed")
		f.send(move("2", "Take", "a", 5), move("1", "Pay", "a", 5)).is("duplicate duplicate")
		r.finish()
		r.ok()
		same(r, "log", len(r.logged()), 2)
		if rows := r.rows("accounts"); !strings.HasSuffix(rows[0], `{"Balance":0,"Moves":2}`) {
			t.Errorf("state %q", rows)
		}
	})
}

// A table that a handler keeps states in has one owner.
func TestStateTableHasOneOwner(t *testing.T) {
	run(t, strings.Replace(bankOf("{}", "state: sums"), "key: {", "key: {", 1), func(r *rig) {
		r.open = openAccounts(1)
		if err := r.try(); err == nil || !strings.Contains(err.Error(), "sums") {
			t.Errorf("error %v", err)
		}
	})
}
