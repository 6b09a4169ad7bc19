// Package storetest is the suite that every event store passes. A backend's own test is one call of Run, and what the
// backend promises beyond the contract.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Features says what a backend can do beyond the rules that all keep.
type Features struct {
	// Durable: what was committed is there when the store is opened again.
	Durable bool
	// NoTables: Tables and Unit.Within are not there.
	NoTables bool
	// NoRelays: Relays, Leases, Replicas and fences are not there.
	NoRelays bool
	// NoUpdates: streams are listed by their names alone (it is no eventstore.Updates).
	NoUpdates bool
	// NoReplicas: one process has the store to itself (it is no eventstore.Replicas).
	NoReplicas bool
	// MaxEvent is the size of the largest event that the backend takes; 0: at least 1 MiB.
	MaxEvent int
	// MaxUnit is how many events one unit may have; 0: any number.
	MaxUnit int
	// NoNames: ids of streams are of a kind of their own, so that their order and beginnings mean nothing.
	NoNames bool
	// PutOutbox commits a row to the store's outbox, as an application does, and gives its id. Nil: there is no outbox.
	PutOutbox func(t testing.TB, s eventstore.Store, body string) int64
}

// Open makes an empty store that takes its time from now. Reopen closes it and opens it again on the same data; it may
// be nil where the store is not durable. The store is closed by the test's cleanup.
type Open func(t *testing.T, now func() time.Time) (store eventstore.Store, reopen func() eventstore.Store)

// Run runs the suite, a store for each test.
func Run(t *testing.T, f Features, open Open) {
	for _, tt := range []struct {
		name string
		run  func(*fixture)
		skip bool
	}{
		{"Append", testAppend, false},
		{"Expectations", testExpectations, false},
		{"Idempotency", testIdempotency, false},
		{"Units", testUnits, false},
		{"UnitLimits", testLimits, false},
		{"Ordered", testOrdered, false},
		{"Inbox", testInbox, false},
		{"Cursors", testCursors, false},
		{"Park", testPark, false},
		{"ParkedFilters", testParkedFilters, false},
		{"Outbox", func(fx *fixture) { testOutbox(fx, f) }, f.PutOutbox == nil},
		{"Within", testWithin, f.NoTables},
		{"TableBesideStore", testTableBesideStore, f.NoTables},
		{"Swap", testSwap, f.NoTables},
		{"Bodies", func(fx *fixture) { testBodies(fx, f) }, false},
		{"Reads", testReads, false},
		{"ReadsFromAnywhere", testReadsFromAnywhere, false},
		{"Streams", testStreams, f.NoNames},
		{"Updated", testUpdated, f.NoNames || f.NoUpdates},
		{"Time", testTime, false},
		{"Dense", testDense, false},
		{"Subscribe", testSubscribe, false},
		{"SubscribeFiltered", testSubscribeFiltered, false},
		{"SubscribeConcurrent", testSubscribeConcurrent, false},
		{"Relays", testRelays, f.NoRelays},
		{"AdvanceRelay", testAdvance, f.NoRelays},
		{"Leases", testLeases, f.NoRelays},
		{"Fence", testFence, f.NoRelays},
		{"Replicas", testReplicas, f.NoRelays || f.NoReplicas},
		{"Closed", testClosed, false},
		{"CloseUnderLoad", testCloseUnderLoad, false},
		{"Cancelled", testCancelled, false},
		{"Reopen", testReopen, !f.Durable},
		{"Model", testModel, false},
	} {
		if tt.skip {
			continue // the backend says in its Features that it does not have it
		}
		t.Run(tt.name, func(t *testing.T) {
			fx := newFixture(t, open)
			fx.maxUnit = f.MaxUnit
			tt.run(fx)
			fx.verify()
		})
	}
}

// fixture is a store under test with its clock. The tests move it, so that nothing waits.
type fixture struct {
	*testing.T
	ctx    context.Context
	s      eventstore.Store
	open   Open
	reopen func() eventstore.Store
	// maxUnit is Features.MaxUnit.
	maxUnit int

	mu    sync.Mutex
	clock time.Time
	ended bool // no verify at the end
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFixture(t *testing.T, open Open) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	f := &fixture{T: t, ctx: ctx, clock: start, open: open}
	f.s, f.reopen = open(t, f.now)
	t.Cleanup(func() { _ = f.s.Close() })
	return f
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = f.clock.Add(d)
}

