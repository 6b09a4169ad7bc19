package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

const noLog = `
pipelines:
  p:
    source: { feed: { keyed: true } }
    retry: { attempts: 3, initial: 10ms }
    steps:
      - filter: data.amount > 0
      - name: first
        forward: { catch: { name: a } }
      - filter: data.amount > 1
      - name: second
        forward: { catch: { name: b } }
`

func TestWithoutALog(t *testing.T) {
	run(t, noLog, func(r *rig) {
		sent := r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "o", 0))
		sent.is("delivered delivered filtered")
		s := r.finish()
		r.ok()
		same(r, "first", r.sink("a").ids(), []string{"e-1", "e-2"})
		same(r, "second", r.sink("b").ids(), []string{"e-2"})
		same(r, "log", r.logged(), nil)
		same(r, "summary", s, PipelineSummary{Name: "p", Received: 3, Delivered: 2, Filtered: 1, Forwarded: 3})
	})
}

func TestDeliveredWhenEverySinkTookIt(t *testing.T) {
	run(t, noLog, func(r *rig) {
		f := r.start().feed()
		r.sink("b").refuseCall("e-2", event.Unavailable(0, errRefused))
		sent := f.send(order("e-2", "o", 2))
		r.wait()
		same(r, "the first sink has it", r.sink("a").ids(), []string{"e-2"})
		sent.isNow("pending")
		if err := r.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "second") {
			t.Errorf("readiness says %v", err)
		}
		r.sink("b").failing(nil)
		sent.is("delivered")
		r.finish()
		r.ok()
	})
}

func TestWithoutALogReleasedOnStop(t *testing.T) {
	run(t, noLog, func(r *rig) {
		f := r.start().feed()
		r.sink("b").refuseCall("e-2", event.Unavailable(0, errRefused))
		sent := f.send(order("e-2", "o", 2))
		sleepFor(3600e9)
		s := r.drain()
		r.ok()
		sent.is("released")
		same(r, "parked", r.parked(), nil)
		same(r, "released", s.Released, 1)
	})
}

func TestWithoutALogEndOfInputInAnOutage(t *testing.T) {
	run(t, noLog, func(r *rig) {
		f := r.start().feed()
		r.sink("b").refuseCall("e-2", event.Unavailable(0, errRefused))
		sent := f.send(order("e-2", "o", 2))
		r.finish()
		sent.is("released")
		if !errors.Is(r.err, ErrUndelivered) {
			t.Errorf("the daemon ended with %v", r.err)
		}
	})
}

func TestWithoutALogParkedForEachSink(t *testing.T) {
	for _, hold := range []string{"stream", "none", "pipeline"} { // nothing is held: the events are the source's
		t.Run(hold, func(t *testing.T) {
			run(t, strings.Replace(noLog, "    steps:", "    poison: { hold: "+hold+" }\n    steps:", 1), func(r *rig) {
				f := r.start().feed()
				refuse := func(id string) error {
					if id == "e-2" {
						return errRefused
					}
					return nil
				}
				r.sink("a").refuse(refuse)
				r.sink("b").refuse(refuse)
				f.send(order("e-1", "o", 3), order("e-2", "o", 3), order("e-3", "o", 3)).is("delivered poisoned delivered")
				same(r, "parked", r.parked(), []string{"first parked sink shop|e-2 3", "second parked sink shop|e-2 3"})
				same(r, "b", r.sink("b").ids(), []string{"e-1", "e-3"})

				r.sink("a").failing(nil)
				r.again(poison.Filter{})
				same(r, "the sink that has it now gets it no more", r.sink("a").ids(), []string{"e-1", "e-3", "e-2"})
				same(r, "parked", r.parked(), []string{"second parked sink shop|e-2 6"})
				r.sink("b").failing(nil)
				r.again(poison.Filter{})
				same(r, "a", r.sink("a").ids(), []string{"e-1", "e-3", "e-2"})
				same(r, "b", r.sink("b").ids(), []string{"e-1", "e-3", "e-2"})
				same(r, "parked", r.parked(), nil)
				r.finish()
				r.ok()
			})
		})
	}
}

