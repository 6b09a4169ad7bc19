// Package sinktest is the suite that every sink passes.
//
// A sink's test opens it beside an Observer, which sees what arrives at the other side:
//
//	func TestConformance(t *testing.T) {
//		sinktest.Run(t, sinktest.Features{}, func(t *testing.T) (sinks.Sink, sinktest.Observer) { … })
//	}
package sinktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
)

// Observer is the other side of a sink.
type Observer interface {
	// Bodies gives what has arrived so far, in its order. It is called when no Write is under way.
	Bodies(t testing.TB) []string
}

// Breaker is an Observer that can go down and come back. With one, Run also tests outages.
type Breaker interface {
	Observer
	Break(t testing.TB)
	Mend(t testing.TB)
}

// Features say what a sink promises beyond the contract, or less than most.
type Features struct {
	// Unordered: the other side keeps no order.
	Unordered bool
	// Idempotent: an event that comes again with the same id arrives once.
	Idempotent bool
	// Compacts: the other side may show a body without the white space between its parts.
	Compacts bool
	// MaxBody is the largest body that the sink takes; zero: 256 KiB are tried.
	MaxBody int
	// Objects: the other side takes only JSON objects as data; an event with any other must be poison.
	Objects bool
}

// Open makes a new sink with a new other side. What it opens besides the sink is closed by t.Cleanup.
type Open = func(t *testing.T) (sinks.Sink, Observer)

// Run runs the suite.
func Run(t *testing.T, f Features, open Open) {
	s := suite{f: f, open: open}
	t.Run("delivers", s.delivers)
	t.Run("keeps the order of batches", s.keepsOrder)
	t.Run("takes bodies of every kind", s.takesBodies)
	t.Run("does not keep the batch", s.doesNotKeep)
	t.Run("takes concurrent writes", s.takesConcurrentWrites)
	t.Run("takes repeats", s.takesRepeats)
	t.Run("heeds the context", s.heedsContext)
	t.Run("survives an outage", s.survivesOutage)
	t.Run("leaves no goroutine", s.leavesNoGoroutine)
}

type suite struct {
	f    Features
	open Open
}

// Events gives n recorded events in EventBridge's shape, numbered from first; the body of each tells its number.
func Events(first, n int) []event.Recorded {
	batch := make([]event.Recorded, n)
	for i := range batch {
		batch[i] = recorded(first+i, fmt.Sprintf(`{"n":%d}`, first+i))
	}
	return batch
}

func recorded(n int, data string) event.Recorded {
	id := fmt.Sprintf("e-%06d", n)
	e := event.Recorded{
		Event: event.Event{
			ID: id, Source: "sinktest", Type: "Tested", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Envelope: event.EventBridge,
			Raw: fmt.Appendf(nil, `{"id":%q,"source":"sinktest","detail-type":"Tested","detail":%s}`, id, data),
		},
		Stream: event.Stream{Type: "test", ID: "1"}, Revision: int64(n + 1), Position: int64(n + 1),
		Committed: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
	}
	at := bytes.Index(e.Raw, []byte(data))
	e.Data = e.Raw[at : at+len(data) : at+len(data)]
	return e
}

func bodies(batches ...[]event.Recorded) []string {
	var out []string
	for _, b := range batches {
		for i := range b {
			out = append(out, string(b[i].Raw))
		}
	}
	return out
}

func (s suite) compare(t *testing.T, o Observer, want []string) {
	t.Helper()
	got := slices.Clone(o.Bodies(t))
	want = slices.Clone(want)
	if s.f.Compacts {
		compact(got)
		compact(want)
	}
	if s.f.Unordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("at the other side (-want +got):\n%.3000s", diff)
	}
}

func compact(bodies []string) {
	for i, b := range bodies {
		var buf bytes.Buffer
		if json.Compact(&buf, []byte(b)) == nil {
			bodies[i] = buf.String()
		}
	}
}

func (s suite) write(t *testing.T, sink sinks.Sink, batch []event.Recorded) {
	t.Helper()
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Fatalf("Write of %d events: %v", len(batch), err)
	}
}

func (s suite) shut(t *testing.T, sink sinks.Sink) {
	t.Helper()
	if err := sink.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (s suite) delivers(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			sink, o := s.open(t)
			batch := Events(0, n)
			s.write(t, sink, batch)
			s.compare(t, o, bodies(batch)) // before Close: Write has delivered it
			s.shut(t, sink)
		})
	}
}

func (s suite) keepsOrder(t *testing.T) {
	sink, o := s.open(t)
	var all [][]event.Recorded
	for n := range 50 {
		all = append(all, Events(100*n, n%7))
		s.write(t, sink, all[n])
	}
	s.shut(t, sink)
	s.compare(t, o, bodies(all...))
}

