package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/poison"
)

// onSQLite is run on the embedded store; reopen closes its file and opens it again, as a restarted daemon does.
func onSQLite(t *testing.T, yaml string, test func(r *rig, reopen func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		open := func(dir string) eventstore.Store {
			// What is tested is not the disk: commits survive the process, not a power cut.
			s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir, Durability: "relaxed"})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		dir := t.TempDir()
		r := newRig(t, yaml, nil)
		r.store.Store = open(dir)
		test(r, func() {
			if err := r.store.Store.Close(); err != nil {
				t.Fatal(err)
			}
			r.store.Store = open(dir)
		})
		r.halt()
		if err := r.store.Store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMainJobOnSQLite(t *testing.T) {
	onSQLite(t, keepBig, func(r *rig, reopen func()) {
		big, small, third := order("e-1", "o-1", 900), order("e-2", "o-2", 100), order("e-3", "o-1", 700)
		r.start().feed().send(big, small, third).is("committed filtered committed")
		r.finish()
		r.ok()
		for range 2 { // again on the same input it adds nothing
			reopen()
			same(r, "cursor", r.cursor(), "3")
			same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 OrderCreated e-3"})
			same(r, "forwarded", r.sink("out").bodies(), []string{big, third})
			same(r, "rows", r.rows("orders"), []string{"o-1 1600"})
			r.start().feed().send(big, small, third).is("duplicate filtered duplicate")
			r.finish()
			r.ok()
		}
	})
}

func TestHoldsAndRenamesOnSQLite(t *testing.T) {
	steps := func(forward, project string) string {
		return pipelineOf("{ "+forward+", forward: { catch: { name: a, in_part: true } } }", "{ "+project+", "+toOrders+" }")
	}
	onSQLite(t, steps("name: one", "name: sums"), func(r *rig, reopen func()) {
		r.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		bad := strings.Replace(order("e-2", "o", 0), `"amount":0`, `"amount":"none"`, 1)
		r.start().feed().send(order("e-1", "o", 1), bad, order("e-3", "o", 3), order("e-4", "q", 4))
		r.finish()
		r.ok()
		parked := r.parked()
		reopen()
		same(r, "parked", r.parked(), parked)
		same(r, "entries", len(parked), 5)
		r.load(steps("name: two, was: one", "name: totals, was: sums")).start()
		same(r, "entries", len(r.parked()), 5)
		for _, e := range r.entries() {
			if e.EventID == "e-2" && e.Relay == "p/totals" {
				if err := r.store.EditParked(context.Background(), e.ID, []byte(order("e-2", "o", 20))); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.sink("a").failing(nil)
		r.again(poison.Filter{})
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), nil)
		same(r, "forwarded", r.sink("a").ids(), []string{"e-4", "e-1", "e-2", "e-3"})
		same(r, "rows", r.rows("orders"), []string{"o 24", "q 4"})
	})
}

func TestBuiltBesideOnSQLite(t *testing.T) {
	changed := strings.Replace(toOrders, "data.amount", "data.amount * 2", 1)
	onSQLite(t, pipelineOf(toOrders), func(r *rig, reopen func()) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "q", 2))
		r.finish()
		reopen()
		if err := r.load(pipelineOf(changed)).try(); err == nil || !strings.Contains(err.Error(), "raise `version`") {
			t.Errorf("the start says %v", err)
		}
		r.load(pipelineOf(changed) + "tables: { orders: { version: 2 } }\n").start().finish()
		r.ok()
		reopen()
		same(r, "rows", r.rows("orders"), []string{"o 2", "q 4"})
	})
}

// TestModelOnSQLite walks through a few of TestModel's histories, with the file closed and opened between sessions.
func TestModelOnSQLite(t *testing.T) {
	for seed := range diskSeeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			onSQLite(t, strings.Replace(modelPipeline, "SOURCE", modelSources[seed%len(modelSources)], 1), func(r *rig, reopen func()) {
				h := &history{rig: r, rnd: rand.New(rand.NewPCG(uint64(seed), 1)), refuse: map[string]bool{}, final: map[string]string{}, between: reopen}
				h.play()
				h.check()
			})
		})
	}
}
