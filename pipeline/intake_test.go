package pipeline

import (
	"testing"

	"github.com/leatdev/leat/pipeline/event"
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
	r := newRig(t, keepBig).start()
	big, small := order("e-1", "o-1", 900), order("e-2", "o-2", 100)
	r.feed().send(big, small, order("e-3", "o-1", 700))
	s := r.finish()
	if r.err != nil {
		t.Fatal(r.err)
	}
	equal(t, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 OrderCreated e-3"})
	equal(t, "forwarded", r.sink("out").bodies(), []string{big, order("e-3", "o-1", 700)})
	if s.Received != 3 || s.Committed != 2 || s.Filtered != 1 || s.Forwarded != 2 || s.Projected != 2 || s.Undelivered != 0 {
		t.Errorf("summary %+v", s)
	}
	if o := r.feed().outcome(t, small); o != event.Filtered {
		t.Errorf("the small order is %s", o)
	}
}
