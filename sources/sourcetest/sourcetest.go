// Package sourcetest is the suite that every source passes.
//
// A source's test gives it an Origin, which the suite fills and opens sources on:
//
//	func TestConformance(t *testing.T) {
//		sourcetest.Run(t, sourcetest.Features{Places: true}, func(t *testing.T) sourcetest.Origin { … })
//	}
package sourcetest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// Origin is what a source reads from.
type Origin interface {
	// Publish puts events at the end of the origin, by their bodies. It does not wait until they are read.
	Publish(t testing.TB, bodies []string)
	// Open opens a source on the origin. Sources are opened one after another, each when the one before is closed.
	Open(t testing.TB, env sources.Env) sources.Source
}

// Bodied is an Origin whose source delivers other bodies than were published.
type Bodied interface {
	// Body gives the body that was published for an event that arrived.
	Body(e event.Event) string
}

// Rowed is an Origin whose rows go in the transaction of what they give (event.Batch.Row).
type Rowed interface {
	// Gone takes a row away.
	Gone(row int64)
}

// Features say what a source promises beyond the contract, or less than most.
type Features struct {
	// Unordered: events arrive in any order.
	Unordered bool
	// Places: batches have a Cursor, and a source that is opened again goes on behind the place that was committed.
	Places bool
	// Redelivers: an event that was released comes again when the source is opened again, one that was settled does not.
	Redelivers bool
	// Live: what is published while no source is open is lost.
	Live bool
	// Endless: the input does not end (else it ends when all that was published is read, as sources.Traits must say).
	Endless bool
	// Whole: a body comes whole whatever it weighs, as its origin keeps nothing of it once it is settled.
	Whole bool
}

// Run runs the suite, without what the features say the source does not promise. New makes an empty origin; what it starts is stopped by t.Cleanup.
func Run(t *testing.T, f Features, origin func(t *testing.T) Origin) {
	s := suite{f: f, origin: origin}
	t.Run("delivers", s.delivers)
	t.Run("keeps the limits of a batch", s.keepsLimits)
	t.Run("cuts what is too large", s.cuts)
	t.Run("stops", s.stops)
	t.Run("stops while nobody reads", s.stopsUnread)
	t.Run("closes", s.closes)
	if f.Places {
		t.Run("goes on behind each place", s.goesOn)
	}
	if f.Redelivers || f.Places {
		t.Run("gives released events again", s.redelivers)
	}
	t.Run("leaves no goroutine", s.leavesNoGoroutine)
}

type suite struct {
	f      Features
	origin func(t *testing.T) Origin
}

// within bounds each wait: a source that hangs fails its test.
const within = time.Minute

// Bodies gives n bodies in EventBridge's shape, numbered from first.
func Bodies(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(`{"id":"e-%06d","source":"sourcetest","detail-type":"Tested","detail":{"n":%d}}`, first+i, first+i)
	}
	return out
}

// Memory is a daemon for tests: it keeps committed places and shares values between sources.
type Memory struct {
	mu     sync.Mutex
	places map[string]string
	shared map[string]any
}

// Env gives a source's environment.
func (m *Memory) Env() sources.Env {
	return sources.Env{
		Pipeline: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Cursor: func(_ context.Context, key string) (string, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.places[key], nil
		},
		MaxEvents: 100, MaxBytes: 1 << 20, MaxEventSize: 1 << 20,
		Shared: func(key string, make func() any) any {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.shared == nil {
				m.shared = map[string]any{}
			}
			if m.shared[key] == nil {
				m.shared[key] = make()
			}
			return m.shared[key]
		},
	}
}

func (m *Memory) commit(c event.Cursor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.places == nil {
		m.places = map[string]string{}
	}
	m.places[c.Key] = c.Value
}

// run is one opened source.
type run struct {
	t      *testing.T
	memory *Memory
	origin Origin
	src    sources.Source
	msgs   <-chan *message.Message
	stop   context.CancelFunc
}