func (f *fixture) verify() {
	f.Helper()
	if f.ended {
		return
	}
	v, err := f.s.Verify(f.ctx, func(x eventstore.Fault) { f.Errorf("verify: %+v", x) })
	f.ok(err)
	h, err := f.s.Head(f.ctx)
	f.ok(err)
	if v.Events != h.Position || v.Faults != 0 {
		f.Errorf("verify read %d events and found %d faults, the head is %d", v.Events, v.Faults, h.Position)
	}
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) is(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("got error %v, want %v", err, want)
	}
}

func (f *fixture) same(got, want any) {
	f.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b eventstore.Expect) bool { return a == b })); d != "" {
		f.Fatalf("differs (-want +got):\n%s", d)
	}
}

// ev makes events: "id" or "id:type" or "id:type:data".
func ev(specs ...string) []event.Event {
	var out []event.Event
	for _, s := range specs {
		id, rest, _ := strings.Cut(s, ":")
		typ, data, _ := strings.Cut(rest, ":")
		e := event.Event{ID: id, Source: "test", Type: typ, Time: start.Add(-time.Hour)}
		if typ == "" {
			e.Type = "T"
		}
		if data == "" {
			data = `{"n":1}`
		}
		e.Data = []byte(data)
		out = append(out, e)
	}
	return out
}

func stream(s string) event.Stream {
	out, err := event.ParseStream(s)
	if err != nil {
		panic(err)
	}
	return out
}

func appendTo(s string, e eventstore.Expect, events ...string) eventstore.Append {
	return eventstore.Append{Stream: stream(s), Expect: e, Events: ev(events...), Origin: "p"}
}

func unit(appends ...eventstore.Append) *eventstore.Unit {
	return &eventstore.Unit{Pipeline: "p", Appends: appends}
}

// commit commits one unit and gives its result.
func (f *fixture) commit(u *eventstore.Unit) eventstore.Result {
	f.Helper()
	f.ok(f.s.Commit(f.ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}))
	return u.Result
}

// append commits one append that must be written, in several units where one cannot hold it.
func (f *fixture) append(s string, events ...string) eventstore.Written {
	f.Helper()
	for f.maxUnit > 0 && len(events) > f.maxUnit {
		f.append(s, events[:f.maxUnit]...)
		events = events[f.maxUnit:]
	}
	r := f.commit(unit(appendTo(s, eventstore.Any, events...)))
	if r.Status != eventstore.Done {
		f.Fatalf("append to %s: %+v", s, r)
	}
	return r.Written[0]
}

// done checks that a result is Done, or another status without an error.
func (f *fixture) status(r eventstore.Result, want eventstore.Status) {
	f.Helper()
	if r.Status != want {
		f.Fatalf("status %d (%v), want %d", r.Status, r.Err, want)
	}
}

// refused checks that a unit was refused with err.
func (f *fixture) refused(r eventstore.Result, err error) {
	f.Helper()
	if r.Status != eventstore.Refused {
		f.Fatalf("status %d, want a refusal with %v", r.Status, err)
	}
	f.is(r.Err, err)
}

func collect[T any](f *fixture, seq iter.Seq2[T, error]) []T {
	f.Helper()
	var out []T
	for v, err := range seq {
		f.ok(err)
		out = append(out, v)
	}
	return out
}

// all gives the log as "position stream@revision id".
func (f *fixture) all(o eventstore.ReadOptions) []string {
	f.Helper()
	return brief(collect(f, f.s.ReadAll(f.ctx, o)))
}

func brief(events []*event.Recorded) []string {
	var out []string
	for _, r := range events {
		out = append(out, fmt.Sprintf("%d %s@%d %s", r.Position, r.Stream, r.Revision, r.ID))
	}
	return out
}

func (f *fixture) parked(filter poison.Filter) []poison.Entry {
	f.Helper()
	return collect(f, f.s.ListParked(f.ctx, filter))
}

// relay registers one relay of pipeline p.
func (f *fixture) relay(id string) eventstore.Relay {
	f.Helper()
	r, err := f.s.SetRelays(f.ctx, "p", []eventstore.RelaySpec{{ID: id, Kind: "forward", Target: "x"}})
	f.ok(err)
	return r[0]
}

func testDef() *table.Def {
	return &table.Def{
		Name: "totals", Key: []string{"id"}, Version: 1,
		Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "what", Type: table.Text}},
	}
}
