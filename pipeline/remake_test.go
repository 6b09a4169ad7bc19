package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
)

func inlineOf(amount string, version int) string { return fmt.Sprintf(inlineOrders, amount, version) }

// one gives the only table of a name, and fails where something is left behind beside it.
func (r *rig) one(name string) table.Info {
	r.Helper()
	infos, err := r.store.Tables().Tables(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	infos = slices.DeleteFunc(infos, func(i table.Info) bool { return i.Def.Name != name })
	if len(infos) != 1 || !infos[0].Live {
		r.Fatalf("tables %+v", infos)
	}
	return infos[0]
}

func TestRemakeInline(t *testing.T) {
	run(t, inlineOf("data.amount", 1), func(r *rig) {
		r.append("foreign/x", make([]string, 3)...)
		f := r.start().feed()
		f.send(orders(100, 5)...)
		r.wait()
		want := r.rows("orders")
		r.spoil("orders", table.Row{"o-1", nil})
		r.spoil("orders", table.Row{"o-x", nil})
		spoilt := r.rows("orders")
		dry := r.workEnds(r.rebuild(control.Rebuild{Table: "orders", DryRun: true}).ID)
		same(r, "dry run", [4]any{dry.State, dry.Events, dry.Done, dry.Total}, [4]any{control.Done, int64(100), int64(103), int64(103)})
		same(r, "a dry run changes nothing", r.rows("orders"), spoilt)
		for range 2 {
			w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID)
			same(r, "rebuilt", [5]any{w.State, w.Events, w.Done, w.Total, w.Error}, [5]any{control.Done, int64(100), int64(103), int64(103), ""})
			same(r, "rows", r.rows("orders"), want)
			r.one("orders")
		}
		f.send(order("more", "o-1", 1000)).is("committed")
		if row := r.rows("orders")[1]; row != "o-1 1990" {
			t.Errorf("the table does not go on: %s", row)
		}
		r.drain()
		r.ok()
		r.start()
		r.feed().send(order("yet-more", "o-9", 1)).is("committed")
		same(r, "after a restart", len(r.rows("orders")), 6)
		r.finish()
		r.ok()
	})
}

// Appends go on writing the live table while the new one is built; what they wrote last is in it too, whoever wrote it.
func TestRemakeInlineUnderAppends(t *testing.T) {
	together(t, inlineOf("data.amount", 1), func(c *crew) {
		both := c.start("a", "b")
		a, b := both[0], both[1]
		a.feed().send(orders(100, 5)...)
		a.wait()
		a.spoil("orders", table.Row{"o-1", nil})
		id := a.rebuild(control.Rebuild{Table: "orders", Throttle: 10}).ID
		var busy *control.BusyError
		for _, r := range both {
			if _, err := r.daemon.Rebuild(context.Background(), control.Rebuild{Table: "orders"}); !errors.As(err, &busy) {
				t.Errorf("a second rebuild at a time: %v", err)
			}
		}
		sent := 0
		for w := a.daemon.Works()[0]; !w.Over(); w = a.daemon.Works()[0] {
			for i, r := range both {
				r.feed().send(order(fmt.Sprint("live-", i, "-", sent), "live", 1)).is("committed")
			}
			sent += 2
			if rows := strings.Join(a.rows("orders"), ","); !strings.Contains(rows, fmt.Sprintf("live %d", sent)) {
				t.Fatalf("the live table stands still: %s", rows)
			}
			sleepFor(700 * time.Millisecond)
		}
		w := a.workEnds(id)
		same(a, "rebuilt", [2]any{w.State, w.Error}, [2]any{control.Done, ""})
		if sent < 20 {
			t.Errorf("only %d events came meanwhile", sent)
		}
		for i, r := range both { // b finds out by its next append
			r.feed().send(order(fmt.Sprint("end-", i), "live", 1), order(fmt.Sprint("end-again-", i), "other", 1)).is("committed committed")
		}
		same(a, "rows", a.rows("orders"), []string{fmt.Sprint("live ", sent+2), "o-0 970", "o-1 990", "o-2 1010", "o-3 1030", "o-4 1050", "other 2"})
		b.one("orders")
		same(a, "it is struck off", kept(a), nil)
		for _, r := range both {
			r.finish()
			r.ok()
		}
	})
}

