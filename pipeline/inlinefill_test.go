package pipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

const inlineOrders = `
pipelines:
  p:
    source: { feed: { ordered: true } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: %s }, inline: true }
tables: { orders: { columns: { order_id: text, total: numeric }, version: %d } }
`

// An inline table whose version is raised is built from the log before anything is taken in, also over kills in the middle,
// and has what comes then.
func TestInlineTableUnderARaisedVersion(t *testing.T) {
	for at := range 3 {
		for _, lost := range []bool{false, true} {
			run(t, fmt.Sprintf(inlineOrders, "data.amount", 1), func(r *rig) {
				r.append("foreign/x", make([]string, 3)...)
				r.start().feed().send(orders(6000, 2)...)
				r.finish()
				r.ok()
				same(r, "rows", r.rows("orders"), []string{"o-0 9000000", "o-1 9003000"})
				r.load(fmt.Sprintf(inlineOrders, "data.amount * 2", 2))
				n := 0
				kill := func(call string) error {
					if call == "apply" {
						if n++; n == at {
							return context.Canceled
						}
					}
					return nil
				}
				if lost {
					r.store.breaks(nil, kill)
				} else {
					r.store.breaks(kill, nil)
				}
				if at > 0 {
					if r.try() == nil {
						t.Fatalf("it starts although write %d fails", at)
					}
					same(r, "the old table", r.rows("orders"), []string{"o-0 9000000", "o-1 9003000"})
				}
				r.store.breaks(nil, nil)
				r.start()
				same(r, "before anything comes", r.rows("orders"), []string{"o-0 18000000", "o-1 18006000"})
				r.feed().send(order("e-new", "o-0", 1)).is("committed")
				r.finish()
				r.ok()
				same(r, "rows", r.rows("orders"), []string{"o-0 18000002", "o-1 18006000"})
				infos, err := r.store.Store.Tables().Tables(context.Background())
				if err != nil || len(infos) != 1 || !infos[0].Live || infos[0].Def.Version != 2 {
					t.Errorf("tables %+v, %v", infos, err)
				}
			})
		}
	}
}

// Where the new version cannot take an event, the old table stays, and the start says which.
func TestInlineTableThatCannotBeBuilt(t *testing.T) {
	run(t, fmt.Sprintf(inlineOrders, "data.amount", 1), func(r *rig) {
		r.start().feed().send(order("e-1", "a", 1), order("e-2", "b", 2))
		r.finish()
		r.load(fmt.Sprintf(inlineOrders, "data.sum", 2))
		if err := r.try(); err == nil || !strings.Contains(err.Error(), "position 1 fails") || !strings.Contains(err.Error(), "earlier version stays") {
			t.Errorf("the start says %v", err)
		}
		same(r, "rows", r.rows("orders"), []string{"a 1", "b 2"})
	})
}