func (s suite) takesBodies(t *testing.T) {
	limit := s.f.MaxBody
	if limit == 0 {
		limit = 256 << 10
	}
	sink, o := s.open(t)
	var batch, refused []event.Recorded
	for _, data := range []string{
		`{}`, `null`, `[]`, `""`, `-0.0e-10`, `12345678901234567890.123456789`, `"é漢😀\u0000\n\"\\"`, `{"a":1,"a":2}`, `{"<&>":"</script>"}`,
		"{\n  \"a\" : [ 1,\r\n\t2 ]\n}", `"` + strings.Repeat("x", limit-200) + `"`, `{"x":"` + strings.Repeat("x", limit-200) + `"}`,
	} {
		if e := recorded(len(batch)+len(refused), data); s.f.Objects && data[0] != '{' {
			refused = append(refused, e)
		} else {
			batch = append(batch, e)
		}
	}
	s.write(t, sink, batch)
	for i := range refused {
		if err := sink.Write(t.Context(), refused[i:i+1]); !event.IsPoison(Outcomes(err, 1)[0]) {
			t.Errorf("data %s is not poison: %v", refused[i].Data, err)
		}
	}
	s.shut(t, sink)
	s.compare(t, o, bodies(batch))
}

// Outcomes gives the outcome of each event of a batch of n, by what Write returned: nil is delivered.
func Outcomes(err error, n int) []error {
	out := make([]error, n)
	var partial *event.BatchError
	part := errors.As(err, &partial)
	for i := range out {
		if out[i] = err; part {
			out[i] = partial.Failed[i]
		}
	}
	return out
}

// Refuses tests that an event which is changed so is poison with this code, and does not arrive, while others of its batch
// do.
func Refuses(t *testing.T, sink sinks.Sink, o Observer, code string, change func(*event.Recorded)) {
	t.Helper()
	batch := Events(0, 3)
	change(&batch[1])
	for i, err := range Outcomes(sink.Write(t.Context(), batch), len(batch)) {
		if i == 1 && (!event.IsPoison(err) || event.Code(err) != code) || i != 1 && err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if n := len(o.Bodies(t)); n != 2 {
		t.Errorf("%d of the 2 others arrived", n)
	}
}

// doesNotKeep overwrites the batch once Write has returned: what arrives must not change.
func (s suite) doesNotKeep(t *testing.T) {
	sink, o := s.open(t)
	var want []string
	for n := range 5 {
		batch := Events(10*n, 10)
		want = append(want, bodies(batch)...)
		s.write(t, sink, batch)
		for i := range batch {
			for j := range batch[i].Raw {
				batch[i].Raw[j] = '!'
			}
			batch[i] = event.Recorded{}
		}
	}
	s.shut(t, sink)
	s.compare(t, o, want)
}

// takesConcurrentWrites calls Write from several goroutines, as limits.parallel does: each batch arrives whole, in its
// own order.
func (s suite) takesConcurrentWrites(t *testing.T) {
	sink, o := s.open(t)
	const writers, batches, size = 4, 10, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range batches {
				if err := sink.Write(t.Context(), Events(1000*w+size*n, size)); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	s.shut(t, sink)
	got := o.Bodies(t)
	want := make([]string, 0, writers*batches*size)
	for w := range writers {
		own := bodies(Events(1000*w, batches*size))
		want = append(want, own...)
		if s.f.Unordered {
			continue
		}
		mine := slices.DeleteFunc(slices.Clone(got), func(b string) bool { return !slices.Contains(own, b) })
		if diff := cmp.Diff(own, mine); diff != "" {
			t.Errorf("writer %d (-want +got):\n%.2000s", w, diff)
		}
	}
	sorted := slices.Sorted(slices.Values(got))
	slices.Sort(want)
	if diff := cmp.Diff(want, sorted); diff != "" {
		t.Errorf("all in all (-want +got):\n%.2000s", diff)
	}
}

// takesRepeats writes a batch again that is longer by now, as after a crash between its delivery and its checkpoint.
func (s suite) takesRepeats(t *testing.T) {
	sink, o := s.open(t)
	first, again := Events(0, 5), Events(0, 8)
	s.write(t, sink, first)
	s.write(t, sink, again)
	s.shut(t, sink)
	if s.f.Idempotent {
		s.compare(t, o, bodies(again))
		return
	}
	s.compare(t, o, bodies(first, again))
}

func (s suite) heedsContext(t *testing.T) {
	sink, o := s.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batch := Events(0, 3)
	err := sink.Write(ctx, batch)
	if event.IsPoison(err) {
		t.Errorf("a cancelled write poisons: %v", err)
	}
	want := bodies(batch)
	if err != nil {
		want = nil
	}
	s.compare(t, o, want) // an error, or all of it
	s.write(t, sink, Events(3, 1))
	s.shut(t, sink)
}

func (s suite) survivesOutage(t *testing.T) {
	sink, o := s.open(t)
	b, ok := o.(Breaker)
	if !ok {
		s.shut(t, sink)
		t.Skip("the other side cannot be taken down here")
	}
	before, during := Events(0, 3), Events(3, 4)
	s.write(t, sink, before)
	b.Break(t)
	for range 2 {
		err := sink.Write(t.Context(), during)
		if err == nil {
			t.Fatal("a write to a side that is down gave no error")
		}
		if _, down := event.AsUnavailable(err); !down || event.IsPoison(err) {
			t.Errorf("an outage must be event.Unavailable, not %v", err)
		}
	}
	b.Mend(t)
	s.write(t, sink, during)
	s.shut(t, sink)
	s.compare(t, o, bodies(before, during))
}

func (s suite) leavesNoGoroutine(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("use", func(t *testing.T) { // its cleanups run before the check
		sink, _ := s.open(t)
		s.write(t, sink, Events(0, 10))
		s.shut(t, sink)
	})
	goleak.VerifyNone(t, ignore)
}
