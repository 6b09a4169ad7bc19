package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/seedtest"
)

// Linear is what Linearizable works on.
type Linear struct {
	// Stores are several on one log, over which clients are spread, or one. All histories use them; each has streams of its
	// own.
	Stores []eventstore.Store
	// Break cuts connections to the database, in a fifth of the histories, beside calls that are given up; nil: there are
	// none.
	Break func()
	// Alone: no unit goes over two streams, for a store that shows one before it is answered stream by stream.
	Alone bool
	// Histories is how many are recorded unless LEAT_TEST_HISTORIES says otherwise.
	Histories int
}

// Linearizable records histories of concurrent appends, at expected revisions and over two streams at once, repeats and
// reads, and has porcupine (github.com/anishathalye/porcupine, after Lowe's and Horn and Kroening's algorithm) look for
// an order in which one caller after another would have got the same answers. In a fifth of them connections are cut or
// calls are given up: an append whose outcome is unknown may have happened at any later time, or not at all; one that
// is ErrUnavailable must not have.
func Linearizable(t *testing.T, l Linear) {
	n := l.Histories
	if env, err := strconv.Atoi(os.Getenv("LEAT_TEST_HISTORIES")); err == nil {
		n = env
	}
	seed := seedtest.New(t)
	t.Logf("%d histories", n)
	unknown, conflicts := 0, 0
	for h := range n {
		r := recorder{l: l, random: rand.New(rand.NewPCG(seed, uint64(h))), prefix: fmt.Sprintf("h%d-%x", h, seed), broken: h%5 == 0}
		history := r.record(t)
		for _, o := range history {
			switch out := o.Output.(answer); {
			case out.unknown:
				unknown++
			case out.conflict:
				conflicts++
			}
		}
		if res := porcupine.CheckOperationsTimeout(storeModel, history, 2*time.Minute); res != porcupine.Ok {
			slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			for _, o := range history {
				t.Logf("%8d-%8d client %d %s", o.Call, o.Return, o.ClientId, describe(o.Input, o.Output))
			}
			t.Fatalf("history %d is %s", h, res)
		}
	}
	t.Logf("%d unknown outcomes, %d conflicts", unknown, conflicts)
	if n >= 50 && conflicts == 0 {
		t.Error("no append was ever refused: the histories test nothing")
	}
}

// call is one append or read.
type call struct {
	read    bool
	streams []string // one, or two for a unit over both
	expect  []eventstore.Expect
	ids     []string // an event for each stream, with these ids
}

// answer is what came of a call.
type answer struct {
	unknown   bool
	unwritten bool // surely not written
	conflict  bool
	actual    int64
	repeated  bool
	revisions []int64 // of an append's events
	seen      string  // ids of the stream that was read
}

type recorder struct {
	l      Linear
	random *rand.Rand
	prefix string
	broken bool
	start  time.Time

	mu      sync.Mutex
	history []porcupine.Operation
}

const (
	linearClients = 4
	linearCalls   = 7
)

func (r *recorder) record(t *testing.T) []porcupine.Operation {
	r.start = time.Now()
	var clients sync.WaitGroup
	done := make(chan struct{})
	for c := range linearClients {
		random := rand.New(rand.NewPCG(r.random.Uint64(), uint64(c)))
		clients.Go(func() { r.client(t, c, random) })
	}
	if r.broken && r.l.Break != nil {
		wait := time.Duration(r.random.IntN(5000)) * time.Microsecond
		clients.Go(func() {
			select {
			case <-time.After(wait): // the moment is the point
			case <-done:
			}
			r.l.Break()
		})
	}
	clients.Wait()
	close(done)
	return r.history
}

func (r *recorder) client(t *testing.T, c int, random *rand.Rand) {
	s := r.l.Stores[c%len(r.l.Stores)]
	var last call
	for i := range linearCalls {
		in := r.call(random, fmt.Sprintf("c%d.%d", c, i))
		if len(last.ids) > 0 && random.IntN(5) == 0 {
			in = last // once more, under the same ids
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		if r.broken && random.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(random.IntN(800))*time.Microsecond)
		}
		began := time.Since(r.start)
		var out answer
		if in.read {
			out = r.read(ctx, t, s, in)
		} else {
			out = r.append(ctx, t, s, in)
			last = in
		}
		cancel()
		ended := int64(time.Since(r.start))
		if out.unknown {
			ended = math.MaxInt64 // it may happen yet
		}
		if in.read && out.unknown {
			continue
		}
		r.mu.Lock()
		r.history = append(r.history, porcupine.Operation{ClientId: c, Input: in, Output: out, Call: int64(began), Return: ended})
		r.mu.Unlock()
	}
}

