package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/memory"
)

// inOther puts the table orders into another database.
func inOther(yaml string) string {
	return yaml + "databases: { other: { rig: {} } }\ntables: { orders: { in: other } }\n"
}

// onlyNumbers fails events whose amount is text.
const onlyNumbers = "project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount }, set: { last: id } }"

func text(id, orderID string) string {
	return strings.Replace(order(id, orderID, 1), `"amount":1`, `"amount":"many"`, 1)
}

func TestTableInAnotherDatabase(t *testing.T) {
	run(t, inOther(pipelineOf(toOrders)), func(r *rig) {
		f := r.start().feed()
		for i := range 10 {
			f.send(order(fmt.Sprint("e-", i), "o", 1)).is("committed")
		}
		r.finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o 10"})
		if infos, err := r.store.Store.Tables().Tables(context.Background()); err != nil || len(infos) != 0 {
			t.Errorf("the store has tables too: %+v %v", infos, err)
		}
		r.start().feed().send(order("e-10", "o", 1)) // its place is beside its rows
		r.finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o 11"})

		r.start()
		st, ok := r.daemon.StoreWithTables("main")
		if !ok {
			t.Fatal("there is no store")
		}
		if infos, err := st.Tables().Tables(context.Background()); err != nil || len(infos) != 1 || infos[0].Def.Name != "orders" {
			t.Errorf("for readers there are %+v, %v", infos, err)
		}
		if def, _, err := st.Tables().Query(context.Background(), table.Query{Table: "orders"}); err != nil || def.Name != "orders" {
			t.Errorf("a reader gets %+v, %v", def, err)
		}
		var unknown *table.UnknownError
		if _, _, err := st.Tables().Query(context.Background(), table.Query{Table: "oders"}); !errors.As(err, &unknown) || len(unknown.Have) != 1 {
			t.Errorf("of a table that is not there a reader hears %v", err)
		}
		r.finish()

		// The database is lost: the table is made again from the log.
		r.other = nil
		r.start().finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o 11"})

		// The log is lost, or another's: the table is refused.
		r.store.logID = "another"
		if err := r.try(); !errors.Is(err, table.ErrForeignLog) {
			t.Errorf("with another log the start says %v", err)
		}
		r.store.logID, r.store.cut = "", 3
		if err := r.try(); !errors.Is(err, table.ErrForeignLog) {
			t.Errorf("with a shorter log the start says %v", err)
		}
	})
}

func TestParkedApart(t *testing.T) {
	for _, hold := range []string{"stream", "none", "pipeline"} {
		t.Run(hold, func(t *testing.T) {
			yaml := strings.Replace(inOther(pipelineOf(onlyNumbers)), "    steps:", "    poison: { hold: "+hold+" }\n    steps:", 1)
			run(t, yaml, func(r *rig) {
				r.start().feed().send(order("e-1", "o", 1), text("e-2", "o"), order("e-3", "o", 3), order("e-4", "q", 4)).outcomes()
				sleepFor(time.Minute)
				want := map[string][]string{"stream": {"o e-1 1", "q e-4 4"}, "none": {"o e-3 4", "q e-4 4"}, "pipeline": {"o e-1 1"}}[hold]
				same(r, "rows", r.rows("orders"), want)
				r.mend("e-2", 2)
				after := map[string][]string{"stream": {"o e-3 6", "q e-4 4"}, "none": {"o e-2 6", "q e-4 4"}, "pipeline": {"o e-3 6", "q e-4 4"}}[hold]
				same(r, "mended", r.rows("orders"), after)
				same(r, "parked", len(r.entries()), 0)
				r.drain()
				r.ok()
			})
		})
	}
}

// mend gives the one parked event a body that works, and sends it again.
func (r *rig) mend(id string, amount int) {
	r.Helper()
	for _, e := range r.entries() {
		if e.State == poison.Parked {
			if err := r.store.EditParked(context.Background(), e.ID, []byte(order(id, "o", amount))); err != nil {
				r.Fatal(err)
			}
		}
	}
	r.again(poison.Filter{States: []poison.State{poison.Parked}})
}