func (s suite) start(t *testing.T, m *Memory, o Origin, change ...func(*sources.Env)) *run {
	t.Helper()
	env := m.Env()
	for _, f := range change {
		f(&env)
	}
	r := &run{t: t, memory: m, origin: o, src: o.Open(t, env)}
	if ends := sources.TraitsOf(r.src).Ends; ends == s.f.Endless {
		t.Errorf("Traits().Ends is %t", ends)
	}
	if ordered := sources.TraitsOf(r.src).Ordered; ordered && s.f.Unordered {
		t.Error("Traits().Ordered, and no order is kept")
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	var err error
	if r.msgs, err = r.src.Subscribe(ctx, ""); err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	return r
}

// filled starts a source on an origin that gives the bodies.
func (s suite) filled(t *testing.T, bodies []string, change ...func(*sources.Env)) *run {
	t.Helper()
	o := s.origin(t)
	if !s.f.Live {
		o.Publish(t, bodies)
	}
	r := s.start(t, &Memory{}, o, change...)
	if s.f.Live {
		o.Publish(t, bodies)
	}
	return r
}

// next gives the next batch, nil where the channel is closed.
func (r *run) next() *event.Batch {
	r.t.Helper()
	select {
	case m, ok := <-r.msgs:
		if !ok {
			return nil
		}
		return event.FromMessage(m)
	case <-time.After(within):
		r.t.Fatalf("nothing comes, and the channel is not closed")
		return nil
	}
}

func (r *run) body(e event.Event) string {
	if b, ok := r.origin.(Bodied); ok {
		return b.Body(e)
	}
	return string(e.Raw)
}

// take reads n events, commits all of them, and gives their bodies. The rest of the last batch is released.
func (r *run) take(n int) (got []string) {
	r.t.Helper()
	for len(got) < n {
		b := r.next()
		if b == nil {
			return got
		}
		k := min(n-len(got), len(b.Events))
		for i := range k {
			got = append(got, r.body(b.Events[i]))
		}
		if b.Cursor != nil && k > 0 {
			r.memory.commit(b.Cursor(k - 1))
		}
		for i := range b.Events {
			if i < k {
				if o, ok := r.origin.(Rowed); ok && b.Row != nil {
					o.Gone(b.Row(i))
				}
				b.Settle(i, event.Committed, nil)
			} else {
				b.Settle(i, event.Released, nil)
			}
		}
	}
	return got
}

// end stops the source, gives back what it still sends, and closes it.
func (r *run) end() {
	r.t.Helper()
	r.stop()
	for b := r.next(); b != nil; b = r.next() {
		for i := range b.Events {
			b.Settle(i, event.Released, nil)
		}
	}
	r.close()
}

func (r *run) close() {
	r.t.Helper()
	if err := r.src.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

func (s suite) compare(t *testing.T, what string, want, got []string) {
	t.Helper()
	if s.f.Unordered {
		want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	}
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("%s (-want +got):\n%.2000s", what, diff)
	}
}

func (s suite) delivers(t *testing.T) {
	for _, n := range []int{1, 2, 250} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bodies := Bodies(0, n)
			r := s.filled(t, bodies)
			s.compare(t, "arrived", bodies, r.take(n))
			if !s.f.Endless {
				if b := r.next(); b != nil {
					t.Errorf("%d events more than were published", len(b.Events))
				}
			}
			r.end()
		})
	}
}

func (s suite) keepsLimits(t *testing.T) {
	bodies := Bodies(0, 60)
	r := s.filled(t, bodies, func(e *sources.Env) { e.MaxEvents = 4 })
	for n := 0; n < len(bodies); {
		b := r.next()
		if b == nil {
			t.Fatalf("%d of %d events", n, len(bodies))
		}
		if len(b.Events) == 0 || len(b.Events) > 4 {
			t.Errorf("a batch of %d events, the limit is 4", len(b.Events))
		}
		n += len(b.Events)
		for i := range b.Events {
			b.Settle(i, event.Committed, nil)
		}
	}
	r.end()
}