func (r *recorder) call(random *rand.Rand, id string) call {
	streams := []string{"a", "b"}
	if random.IntN(3) == 0 {
		return call{read: true, streams: streams[random.IntN(2):][:1]}
	}
	if random.IntN(4) > 0 {
		streams = streams[:1]
	} else if r.l.Alone {
		streams = streams[1:]
	}
	in := call{streams: streams}
	for i := range streams {
		e := []eventstore.Expect{eventstore.Any, eventstore.NoStream, eventstore.StreamExists, eventstore.Revision(int64(1 + random.IntN(6)))}[min(random.IntN(6), 3)]
		in.expect = append(in.expect, e)
		in.ids = append(in.ids, fmt.Sprintf("%s.%d", id, i))
	}
	return in
}

func (r *recorder) stream(name string) event.Stream {
	return event.Stream{Type: "linear", ID: r.prefix + "-" + name}
}

func (r *recorder) read(ctx context.Context, t *testing.T, s eventstore.Store, in call) answer {
	var ids []string
	for e, err := range s.ReadStream(ctx, r.stream(in.streams[0]), eventstore.ReadOptions{}) {
		if err != nil {
			r.expected(t, err)
			return answer{unknown: true}
		}
		ids = append(ids, e.ID)
	}
	return answer{seen: strings.Join(ids, " ")}
}

func (r *recorder) append(ctx context.Context, t *testing.T, s eventstore.Store, in call) answer {
	u := &eventstore.Unit{Pipeline: "linear"}
	for i, name := range in.streams {
		u.Appends = append(u.Appends, eventstore.Append{
			Stream: r.stream(name), Expect: in.expect[i], Origin: "linear",
			Events: []event.Event{{ID: in.ids[i], Type: "T", Source: "s", Data: []byte("{}")}},
		})
	}
	if err := s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		r.expected(t, err)
		return answer{unknown: !errors.Is(err, eventstore.ErrUnavailable), unwritten: errors.Is(err, eventstore.ErrUnavailable)}
	}
	var conflict *eventstore.ConflictError
	switch {
	case u.Result.Status == eventstore.Refused && errors.As(u.Result.Err, &conflict):
		return answer{conflict: true, actual: conflict.Actual}
	case u.Result.Status == eventstore.Refused:
		t.Errorf("%v: %v", in, u.Result.Err)
	}
	out := answer{repeated: u.Result.Status == eventstore.Repeated}
	for _, w := range u.Result.Written {
		out.revisions = append(out.revisions, w.Last)
	}
	return out
}

// expected fails the test for an error that nothing in the history explains.
func (r *recorder) expected(t *testing.T, err error) {
	if !r.broken && !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("an error though nothing was broken: %v", err)
	}
}

// logs is the state of the model: the ids of both streams, each behind a space.
type logs struct{ a, b string }

func (l logs) of(name string) []string {
	s := l.a
	if name == "b" {
		s = l.b
	}
	return strings.Fields(s)
}

func (l logs) with(name, id string) logs {
	if name == "b" {
		l.b += " " + id
	} else {
		l.a += " " + id
	}
	return l
}

// fits reports whether an expectation holds at a revision.
func fits(e eventstore.Expect, revision int64) bool {
	switch e {
	case eventstore.Any:
		return true
	case eventstore.NoStream:
		return revision == 0
	case eventstore.StreamExists:
		return revision > 0
	}
	want, _ := e.Exact()
	return revision == want
}

// apply is the store's rule for a unit: what becomes of the state, and the answer.
func apply(s logs, in call) (logs, answer) {
	var out answer
	next, known := s, 0
	for i, name := range in.streams {
		ids := s.of(name)
		if at := slices.Index(ids, in.ids[i]); at >= 0 {
			known++
			out.revisions = append(out.revisions, int64(at)+1)
			continue
		}
		if revision := int64(len(ids)); !fits(in.expect[i], revision) {
			return s, answer{conflict: true, actual: revision}
		}
		next = next.with(name, in.ids[i])
		out.revisions = append(out.revisions, int64(len(ids))+1)
	}
	out.repeated = known == len(in.streams)
	return next, out
}

var storeModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{logs{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(logs), input.(call), output.(answer)
		if in.read {
			if strings.Join(s.of(in.streams[0]), " ") == out.seen {
				return []any{s}
			}
			return nil
		}
		next, want := apply(s, in)
		switch {
		case out.unwritten:
			return []any{s}
		case out.unknown:
			return []any{s, next}
		case want.conflict != out.conflict, want.actual != out.actual, want.repeated != out.repeated, !slices.Equal(want.revisions, out.revisions):
			return nil
		}
		return []any{next}
	},
}).ToModel()

func describe(input, output any) string {
	in, out := input.(call), output.(answer)
	if in.read {
		return fmt.Sprintf("read %s: %q", in.streams[0], out.seen)
	}
	return fmt.Sprintf("append %v expecting %v to %v: %+v", in.ids, in.expect, in.streams, out)
}
