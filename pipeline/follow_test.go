package pipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/eventlog"
)

// follows is a pipeline that reads the log beside one that writes it.
const follows = `
pipelines:
  reader:
    source: { event_log: { %s } }
    steps:
      - filter: data.amount > 1
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
      - forward: { catch: { name: out } }
  writer:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`

const copiesLog = `
pipelines:
  reader:
    source: { event_log: { %s } }
    steps:
      - filter: data.amount > 1
      - append: { stream: "copy/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
  writer:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`

// withLog opens event_log sources as they are, the others as feeds.
func withLog(r *rig) *rig {
	r.o.OpenSource = func(ctx context.Context, p config.Plugin, env sources.Env) (sources.Source, error) {
		if c, ok := p.Config.(eventlog.Config); ok {
			return eventlog.Open(ctx, c, env)
		}
		return r.feeds[env.Pipeline], nil
	}
	return r
}

func runLog(t *testing.T, yaml, source string, test func(r *rig)) {
	run(t, fmt.Sprintf(yaml, source), func(r *rig) { test(withLog(r)) })
}

func TestFollow(t *testing.T) {
	for name, yaml := range map[string]string{"relays": follows, "append": copiesLog} {
		t.Run(name, func(t *testing.T) {
			runLog(t, yaml, "origins: [writer]", func(r *rig) {
				f := r.start().feeds["writer"]
				f.send(order("e-1", "a", 1), order("e-2", "a", 2), order("e-3", "b", 3)).is("committed committed committed")
				r.wait()
				same(r, "live", r.sink("out").ids(), []string{"e-2", "e-3"})
				r.drain()
				r.ok()
				f = r.start().feeds["writer"]
				f.send(order("e-4", "a", 4)).is("committed")
				r.wait()
				same(r, "after a restart", r.sink("out").ids(), []string{"e-2", "e-3", "e-4"})
				same(r, "as the bytes in which they came", r.sink("out").bodies(), []string{order("e-2", "a", 2), order("e-3", "b", 3), order("e-4", "a", 4)})
				if name == "relays" {
					same(r, "table", r.rows("orders"), []string{"a 6", "b 3"})
				} else {
					same(r, "copies", r.stream("copy/a"), []string{"e-2", "e-4"})
				}
				r.drain()
				r.ok()
			})
		})
	}
}

func TestFollowFrom(t *testing.T) {
	for from, want := range map[string]string{
		"from: start": "e-2 e-3 e-4 e-5", "from: now": "e-5", "from: 2": "e-3 e-4 e-5", "from: 2000-01-01T00:01:00Z": "e-4 e-5",
		"from: 2000-01-01T00:00:30Z": "e-4 e-5", "from: 2001-01-01T00:00:30Z": "e-5",
	} {
		for name, yaml := range map[string]string{"relays": follows, "append": copiesLog} {
			t.Run(name+" "+from, func(t *testing.T) {
				runLog(t, yaml, "origins: [writer], "+from, func(r *rig) {
					all := r.cfg.Pipelines
					r.cfg.Pipelines = all[1:]
					f := r.start().feeds["writer"]
					f.send(order("e-1", "a", 1), order("e-2", "a", 2), order("e-3", "b", 3)).is("committed committed committed")
					sleepFor(time.Minute)
					f.send(order("e-4", "a", 4)).is("committed")
					r.drain()
					r.cfg.Pipelines = all
					// A restart before anything came in begins at the same place.
					r.start().wait()
					r.drain()
					r.cfg.Pipelines = all[1:]
					r.start().feeds["writer"].send(order("e-5", "a", 5)).is("committed")
					r.drain()
					r.cfg.Pipelines = all
					r.start().wait()
					same(r, from, strings.Join(r.sink("out").ids(), " "), want)
					r.drain()
					r.ok()
				})
			})
		}
	}
}

func TestFollowUntil(t *testing.T) {
	for until, want := range map[string]string{
		"follow: false": "e-2 e-3 e-4", "until: now": "e-2 e-3 e-4", "until: 3": "e-2 e-3", "until: 2000-01-01T00:00:30Z": "e-2 e-3",
		"until: 99, follow: false": "e-2 e-3 e-4",
	} {
		for name, yaml := range map[string]string{"relays": follows, "append": copiesLog} {
			t.Run(name+" "+until, func(t *testing.T) {
				runLog(t, yaml, "origins: [writer], "+until, func(r *rig) {
					all := r.cfg.Pipelines
					r.cfg.Pipelines = all[1:]
					f := r.start().feeds["writer"]
					f.send(order("e-1", "a", 1), order("e-2", "a", 2), order("e-3", "b", 3)).is("committed committed committed")
					sleepFor(time.Minute)
					f.send(order("e-4", "a", 4)).is("committed")
					r.drain()
					r.cfg.Pipelines = all[:1]
					for range 2 { // the second time there is nothing left to do
						r.start()
						r.join()
						r.ok()
						same(r, until, strings.Join(r.sink("out").ids(), " "), want)
					}
				})
			})
		}
	}
}

func TestFollowUntilWhatIsToCome(t *testing.T) {
	for until, want := range map[string]string{"until: 2": "e-2", "until: 2000-01-01T00:01:00Z": "e-2 e-3"} {
		for name, yaml := range map[string]string{"relays": follows, "append": copiesLog} {
			t.Run(name+" "+until, func(t *testing.T) {
				runLog(t, yaml, "origins: [writer], "+until, func(r *rig) {
					f := r.start().feeds["writer"]
					f.send(order("e-1", "a", 1), order("e-2", "a", 2), order("e-3", "a", 3)).is("committed committed committed")
					sleepFor(59 * time.Second)
					f.send(order("e-0", "a", 0)).is("committed")
					sleepFor(2 * time.Second)
					f.send(order("e-4", "a", 4)).is("committed")
					r.wait()
					r.finish()
					r.ok()
					same(r, until, strings.Join(r.sink("out").ids(), " "), want)
				})
			})
		}
	}
}