// TestKilledBetweenDatabases ends the daemon at each call to either database in turn, before it and after it, while
// events fail, are mended and sent again: each event's effect is there once all the same.
func TestKilledBetweenDatabases(t *testing.T) {
	for _, hold := range []string{"stream", "none", "pipeline"} {
		for n := 1; n <= 14; n++ {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprint(hold, n, before), func(t *testing.T) {
					yaml := strings.Replace(inOther(pipelineOf(onlyNumbers)), "    steps:", "    poison: { hold: "+hold+" }\n    steps:", 1)
					run(t, yaml, func(r *rig) {
						calls, dead := 0, false
						hook := func(here bool) func(string) error {
							return func(call string) error {
								if call == "commit" {
									return nil // the intake goes on
								}
								if here {
									calls++
									dead = dead || calls >= n
								}
								if dead { // from then on nothing gets through any more
									return errors.New("killed")
								}
								return nil
							}
						}
						r.start()
						r.store.breaks(hook(before), hook(!before))
						r.feed().send(order("e-1", "o", 1), text("e-2", "o"), order("e-3", "o", 3)).outcomes()
						sleepFor(10 * time.Second)
						r.feed().send(order("e-4", "q", 4)).outcomes()
						sleepFor(10 * time.Second)
						if len(r.entries()) > 0 {
							r.mend("e-2", 2)
						}
						r.die()
						r.store.breaks(nil, nil)

						r.start()
						sleepFor(time.Minute)
						if len(r.entries()) > 0 {
							r.mend("e-2", 2)
						}
						r.finish()
						r.ok()
						same(r, "parked", r.parked(), nil)
						got := strings.Join(r.rows("orders"), ",")
						want := "o e-3 6,q e-4 4"
						if hold == "none" { // which of them was the last differs
							got, want = got[:2]+got[5:], want[:2]+want[5:]
						}
						same(r, "rows", got, want)
					})
				})
			}
		}
	}
}

// TestLostAnswersApart loses every third answer of either database.
func TestLostAnswersApart(t *testing.T) {
	run(t, inOther(pipelineOf(onlyNumbers)), func(r *rig) {
		calls := 0
		r.start()
		r.store.breaks(nil, func(call string) error {
			if calls++; call != "commit" && calls%3 != 0 {
				return eventstore.ErrUnavailable
			}
			return nil
		})
		r.feed().send(order("e-1", "o", 1), text("e-2", "o"), order("e-3", "o", 3)).outcomes()
		sleepFor(time.Hour)
		r.mend("e-2", 2)
		sleepFor(time.Hour)
		r.feed().send(order("e-4", "o", 4)).outcomes()
		sleepFor(time.Hour)
		same(r, "rows", r.rows("orders"), []string{"o e-4 10"})
		same(r, "parked", len(r.entries()), 0)
		r.drain()
		r.ok()
	})
}

// TestApartOverReplicas: the other database fences a silent owner too.
func TestApartOverReplicas(t *testing.T) {
	together(t, inOther(pipelineOf(toOrders)), func(c *crew) {
		other := tables.New(tables.Options{})
		a, b := c.replica("a"), c.replica("b")
		a.other, b.other = other, other
		a.start()
		sleepFor(2 * time.Second)
		a.feed().send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Second)
		severed(a)
		b.start()
		sleepFor(15 * time.Second)
		b.feed().send(order("e-2", "o", 2)).is("committed")
		sleepFor(time.Second)
		same(b, "rows", b.rows("orders"), []string{"o 3"})
		def := b.pipe().relays[0].target.(*tableTarget).def
		err := other.Apply(context.Background(), &table.Write{Def: def, Checkpoint: &table.Checkpoint{
			Relay: b.pipe().relays[0].plan.id, LogID: b.pipe().head.LogID, Epoch: a.pipe().relays[0].epoch(), From: 2, To: 2}})
		if !errors.Is(err, table.ErrFenced) {
			t.Errorf("under the lost lease the table says %v", err)
		}
		a.store.breaks(nil, nil)
		a.drain()
		b.drain()
		b.ok()
	})
}
