package pipeline

import (
	"context"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/poison"
)

// TestParkedUnderAnEarlierVersion: a table that is built anew under a raised version comes to what was parked under the
// earlier one in its turn, and has its effect once, also where the entry is sent again. What a person has edited stays
// parked as it is, and those behind it wait.
func TestParkedUnderAnEarlierVersion(t *testing.T) {
	const first = "project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount }, set: { last: id } }"
	second := strings.Replace(first, "data.amount", "'data.amount ?? data.sum'", 1)
	bad := strings.Replace(order("e-2", "a", 7), "amount", "sum", 1)
	for _, edited := range []bool{false, true} {
		run(t, pipelineOf(first), func(r *rig) {
			r.start().feed().send(order("e-1", "a", 1), bad, order("e-3", "a", 3), order("e-4", "b", 4))
			r.finish()
			same(r, "rows", r.rows("orders"), []string{"a e-1 1", "b e-4 4"})
			same(r, "parked", len(r.parked()), 2)
			if edited {
				if err := r.store.EditParked(context.Background(), r.entries()[0].ID, []byte(order("e-2", "a", 70))); err != nil {
					t.Fatal(err)
				}
			}
			r.load(pipelineOf(second) + "tables: { orders: { version: 2 } }\n").start().wait()
			if edited {
				same(r, "rows", r.rows("orders"), []string{"a e-1 1", "b e-4 4"})
				same(r, "parked", r.parked(), []string{"project orders parked projection 2 1", "project orders held held 3 0"})
			} else {
				same(r, "rows", r.rows("orders"), []string{"a e-3 11", "b e-4 4"})
				same(r, "parked", r.parked(), nil)
			}
			r.again(poison.Filter{})
			r.finish()
			r.ok()
			want := []string{"a e-3 11", "b e-4 4"}
			if edited {
				want[0] = "a e-3 74"
			}
			same(r, "rows", r.rows("orders"), want)
			same(r, "parked", r.parked(), nil)
		})
	}
}

// A kill at any write between the two versions changes nothing of it.
func TestKilledBetweenVersions(t *testing.T) {
	const first = "project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }"
	second := strings.Replace(first, "data.amount", "'data.amount ?? data.sum'", 1)
	bad := strings.Replace(order("e-2", "a", 7), "amount", "sum", 1)
	for at := 1; at < 8; at++ {
		for _, lost := range []bool{false, true} {
			run(t, pipelineOf(first), func(r *rig) {
				r.start().feed().send(order("e-1", "a", 1), bad, order("e-3", "a", 3), order("e-4", "b", 4))
				r.finish()
				n := 0
				kill := func(call string) error {
					if call != "apply" {
						return nil
					}
					if n++; n == at {
						r.kill()
						return context.Canceled
					}
					return nil
				}
				if lost {
					r.store.breaks(nil, kill)
				} else {
					r.store.breaks(kill, nil)
				}
				r.load(pipelineOf(second) + "tables: { orders: { version: 2 } }\n")
				if r.try() == nil {
					r.wait().die()
				}
				r.store.breaks(nil, nil)
				r.start().finish()
				r.ok()
				same(r, "rows", r.rows("orders"), []string{"a 11", "b 4"})
				same(r, "parked", r.parked(), nil)
			})
		}
	}
}
