package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

const rebuilt = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
      - forward: { catch: { name: out } }
`

// spoil changes a row behind the relay's back: a rebuild is to mend it.
func (r *rig) spoil(name string, row table.Row) {
	r.Helper()
	infos, err := r.store.Tables().Tables(context.Background())
	if err != nil || len(infos) == 0 {
		r.Fatal(err)
	}
	if err := r.store.Tables().Apply(context.Background(), &table.Write{Def: &infos[0].Def, Put: []table.Row{row}}); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) rebuild(a control.Rebuild) control.Work {
	r.Helper()
	w, err := r.daemon.Rebuild(context.Background(), a)
	if err != nil {
		r.Fatal(err)
	}
	return w
}

// ended waits for a work's end.
func (r *rig) workEnds(id string) control.Work {
	r.Helper()
	for range 10000 {
		w, err := r.daemon.Work(id)
		if err != nil {
			r.Fatal(err)
		}
		if w.Over() {
			return w
		}
		sleepFor(time.Second)
	}
	r.Fatal("the work does not end")
	return control.Work{}
}

func TestRebuild(t *testing.T) {
	run(t, rebuilt, func(r *rig) {
		f := r.start().feed()
		for _, b := range orders(100, 5) {
			f.send(b).is("committed")
		}
		r.wait()
		want := r.rows("orders")
		r.spoil("orders", table.Row{"o-1", nil})
		r.spoil("orders", table.Row{"o-x", nil})

		dry := r.workEnds(r.rebuild(control.Rebuild{Table: "orders", DryRun: true}).ID)
		same(r, "dry run", [4]any{dry.State, dry.Events, dry.Done, dry.Total}, [4]any{control.Done, int64(100), int64(100), int64(100)})
		if len(r.rows("orders")) != 6 {
			t.Error("a dry run changed the table")
		}
		for range 2 {
			w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID)
			same(r, "rebuilt", [5]any{w.State, w.Events, w.Done, w.Total, w.Error}, [5]any{control.Done, int64(100), int64(100), int64(100), ""})
			same(r, "rows", r.rows("orders"), want)
		}
		f.send(order("more", "o-1", 1000)).is("committed")
		r.wait()
		if row := r.rows("orders")[1]; row == want[1] {
			t.Errorf("the table does not go on: %s", row)
		}
		r.drain()
		r.ok()
		r.start()
		r.feed().send(order("yet-more", "o-9", 1)).is("committed")
		r.wait()
		same(r, "after a restart", len(r.rows("orders")), 6)
		r.finish()
		r.ok()
	})
}

// TestRebuildBesideTheLiveTable throttles a rebuild so that the live table takes more events all the while, and is read.
func TestRebuildBesideTheLiveTable(t *testing.T) {
	run(t, rebuilt, func(r *rig) {
		f := r.start().feed()
		for _, b := range orders(200, 5) {
			f.send(b).is("committed")
		}
		r.wait()
		r.spoil("orders", table.Row{"o-1", nil})
		id := r.rebuild(control.Rebuild{Table: "orders", Throttle: 10}).ID
		var busy *control.BusyError
		if _, err := r.daemon.Rebuild(context.Background(), control.Rebuild{Table: "orders"}); !errors.As(err, &busy) {
			t.Errorf("a second rebuild at a time: %v", err)
		}
		for i := range 20 {
			sleepFor(500 * time.Millisecond)
			f.send(order(fmt.Sprint("live-", i), "live", 1)).is("committed")
			r.wait()
			if rows := strings.Join(r.rows("orders"), ","); !strings.Contains(rows, fmt.Sprintf("live %d", i+1)) {
				t.Fatalf("the live table stands still: %s", rows)
			}
		}
		w, err := r.daemon.Work(id)
		if err != nil || w.Over() || w.Done == 0 || w.Rate <= 0 || w.Left <= 0 {
			t.Errorf("under way: %+v, %v", w, err)
		}
		w = r.workEnds(id)
		same(r, "rebuilt", [2]any{w.State, w.Events}, [2]any{control.Done, int64(220)})
		want := map[string]bool{"live 20": true}
		for _, row := range r.rows("orders") {
			if strings.HasPrefix(row, "o-1 ") && row != "o-1 3980" {
				t.Errorf("not mended: %s", row)
			}
			delete(want, row)
		}
		if len(want) > 0 {
			t.Errorf("what came meanwhile is not there: %q", r.rows("orders"))
		}
		r.finish()
		r.ok()
	})
}

func TestRebuildGoesOnAfterARestart(t *testing.T) {
	for how, stop := range map[string]func(r *rig) PipelineSummary{"drain": (*rig).drain, "die": (*rig).die} {
		t.Run(how, func(t *testing.T) {
			run(t, rebuilt, func(r *rig) {
				f := r.start().feed()
				for _, b := range orders(100, 5) {
					f.send(b).is("committed")
				}
				r.wait()
				want := r.rows("orders")
				r.spoil("orders", table.Row{"o-1", nil})
				r.rebuild(control.Rebuild{Table: "orders", Throttle: 10})
				sleepFor(3 * time.Second)
				stop(r)
				r.start()
				sleepFor(time.Minute)
				same(r, "rows", r.rows("orders"), want)
				all := r.daemon.Works()
				if len(all) != 1 || all[0].State != control.Done {
					t.Errorf("works: %+v", all)
				}
				r.drain()
				r.start()
				sleepFor(time.Minute)
				same(r, "it is struck off", len(r.daemon.Works()), 0)
				r.finish()
				r.ok()
			})
		})
	}
}

func TestRebuildCancelled(t *testing.T) {
	run(t, rebuilt, func(r *rig) {
		f := r.start().feed()
		for _, b := range orders(100, 5) {
			f.send(b).is("committed")
		}
		r.wait()
		id := r.rebuild(control.Rebuild{Table: "orders", Throttle: 10}).ID
		sleepFor(3 * time.Second)
		w, err := r.daemon.CancelWork(context.Background(), id)
		if err != nil || w.State != control.Cancelled {
			t.Errorf("%+v, %v", w, err)
		}
		infos, err := r.store.Tables().Tables(context.Background())
		if err != nil || len(infos) != 1 || infos[0].Building != 0 {
			t.Errorf("what was built is still there: %+v, %v", infos, err)
		}
		if w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID); w.State != control.Done {
			t.Errorf("again: %+v", w)
		}
		r.finish()
		r.ok()
	})
}

// TestRebuildAndPoison: what is parked stays so, and so does what is held behind it; what was sent again meanwhile makes
// the rebuild give up.
func TestRebuildAndPoison(t *testing.T) {
	yaml := strings.Replace(rebuilt, "add: { total: data.amount }", `add: { total: 'data.amount' }`, 1)
	run(t, yaml, func(r *rig) {
		f := r.start().feed()
		bad := strings.Replace(order("bad", "o-1", 1), `"amount":1`, `"amount":"one"`, 1)
		f.send(order("e-1", "o-1", 1), bad, order("e-3", "o-1", 3), order("e-4", "o-2", 4)).outcomes()
		r.wait()
		parked, rows := r.parked(), r.rows("orders")
		if len(parked) != 2 {
			t.Fatalf("parked %q", parked)
		}
		w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID)
		same(r, "state", w.State, control.Done)
		same(r, "parked as before", r.parked(), parked)
		same(r, "rows as before", r.rows("orders"), rows)
		f.send(order("e-5", "o-1", 5)).is("committed")
		r.wait()
		same(r, "held behind it", len(r.parked()), 3)

		id := r.rebuild(control.Rebuild{Table: "orders", Throttle: 1}).ID
		sleepFor(time.Second / 2)
		if _, err := r.daemon.DropPoison(context.Background(), "main", poison.Filter{IDs: []int64{r.entries()[0].ID}}); err != nil {
			t.Fatal(err)
		}
		w = r.workEnds(id)
		if w.State != control.Failed || !strings.Contains(w.Error, "rebuild again") {
			t.Errorf("after a drop meanwhile: %+v", w)
		}
		r.wait()
		same(r, "what was held is applied once", r.rows("orders"), []string{"o-1 9", "o-2 4"})
		// The dropped event is in the log still: it fails again, and holds again what is behind it.
		w = r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID)
		same(r, "again", [2]any{w.State, w.Parked}, [2]any{control.Done, int64(3)})
		same(r, "parked anew", len(r.parked()), 3)
		same(r, "rows", r.rows("orders"), []string{"o-1 1", "o-2 4"})
		r.finish()
		r.ok()
	})
}

// unfolding keeps states and does not say how they follow from events.
type unfolding struct{ handlers.Closing }

func (unfolding) Handle(context.Context, event.Recorded) ([]handlers.Emitted, error) { return nil, nil }
func (unfolding) StateTables() []string                                              { return []string{"states"} }

func TestRebuildRefused(t *testing.T) {
	run(t, strings.Replace(rebuilt, "      - append", "      - handle: { stub: { name: own, state: states } }\n      - append", 1), func(r *rig) {
		r.open = func(stubConfig, handlers.Env) (handlers.Handler, error) { return unfolding{}, nil }
		r.start()
		for _, tt := range []struct {
			table, words string
		}{{"order", `did you mean "orders"?`}, {"states", "handlers.Folding"}, {"", "there is no table"}} {
			if _, err := r.daemon.Rebuild(context.Background(), control.Rebuild{Table: tt.table}); err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%q: %v, want words %q", tt.table, err, tt.words)
			}
		}
		if err := r.daemon.Pause(context.Background(), control.Pause{Pipeline: "p"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.daemon.Rebuild(context.Background(), control.Rebuild{Table: "orders"}); err == nil || !strings.Contains(err.Error(), "paused") {
			t.Errorf("of a paused pipeline: %v", err)
		}
		r.drain()
		r.ok()
	})
}

// TestRebuildOfAPausedRelay: the relay itself need not run on for its table to be built anew.
func TestRebuildOfAPausedRelay(t *testing.T) {
	run(t, rebuilt, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 1)).is("committed")
		r.wait()
		want := r.rows("orders")
		if err := r.daemon.Pause(context.Background(), control.Pause{Pipeline: "p", Relay: "project orders"}); err != nil {
			t.Fatal(err)
		}
		f.send(order("e-2", "o-2", 2)).is("committed")
		r.wait()
		r.spoil("orders", table.Row{"o-1", nil})
		w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID)
		same(r, "state", w.State, control.Done)
		same(r, "up to where the relay stands", r.rows("orders"), want)
		r.drain()
		r.ok()
	})
}

func TestRebuildAtRest(t *testing.T) {
	run(t, rebuilt, func(r *rig) {
		f := r.start().feed()
		for _, b := range orders(100, 5) {
			f.send(b).is("committed")
		}
		r.wait()
		want := r.rows("orders")
		r.drain()
		r.spoil("orders", table.Row{"o-1", nil})
		sent := len(r.sink("out").ids())
		told := 0
		w, err := RebuildAtRest(context.Background(), r.cfg, r.daemon.o, control.Rebuild{Table: "orders"}, func(control.Work) { told++ })
		if err != nil || w.State != control.Done || w.Events != 100 || told == 0 {
			t.Errorf("%+v, %v, told %d times", w, err, told)
		}
		same(r, "rows", r.rows("orders"), want)
		same(r, "nothing is forwarded", len(r.sink("out").ids()), sent)
		r.start().feed().send(order("more", "o-1", 1)).is("committed")
		r.finish()
		r.ok()
		if _, err := RebuildAtRest(context.Background(), r.cfg, r.daemon.o, control.Rebuild{Table: "ordres"}, nil); err == nil || !strings.Contains(err.Error(), `did you mean "orders"?`) {
			t.Errorf("%v", err)
		}
	})
}