// Whoever dies in the middle leaves the live table as it is; the next start, or another replica, builds it.
func TestRemakeInlineGoesOn(t *testing.T) {
	for how, stop := range map[string]func(r *rig) PipelineSummary{"drain": (*rig).drain, "die": (*rig).die} {
		t.Run(how, func(t *testing.T) {
			run(t, inlineOf("data.amount", 1), func(r *rig) {
				r.start().feed().send(orders(100, 5)...)
				r.wait()
				want := r.rows("orders")
				r.spoil("orders", table.Row{"o-1", nil})
				spoilt := r.rows("orders")
				r.rebuild(control.Rebuild{Table: "orders", Throttle: 10})
				sleepFor(3 * time.Second)
				stop(r)
				same(r, "the live table", r.rows("orders"), spoilt)
				r.start()
				sleepFor(time.Minute)
				same(r, "rows", r.rows("orders"), want)
				r.one("orders")
				if all := r.daemon.Works(); len(all) != 1 || all[0].State != control.Done {
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
	for _, away := range []time.Duration{13 * time.Second, 20 * time.Second, time.Minute} {
		t.Run("another replica after "+away.String(), func(t *testing.T) {
			together(t, inlineOf("data.amount", 1), func(c *crew) {
				both := c.start("a", "b")
				a, b := both[0], both[1]
				a.feed().send(orders(100, 5)...)
				a.wait()
				want := a.rows("orders")
				a.spoil("orders", table.Row{"o-1", nil})
				a.rebuild(control.Rebuild{Table: "orders", Throttle: 10})
				sleepFor(3 * time.Second)
				severed(a)
				sleepFor(away)
				a.store.breaks(nil, nil)
				sleepFor(time.Minute)
				same(b, "rows", b.rows("orders"), want)
				b.one("orders")
				same(b, "it is struck off", kept(b), nil)
				for i, r := range both {
					r.feed().send(order(fmt.Sprint("end-", i), "end", 1)).is("committed")
				}
				same(b, "both go on", b.rows("orders")[0], "end 2")
				for _, r := range both {
					r.finish()
					r.ok()
				}
			})
		})
	}
}

// A swap whose moment is not to be had, or whose answer was lost, leaves no table half in place.
func TestRemakeInlineFaults(t *testing.T) {
	for name, breaks := range map[string]func(r *rig, fail func(string) error){
		"before": func(r *rig, fail func(string) error) { r.store.breaks(fail, nil) },
		"after":  func(r *rig, fail func(string) error) { r.store.breaks(nil, fail) },
	} {
		for _, call := range []string{"apply", "swap"} {
			t.Run(call+" "+name, func(t *testing.T) {
				run(t, inlineOf("data.amount", 1), func(r *rig) {
					r.start().feed().send(orders(100, 5)...)
					r.wait()
					want := r.rows("orders")
					breaks(r, func(c string) error {
						if c == call {
							return errors.New("no")
						}
						return nil
					})
					if w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID); w.State != control.Failed || !strings.Contains(w.Error, "no") {
						t.Errorf("%+v", w)
					}
					r.store.breaks(nil, nil)
					same(r, "rows", r.rows("orders"), want)
					r.one("orders")
					r.feed().send(order("more", "o-1", 30)).is("committed")
					same(r, "it goes on", r.rows("orders")[1], "o-1 1020")
					if w := r.workEnds(r.rebuild(control.Rebuild{Table: "orders"}).ID); w.State != control.Done {
						t.Errorf("again: %+v", w)
					}
					same(r, "rows", r.rows("orders")[1], "o-1 1020")
					r.finish()
					r.ok()
				})
			})
		}
	}
}

func TestRemakeInlineCancelled(t *testing.T) {
	run(t, inlineOf("data.amount", 1), func(r *rig) {
		r.start().feed().send(orders(100, 5)...)
		r.wait()
		want := r.rows("orders")
		id := r.rebuild(control.Rebuild{Table: "orders", Throttle: 10}).ID
		sleepFor(3 * time.Second)
		w, err := r.daemon.CancelWork(context.Background(), id)
		if err != nil || w.State != control.Cancelled {
			t.Errorf("%+v, %v", w, err)
		}
		same(r, "rows", r.rows("orders"), want)
		r.one("orders")
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

// In a rolling deploy with a raised version the earlier daemon writes its own until the new one is in place, then it waits:
// nothing is in neither, and nothing is parked.
func TestInlineVersionRaisedBesideAnotherReplica(t *testing.T) {
	together(t, inlineOf("data.amount", 1), func(c *crew) {
		a := c.start("a")[0]
		a.feed().send(orders(100, 5)...)
		a.wait()
		b := c.replica("b")
		b.load(inlineOf("data.amount * 2", 2))
		b.start()
		sleepFor(5 * time.Second)
		same(b, "in place", b.rows("orders")[1], "o-1 1980")
		same(b, "version", b.one("orders").Def.Version, 2)
		late := a.feed().send(order("late", "o-1", 10))
		sleepFor(10 * time.Second)
		if err := a.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("the earlier daemon says %v", err)
		}
		b.feed().send(order("new", "o-1", 5)).is("committed")
		a.drain()
		late.is("released")
		b.feed().send(order("late", "o-1", 10)).is("committed")
		same(b, "rows", b.rows("orders")[1], "o-1 2010")
		same(b, "parked", b.parked(), nil)
		b.finish()
		b.ok()
	})
}

// Two daemons that start with the raised version at the same time build one table.
func TestInlineVersionRaisedByTwo(t *testing.T) {
	together(t, inlineOf("data.amount", 1), func(c *crew) {
		a := c.start("a")[0]
		a.feed().send(orders(12000, 5)...)
		a.finish()
		a.ok()
		var both []*rig
		started := make(chan error, 2)
		for _, name := range []string{"b", "c"} {
			r := c.replica(name)
			r.load(inlineOf("data.amount * 2", 2))
			both = append(both, r)
			go func() { started <- r.try() }()
		}
		for range both {
			if err := <-started; err != nil {
				t.Error(err)
			}
		}
		for i, r := range both {
			r.feed().send(order(fmt.Sprint("end-", i), "end", 1)).is("committed")
		}
		rows := both[0].rows("orders")
		same(both[0], "rows", rows[0], "end 4")
		same(both[0], "rows", rows[1], "o-0 28792800")
		both[0].one("orders")
		for _, r := range both {
			r.finish()
			r.ok()
		}
	})
}

// The states of aggregates are made anew from their streams; a decision on an earlier state is made again.
func TestRemakeStates(t *testing.T) {
	run(t, bankOf("{}", "state: accounts"), func(r *rig) {
		r.open = openAccounts(1)
		f := r.start().feed()
		f.send(move("1", "Pay", "a", 10), move("2", "Take", "a", 7), move("3", "Pay", "b", 4))
		r.wait()
		r.append("account/c", "x", "y") // of an application, and without a state
		want := states(r)
		spoil := func(stream string, revision int64, state string) {
			r.spoil("accounts", table.Row{stream, apd.New(revision, 0), apd.New(1, 0), time.Now().UTC(), json.RawMessage(state)})
		}
		spoil("account/a", 2, `{"Balance":100,"Moves":2}`)
		f.send(move("4", "Take", "a", 50)).is("committed") // by a wrong state
		dry := r.workEnds(r.rebuild(control.Rebuild{Table: "accounts", DryRun: true}).ID)
		same(r, "dry run", [2]any{dry.State, dry.Events}, [2]any{control.Done, int64(6)})
		w := r.workEnds(r.rebuild(control.Rebuild{Table: "accounts"}).ID)
		same(r, "rebuilt", [3]any{w.State, w.Events, w.Error}, [3]any{control.Done, int64(6), ""})
		want["account/a"], want["account/c"] = `3 1 {"Balance":-47,"Moves":3}`, `2 1 {"Balance":0,"Moves":2}`
		same(r, "states", states(r), want)
		f.send(move("5", "Take", "a", 1)).is("poisoned")
		f.send(move("6", "Pay", "a", 60), move("7", "Take", "a", 13)).is("committed committed")
		same(r, "it goes on", states(r)["account/a"], `5 1 {"Balance":0,"Moves":5}`)
		r.one("accounts")
		r.drain()
		r.start()
		r.feed().send(move("8", "Pay", "a", 1)).is("committed")
		same(r, "after a restart", states(r)["account/a"], `6 1 {"Balance":1,"Moves":6}`)
		r.finish()
		r.ok()
	})
}

// A handler that has read a state before the swap decides again, so that the earlier state does not live on.
func TestRemakeStatesUnderADecision(t *testing.T) {
	together(t, bankOf("{}", "state: accounts"), func(c *crew) {
		var both []*rig
		read, goOn := make(chan struct{}), make(chan struct{})
		for _, name := range []string{"a", "b"} {
			r := c.replica(name)
			r.open = func(s stubConfig, env handlers.Env) (handlers.Handler, error) {
				h, err := openAccounts(1)(s, env)
				return waiting{h.(folding), func(e event.Recorded) {
					if e.ID == "late" && read != nil {
						close(read)
						read = nil
						<-goOn
					}
				}}, err
			}
			both = append(both, r.start())
		}
		a, b := both[0], both[1]
		sleepFor(5 * time.Second)
		a.feed().send(move("1", "Pay", "a", 10)).is("committed")
		a.spoil("accounts", table.Row{"account/a", apd.New(1, 0), apd.New(1, 0), time.Now().UTC(), json.RawMessage(`{"Balance":100,"Moves":1}`)})
		stand := read
		late := b.feed().send(move("late", "Take", "a", 50))
		<-stand
		w := a.workEnds(a.rebuild(control.Rebuild{Table: "accounts"}).ID)
		same(a, "rebuilt", [2]any{w.State, w.Error}, [2]any{control.Done, ""})
		close(goOn)
		late.is("poisoned") // by the right state there is not enough
		same(a, "states", states(a), map[string]string{"account/a": `1 1 {"Balance":10,"Moves":1}`})
		b.feed().send(move("2", "Take", "a", 4)).is("committed")
		same(a, "states", states(a), map[string]string{"account/a": `2 1 {"Balance":6,"Moves":2}`})
		for _, r := range both {
			r.finish()
			r.ok()
		}
	})
}

type folding interface {
	handlers.Handler
	handlers.Folding
}

// waiting calls a function between a handler's decision and what comes of it.
type waiting struct {
	folding
	decided func(e event.Recorded)
}

func (w waiting) Handle(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	out, err := w.folding.Handle(ctx, e)
	w.decided(e)
	return out, err
}

// states gives the kept states by stream, without their times.
func states(r *rig) map[string]string {
	r.Helper()
	out := map[string]string{}
	for _, row := range r.rows("accounts") {
		parts := strings.SplitN(row, " ", 5)
		out[parts[0]] = parts[1] + " " + parts[2] + " " + parts[4]
	}
	return out
}