func TestWithoutALogParkedInTheSteps(t *testing.T) {
	run(t, noLog, func(r *rig) {
		f := r.start().feed()
		f.send(`no json`, order("e-1", "o", 2)).is("poisoned delivered")
		f.offset = 0
		f.send(`other json`).is("poisoned") // the transport's id came before with another body
		same(r, "parked", r.parked(), []string{"source parked malformed key-1 1", "append parked id_reused key-1 1"})
		e := r.entries()[0]
		same(r, "payload", string(e.Payload), "no json")
		if err := r.store.EditParked(context.Background(), e.ID, []byte(order("e-2", "o", 2))); err != nil {
			t.Fatal(err)
		}
		r.again(poison.Filter{IDs: []int64{e.ID}})
		same(r, "it goes to every sink", r.sink("b").ids(), []string{"e-1", "e-2"})
		same(r, "parked", r.parked(), []string{"append parked id_reused key-1 1"})
		r.finish()
		r.ok()
	})
}

func TestWithoutALogOrder(t *testing.T) {
	run(t, strings.Replace(noLog, "keyed: true", "ordered: true", 1), func(r *rig) {
		f := r.start().feed()
		failures := 0
		r.sink("a").refuse(func(id string) error {
			if id == "e-3" && failures < 2 {
				failures++
				return errRefused
			}
			return nil
		})
		for _, b := range orders(60, 1) {
			f.send(b)
		}
		r.finish()
		r.ok()
		var want []string
		for i := range 60 {
			want = append(want, "e-"+itoa(i+1))
		}
		same(r, "first", r.sink("a").ids(), want)
		same(r, "second", r.sink("b").ids(), want[1:])
	})
}

func TestRetryForASinkThatIsGone(t *testing.T) {
	run(t, noLog, func(r *rig) {
		r.sink("b").refuse(func(string) error { return event.Poison(errRefused) })
		r.start().feed().send(order("e-2", "o", 2)).is("poisoned")
		r.drain()
		r.load(strings.Replace(noLog, "name: second", "name: other", 1)).start()
		r.again(poison.Filter{})
		same(r, "it stays", r.parked(), []string{"second parked poison shop|e-2 1"})
		r.finish()
		r.ok()
	})
}

const outbox = `
pipelines:
  p:
    source: { feed: {} }
    outbox: true
    steps:
      - filter: data.amount > 0
      - name: out
        forward: { catch: { name: a } }
`

func TestOutbox(t *testing.T) {
	for _, tt := range []struct{ name, yaml, stream string }{
		{"by id", outbox, "$outbox.p/e-1"},
		{"by order_by", strings.Replace(outbox, "{ feed: {} }", "{ feed: { ordered: true }, order_by: data.order_id }", 1), "$outbox.p/o-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, tt.yaml, func(r *rig) {
				body := order("e-1", "o-1", 1)
				f := r.start().feed()
				r.sink("a").refuseCall("e-1", event.Unavailable(0, errRefused))
				f.send(body, order("e-2", "o-1", 0)).is("committed filtered") // before anything is sent
				r.wait()
				same(r, "log", r.logged(), []string{tt.stream + "@1 OrderCreated e-1"})
				r.drain()
				r.ok()
				r.sink("a").failing(nil)
				r.start().finish()
				r.ok()
				same(r, "forwarded", r.sink("a").bodies(), []string{body})
			})
		})
	}
}

func TestWithoutALogParallel(t *testing.T) {
	for _, tt := range []struct {
		source string
		most   int
	}{
		{"{ feed: {} }", 3},
		{"{ feed: { ordered: true } }", 1}, // its order is worth more
	} {
		run(t, `
pipelines:
  p:
    source: `+tt.source+`
    steps:
      - limits: { parallel: 3 }
        batch: { events: 1 }
        forward: { catch: { name: a } }
`, func(r *rig) {
			r.sink("a").failing(func(context.Context, []event.Recorded) error { time.Sleep(time.Second); return nil })
			r.start().feed().send(orders(40, 5)...).outcomes()
			r.finish()
			r.ok()
			same(r, "delivered", len(r.sink("a").ids()), 40)
			same(r, "calls at a time", r.sink("a").most, tt.most)
		})
	}
}

func TestWithoutALogRename(t *testing.T) {
	run(t, noLog, func(r *rig) {
		r.sink("b").refuse(func(string) error { return event.Poison(errRefused) })
		r.start().feed().send(order("e-2", "o", 2)).is("poisoned")
		r.drain()
		r.sink("b").failing(nil)
		r.load(strings.Replace(noLog, "name: second", "name: other\n        was: second", 1)).start()
		same(r, "parked", r.parked(), []string{"other parked poison shop|e-2 1"})
		r.again(poison.Filter{})
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), nil)
		same(r, "delivered", r.sink("b").ids(), []string{"e-2"})
	})
}
