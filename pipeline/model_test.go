package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/race"
)

// seeds and diskSeeds are how many histories the model tests walk through; the race detector makes each of them slow.
var seeds, diskSeeds = func() (int, int) {
	if race.Enabled {
		return 25, 5
	}
	return 200, 15
}()

var modelSources = []string{
	"{ feed: { keyed: true } }",
	"{ feed: { keyed: true, ordered: true } }",
	"{ feed: { ordered: true, cursor: true } }",
	"{ feed: { keyed: true, ordered: true }, order_by: data.order_id }",
	"{ feed: { ordered: true, cursor: true }, order_by: data.order_id }",
}

const modelPipeline = `
pipelines:
  p:
    source: SOURCE
    limits: { events: 20 }
    retry: { attempts: 60, initial: 10ms, max: 500ms }
    drain: 5s
    steps:
      - filter: data.amount != 0
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }
      - forward: { catch: { name: out, in_part: true } }
`

// history is a source's events and what a seeded plan of faults does to the pipeline that reads them.
type history struct {
	*rig
	mu     sync.Mutex
	rnd    *rand.Rand
	bodies []string
	refuse map[string]bool // ids that the sink refuses for good
	calm   bool            // no faults
	final  map[string]string
	// between is called between sessions; nil: nothing.
	between func()
}

// TestModel runs pipelines under random faults (redelivery, store errors, lost answers, partial and whole failures and
// outages of the sink, soft and hard stops, restarts) and checks what leat promises: an acknowledged event is in the
// log, filtered or parked (I1), nothing is there twice (I2), streams have no gaps and the source's order (I3), the table
// is the fold of the log (I4), each stream is first delivered in order and in full (I5), counts conserve (I6, in
// rig.join), and a shutdown poisons nothing (I7).
func TestModel(t *testing.T) {
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			source := modelSources[seed%len(modelSources)]
			run(t, strings.Replace(modelPipeline, "SOURCE", source, 1), func(r *rig) {
				h := &history{rig: r, rnd: rnd, refuse: map[string]bool{}, final: map[string]string{}}
				h.play()
				h.check()
				if t.Failed() {
					t.Logf("source %s; repeat with: go test ./pipeline -run 'TestModel/seed=%d$'", source, seed)
				}
			})
		})
	}
}

// chance is true with a probability of n in 100, unless the plan is calm.
func (h *history) chance(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.calm && h.rnd.IntN(100) < n
}

// below gives a number under n.
func (h *history) below(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rnd.IntN(n)
}

func (h *history) play() {
	for i := range 30 + h.below(30) {
		id, stream, amount := fmt.Sprintf("e-%d", i), fmt.Sprintf("o-%d", h.below(4)), 1+h.below(9)
		switch h.below(12) {
		case 0:
			amount = 0 // filtered
		case 1:
			stream = "" // poisoned by append
		case 2:
			if len(h.refuse) < 2 {
				h.refuse[id] = true
			}
		}
		h.bodies = append(h.bodies, order(id, stream, amount))
	}
	h.breakThings()
	for range 2 + h.below(4) {
		h.session(h.below(len(h.bodies)))
	}
	h.mu.Lock()
	h.calm = true
	h.mu.Unlock()
	h.session(len(h.bodies))
	h.ok()
}

func (h *history) breakThings() {
	fault := func(string) error {
		switch {
		case h.chance(10):
			return eventstore.ErrUnavailable
		case h.chance(10):
			return errors.New("connection lost")
		}
		return nil
	}
	h.store.breaks(fault, fault)
	h.sink("out").failing(func(ctx context.Context, batch []event.Recorded) error {
		time.Sleep(5 * time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case h.chance(10):
			return event.Unavailable(0, errRefused)
		case h.chance(5):
			return errRefused
		}
		var failed *event.BatchError
		for i := range batch {
			switch {
			case h.refuse[batch[i].ID]:
				failed = failed.Fail(i, event.Poison(errRefused))
			case h.chance(10):
				failed = failed.Fail(i, errRefused)
			case h.chance(3):
				failed = failed.Fail(i, event.RetryAfter(50*time.Millisecond, errRefused))
			}
		}
		return failed.Err()
	})
}

