package pipeline

import (
	"testing"
)

const keepBig = `
pipelines:
  keep-big:
    source: { feed: { ordered: true, cursor: true } }
    steps:
      - filter: type == "OrderCreated" && data.amount > 500
      - append: { stream: "order/{{ data.order_id }}", type: "{{ type }}", expect: any }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }
      - forward: { catch: { name: out } }
`

func TestMainJob(t *testing.T) {
	run(t, keepBig, func(r *rig) {
		big, small, third := order("e-1", "o-1", 900), order("e-2", "o-2", 100), order("e-3", "o-1", 700)
		sent := r.start().feed().send(big, small, third)
		s := r.finish()
		r.ok()
		sent.is("committed filtered committed")
		same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 OrderCreated e-3"})
		same(r, "forwarded", r.sink("out").bodies(), []string{big, third})
		same(r, "rows", r.rows("orders"), []string{"o-1 1600"})
		same(r, "summary", s, PipelineSummary{Name: "keep-big", Received: 3, Committed: 2, Filtered: 1, Forwarded: 2, Projected: 2, Log: true})
	})
}