func (s suite) cuts(t *testing.T) {
	const limit = 1000
	large := fmt.Sprintf(`{"id":"large","source":"sourcetest","detail-type":"Tested","detail":{"x":"%0*d"}}`, 3*limit, 1)
	bodies := []string{Bodies(0, 1)[0], large, Bodies(1, 1)[0]}
	r := s.filled(t, bodies, func(e *sources.Env) { e.MaxEventSize = limit })
	var small, cut int
	for small+cut < len(bodies) {
		b := r.next()
		if b == nil {
			break
		}
		for i := range b.Events {
			switch n := len(b.Events[i].Raw); {
			case n == limit+1:
				cut++
			case n <= limit:
				small++
			case s.f.Whole && n == len(large):
				cut++
			default:
				t.Errorf("an event of %d bytes, the limit is %d", n, limit)
				cut++
			}
			b.Settle(i, event.Poisoned, nil)
		}
	}
	if small != 2 || cut != 1 {
		t.Errorf("%d small events and %d cut ones, want 2 and 1", small, cut)
	}
	r.end()
}

// stops ends the subscription while a batch is in flight: the channel is closed, and the batch can be settled after.
func (s suite) stops(t *testing.T) {
	r := s.filled(t, Bodies(0, 250), func(e *sources.Env) { e.MaxEvents = 10 })
	held := r.next()
	if held == nil {
		t.Fatal("no batch")
	}
	first := r.body(held.Events[0])
	r.stop()
	for b := r.next(); b != nil; b = r.next() {
		for i := range b.Events {
			b.Settle(i, event.Released, nil)
		}
	}
	if again := r.body(held.Events[0]); again != first {
		t.Errorf("the batch in flight changed from %s to %s", first, again)
	}
	if err := held.Message(context.Background()).Context().Err(); err != nil {
		t.Errorf("the context of the batch: %v", err)
	}
	for i := range held.Events {
		held.Settle(i, event.Committed, nil)
	}
	r.close()
}

func (s suite) stopsUnread(t *testing.T) {
	r := s.filled(t, Bodies(0, 50))
	r.end()
}

func (s suite) closes(t *testing.T) {
	src := s.origin(t).Open(t, (&Memory{}).Env())
	for range 2 {
		if err := src.Close(); err != nil {
			t.Errorf("Close without Subscribe: %v", err)
		}
	}
	r := s.filled(t, Bodies(0, 3))
	r.take(3)
	r.end()
	r.close() // once more
}

// goesOn commits each prefix in turn and sees that a source opened again gives exactly the rest.
func (s suite) goesOn(t *testing.T) {
	bodies := Bodies(0, 40)
	for k := range len(bodies) + 1 {
		o, m := s.origin(t), &Memory{}
		o.Publish(t, bodies)
		r := s.start(t, m, o, func(e *sources.Env) { e.MaxEvents = 7 })
		s.compare(t, "before", bodies[:k], r.take(k))
		r.end()
		r = s.start(t, m, o)
		s.compare(t, "after", bodies[k:], r.take(len(bodies)-k))
		more := Bodies(100, 2)
		r.end()
		o.Publish(t, more)
		r = s.start(t, m, o)
		s.compare(t, "what came later", more, r.take(len(more)))
		r.end()
		if t.Failed() {
			t.Fatalf("behind %d events", k)
		}
	}
}

func (s suite) redelivers(t *testing.T) {
	bodies := Bodies(0, 20)
	for _, k := range []int{0, 1, 7, 20} {
		o, m := s.origin(t), &Memory{}
		if !s.f.Live {
			o.Publish(t, bodies)
		}
		r := s.start(t, m, o)
		if s.f.Live {
			o.Publish(t, bodies)
		}
		first := r.take(k)
		r.end()
		r = s.start(t, m, o)
		s.compare(t, fmt.Sprintf("%d settled, then the rest", k), bodies, append(first, r.take(len(bodies)-k)...))
		r.end()
	}
}

func (s suite) leavesNoGoroutine(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("use", func(t *testing.T) { // its cleanups run before the check
		r := s.filled(t, Bodies(0, 30))
		r.take(30)
		r.end()
	})
	goleak.VerifyNone(t, ignore)
}