// session runs the daemon once and gives it up to n events that it has not acknowledged, and some that it has.
func (h *history) session(n int) {
	if h.between != nil {
		h.between()
	}
	f := h.start().feed()
	var given []*sent
	var names [][]string
	next := 0
	if f.cfg.Cursor {
		if c := h.cursor(); c != "" {
			next = atoi(c)
		}
		f.offset = next
	}
	for n > 0 && next < len(h.bodies) {
		var batch []string
		for size := 1 + h.below(6); size > 0 && next < len(h.bodies); next++ {
			if !f.cfg.Cursor && h.acked(h.bodies[next]) && !h.chance(15) {
				continue
			}
			batch = append(batch, h.bodies[next])
			size--
			n--
		}
		if len(batch) == 0 {
			continue
		}
		given = append(given, f.send(batch...))
		names = append(names, batch)
		if h.chance(40) {
			time.Sleep(time.Duration(h.below(300)) * time.Millisecond)
		}
	}
	switch {
	case h.calm:
		time.Sleep(time.Minute)
		h.finish()
	case h.chance(40):
		time.Sleep(time.Duration(h.below(2000)) * time.Millisecond)
		h.drain()
	case h.chance(50):
		h.die()
	default:
		h.finish()
	}
	for i, s := range given {
		for j, body := range names[i] {
			switch o := s.b.Outcome(j); o {
			case event.Released:
			case event.Pending: // the source had it still
			case event.Duplicate:
				if h.final[body] == "" {
					h.final[body] = "duplicate"
				}
			default:
				if was := h.final[body]; was != "" && was != o.String() && was != "duplicate" {
					h.Errorf("%s was %s and is %s", body, was, o)
				}
				h.final[body] = o.String()
			}
		}
	}
}

func (h *history) acked(body string) bool { return h.final[body] != "" }

func (h *history) check() {
	ctx := context.Background()
	if v, err := h.store.Verify(ctx, func(f eventstore.Fault) { h.Errorf("I3: %+v", f) }); err != nil || v.Faults > 0 {
		h.Errorf("I3: %+v %v", v, err)
	}
	inLog := map[string]int{}
	streams, sums := map[string][]string{}, map[string]int{}
	for e, err := range h.store.ReadAll(ctx, eventstore.ReadOptions{}) {
		if err != nil {
			h.Fatal(err)
		}
		inLog[e.ID]++
		streams[e.Stream.String()] = append(streams[e.Stream.String()], e.ID)
	}
	wanted, poisoned := map[string][]string{}, 0
	for _, body := range h.bodies {
		id, stream, amount := parse(body)
		want := 1
		switch {
		case amount == 0:
			want = 0
		case stream == "":
			want = 0
			poisoned++
		default:
			wanted["order/"+stream] = append(wanted["order/"+stream], id)
			sums[stream] += amount
		}
		if inLog[id] != want {
			h.Errorf("I1, I2: %s is in the log %d times, want %d; its outcome was %q", id, inLog[id], want, h.final[body])
		}
		if !h.feed().cfg.Cursor && !h.acked(body) {
			h.Errorf("I1: %s has no outcome", id)
		}
	}
	for s, ids := range wanted {
		got := slices.Clone(streams[s])
		if !h.feed().cfg.Ordered {
			slices.Sort(got)
			slices.Sort(ids)
		}
		same(h.rig, "I3: "+s, got, ids)
	}
	var rows []string
	for s, n := range sums {
		rows = append(rows, fmt.Sprintf("%s %d", s, n))
	}
	slices.Sort(rows)
	same(h.rig, "I4: rows", h.rows("orders"), rows)

	intake := 0
	for _, e := range h.entries() {
		switch {
		case e.Relay == "":
			intake++
			if e.Code != event.CodeStream {
				h.Errorf("I7: %s %s parked: %s", e.Step, e.EventID, e.Reason)
			}
		case e.State == poison.Parked && !h.refuse[e.EventID]:
			h.Errorf("I7: %s %s parked: %s", e.Step, e.EventID, e.Reason)
		}
	}
	same(h.rig, "parked by the intake", intake, poisoned)
	h.delivered(streams, true)
	h.mend()
	h.delivered(streams, false)
}