// TestFollowPoison: what fails is parked with its place in the log, and sent again from there.
func TestFollowPoison(t *testing.T) {
	for name, yaml := range map[string]string{"relays": follows, "append": strings.Replace(copiesLog, `copy/{{ data.order_id }}`, `{{ data.copy }}/{{ data.order_id }}`, 1)} {
		t.Run(name, func(t *testing.T) {
			runLog(t, yaml, "origins: [writer]", func(r *rig) {
				f := r.start().feeds["writer"]
				refused := true
				r.sink("out").refuse(func(id string) error {
					if refused && id == "e-2" {
						return event.Poison(errRefused)
					}
					return nil
				})
				f.send(order("e-2", "a", 2)).is("committed")
				r.wait()
				all := r.entries()
				if len(all) != 1 || all[0].Position != 1 || all[0].Stream.String() != "order/a" || all[0].EventID != "e-2" {
					t.Fatalf("parked: %+v", all)
				}
				refused = false
				if name == "append" {
					if err := r.store.EditParked(context.Background(), all[0].ID, []byte(strings.Replace(order("e-2", "a", 2), `"amount"`, `"copy":"x","amount"`, 1))); err != nil {
						t.Fatal(err)
					}
				}
				r.again(poison.Filter{})
				same(r, "sent again", r.sink("out").ids(), []string{"e-2"})
				same(r, "parked", r.parked(), []string(nil))
				if name == "append" {
					same(r, "appended", r.stream("x/a"), []string{"e-2"})
				}
				r.drain()
				r.ok()
			})
		})
	}
}

// TestFollowAnotherStore keeps its checkpoints in the pipeline's store and reads the log of another.
func TestFollowAnotherStore(t *testing.T) {
	for name, yaml := range map[string]string{"relays": follows, "append": copiesLog} {
		t.Run(name, func(t *testing.T) {
			runLog(t, strings.Replace(yaml, "  writer:\n", "  writer:\n    store: other\n", 1), "store: other", func(r *rig) {
				other := memory.Open(memory.Options{})
				r.others = map[string]eventstore.Store{"other": &brokenStore{Store: other}}
				r.append("noise/1", "", "", "") // the log of main is longer
				r.start().feeds["writer"].send(order("e-1", "a", 1), order("e-2", "a", 2)).is("committed committed")
				r.drain()
				r.start().feeds["writer"].send(order("e-3", "b", 3)).is("committed")
				r.wait()
				same(r, "live", r.sink("out").ids(), []string{"e-2", "e-3"})
				if name == "relays" {
					same(r, "table", r.rows("orders"), []string{"a 2", "b 3"})
				} else {
					same(r, "copies", r.stream("copy/b"), []string{"e-3"})
				}
				r.drain()
				r.ok()
				if err := other.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An event that is read from the log and appended to the stream where it stands has an id of its own, the same one when it
// is read again; elsewhere it keeps the one that it has.
func TestAppendWhereItStands(t *testing.T) {
	const yaml = `
pipelines:
  reader:
    source: { event_log: { %s } }
    steps:
      - append: { stream: "order/{{ data.order_id }}", type: Checked }
      - append: { stream: "checked/{{ data.order_id }}" }
  writer:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`
	runLog(t, yaml, "origins: [writer]", func(r *rig) {
		r.start().feeds["writer"].send(order("e-1", "a", 1), order("e-2", "a", 2)).is("committed committed")
		r.wait()
		logged := r.logged()
		if len(logged) != 6 {
			t.Fatalf("the log holds %q", logged)
		}
		derived := logged[2][strings.LastIndex(logged[2], " ")+1:]
		if derived == "e-1" || !strings.HasPrefix(logged[2], "order/a@3 Checked ") || !strings.HasPrefix(logged[3], "checked/a@1 OrderCreated ") {
			t.Errorf("the log holds %q", logged)
		}
		r.die()
		// Read again from the beginning, it is there already.
		head, err := r.store.Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		place := "log " + head.LogID
		if at, err := r.store.Cursor(context.Background(), "reader", place); at != "2" || err != nil {
			t.Fatalf("the reader stands at %q: %v", at, err)
		}
		u := &eventstore.Unit{Pipeline: "reader", Cursor: &event.Cursor{Key: place, Value: "0"}}
		if err := r.store.Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		r.start().wait()
		same(r, "again", r.logged(), logged)
		if at, _ := r.store.Cursor(context.Background(), "reader", place); at == "0" {
			t.Error("nothing was read again")
		}
		r.die()
		same(r, "parked", r.parked(), nil)
	})
	runLog(t, strings.Replace(yaml, "      - append: { stream: \"checked/{{ data.order_id }}\" }\n", "", 1), "store: other", func(r *rig) {
		r.others = map[string]eventstore.Store{"other": memory.Open(memory.Options{})}
		defer r.others["other"].Close()
		u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "order", ID: "a"}, Events: []event.Event{{ID: "e-1", Type: "T", Source: "s", Data: []byte(`{"order_id":"a"}`)}}}}}
		if err := r.others["other"].Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		r.start().wait()
		same(r, "a copy of another log keeps its ids", r.logged(), []string{"order/a@1 Checked e-1"})
		r.die()
	})
}