// delivered checks that the sink first got each stream in the log's order, up to the first event that it refuses.
func (h *history) delivered(streams map[string][]string, held bool) {
	first := map[string][]string{}
	seen := map[string]bool{}
	for _, e := range h.sink("out").got {
		if !seen[e.ID] {
			seen[e.ID] = true
			first[e.Stream.String()] = append(first[e.Stream.String()], e.ID)
		}
	}
	for s, want := range streams {
		if i := slices.IndexFunc(want, func(id string) bool { return h.refuse[id] }); held && i >= 0 {
			want = want[:i]
		}
		if !slices.Equal(first[s], want) {
			h.Errorf("I5: %s was delivered as %q, want %q", s, first[s], want)
		}
	}
}

// mend lets the sink take what it refused and sends everything again.
func (h *history) mend() {
	h.start()
	h.sink("out").failing(nil)
	h.again(poison.Filter{Relay: h.pipe().relays[1].plan.id})
	h.finish()
	h.ok()
	for _, e := range h.entries() {
		if e.Relay != "" {
			h.Errorf("still parked: %s %s %s", e.EventID, e.State, e.Reason)
		}
	}
}

func parse(body string) (id, stream string, amount int) {
	part := func(after string) string {
		_, rest, _ := strings.Cut(body, after)
		rest, _, _ = strings.Cut(rest, `"`)
		return strings.TrimRight(rest, "}:")
	}
	return part(`"id":"`), part(`"order_id":"`), atoi(strings.TrimLeft(part(`"amount`+`":`), " "))
}

const modelWithoutALog = `
pipelines:
  p:
    source: SOURCE
    limits: { events: 20 }
    retry: { attempts: 60, initial: 10ms, max: 500ms }
    drain: 5s
    steps:
      - filter: data.amount != 0
      - forward: { catch: { name: out, in_part: true } }
`

// TestModelWithoutALog is TestModel for a pipeline that appends nothing: an acknowledged event is at the sink, filtered
// or parked, and an ordered source's events are first delivered in its order.
func TestModelWithoutALog(t *testing.T) {
	for seed := range seeds / 2 {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			source := modelSources[seed%len(modelSources)]
			run(t, strings.Replace(modelWithoutALog, "SOURCE", source, 1), func(r *rig) {
				h := &history{rig: r, rnd: rand.New(rand.NewPCG(uint64(seed), 2)), refuse: map[string]bool{}, final: map[string]string{}}
				h.play()
				h.checkSink()
				if t.Failed() {
					t.Logf("source %s; repeat with: go test ./pipeline -run 'TestModelWithoutALog/seed=%d$'", source, seed)
				}
			})
		})
	}
}

func (h *history) checkSink() {
	var want, first []string
	seen := map[string]bool{}
	for _, id := range h.sink("out").ids() {
		if !seen[id] {
			seen[id] = true
			first = append(first, id)
		}
	}
	parked := map[string]bool{}
	for _, e := range h.entries() {
		if parked[e.EventID] || !h.refuse[e.EventID] || e.Code != event.CodePoison {
			h.Errorf("I7: %s parked: %s", e.EventID, e.Reason)
		}
		parked[e.EventID] = true
	}
	for _, body := range h.bodies {
		id, _, amount := parse(body)
		if amount != 0 && h.refuse[id] && !parked[id] {
			h.Errorf("I1: %s is refused and not parked; its outcome was %q", id, h.final[body])
		}
		if amount != 0 && !h.refuse[id] {
			want = append(want, id)
		}
	}
	if !h.feed().cfg.Ordered {
		slices.Sort(first)
		slices.Sort(want)
	}
	same(h.rig, "I1, I5: first deliveries", first, want)
}
