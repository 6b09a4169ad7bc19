package storetest

import (
	"errors"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

func testAppend(f *fixture) {
	f.same(f.append("a/1", "1", "2"), eventstore.Written{First: 1, Last: 2, Position: 2})
	f.same(f.append("b/1", "1"), eventstore.Written{First: 1, Last: 1, Position: 3})
	f.same(f.append("a/1", "3"), eventstore.Written{First: 3, Last: 3, Position: 4})
	f.same(f.append("a/1"), eventstore.Written{First: 3, Last: 3, Position: 4})
	f.same(f.append("none/1"), eventstore.Written{})
	f.same(f.all(eventstore.ReadOptions{}), []string{"1 a/1@1 1", "2 a/1@2 2", "3 b/1@1 1", "4 a/1@3 3"})

	h, err := f.s.Head(f.ctx)
	f.ok(err)
	if h.LogID == "" || h.Position != 4 || !h.Committed.Equal(start) {
		f.Fatalf("head %+v", h)
	}
	// A slash belongs to the id; types and ids are told apart where their text together is the same.
	f.append("a/1/x", "1")
	f.commit(unit(eventstore.Append{Stream: event.Stream{Type: "a/1", ID: "x"}, Events: ev("1")}))
	f.same(len(collect(f, f.s.ReadStream(f.ctx, event.Stream{Type: "a", ID: "1/x"}, eventstore.ReadOptions{}))), 1)
}

func testExpectations(f *fixture) {
	f.append("s/3", "1", "2", "3")
	for _, tt := range []struct {
		name   string
		stream string
		expect eventstore.Expect
		actual int64 // -1: it is met
	}{
		{"any, new", "s/any", eventstore.Any, -1},
		{"any", "s/3", eventstore.Any, -1},
		{"no stream, new", "s/new", eventstore.NoStream, -1},
		{"no stream", "s/3", eventstore.NoStream, 4},
		{"exists", "s/3", eventstore.StreamExists, -1},
		{"exists, new", "s/none", eventstore.StreamExists, 0},
		{"revision", "s/3", eventstore.Revision(5), -1},
		{"revision behind", "s/3", eventstore.Revision(5), 6},
		{"revision far behind", "s/3", eventstore.Revision(1), 6},
		{"revision ahead", "s/3", eventstore.Revision(7), 6},
		{"revision of none", "s/none", eventstore.Revision(1), 0},
	} {
		r := f.commit(unit(appendTo(tt.stream, tt.expect, "of "+tt.name)))
		if tt.actual < 0 {
			if r.Status != eventstore.Done {
				f.Errorf("%s: %+v", tt.name, r)
			}
			continue
		}
		var c *eventstore.ConflictError
		if !errors.As(r.Err, &c) || r.Status != eventstore.Refused {
			f.Errorf("%s: %+v", tt.name, r)
			continue
		}
		f.same(*c, eventstore.ConflictError{Stream: stream(tt.stream), Expected: tt.expect, Actual: tt.actual})
	}
	// Nothing of a refused append is there, and an empty one is refused by the same rules.
	f.same(len(collect(f, f.s.ReadStream(f.ctx, stream("s/none"), eventstore.ReadOptions{}))), 0)
	var c *eventstore.ConflictError
	if r := f.commit(unit(appendTo("s/3", eventstore.Revision(2)))); !errors.As(r.Err, &c) {
		f.Errorf("an empty append behind: %+v", r)
	}
}

func testIdempotency(f *fixture) {
	f.append("s/1", "1", "2", "3")
	f.append("s/2", "x")
	f.append("s/1", "4", "5")
	head, err := f.s.Head(f.ctx)
	f.ok(err)

	const (
		repeated = "repeated"
		conflict = "conflict"
	)
	for _, tt := range []struct {
		name   string
		expect eventstore.Expect
		events []string
		want   any // repeated, conflict or an error
		at     eventstore.Written
	}{
		{"any, all known", eventstore.Any, []string{"2", "3"}, repeated, eventstore.Written{First: 2, Last: 3, Position: 3, Repeated: true}},
		{"any, over two appends", eventstore.Any, []string{"3", "4"}, repeated, eventstore.Written{First: 3, Last: 4, Position: 5, Repeated: true}},
		{"any, the first of many", eventstore.Any, []string{"1"}, repeated, eventstore.Written{First: 1, Last: 1, Position: 1, Repeated: true}},
		{"exists, all known", eventstore.StreamExists, []string{"5"}, repeated, eventstore.Written{First: 5, Last: 5, Position: 6, Repeated: true}},
		{"no stream, all there", eventstore.NoStream, []string{"1", "2"}, repeated, eventstore.Written{First: 1, Last: 2, Position: 2, Repeated: true}},
		{"revision, all there", eventstore.Revision(3), []string{"4", "5"}, repeated, eventstore.Written{First: 4, Last: 5, Position: 6, Repeated: true}},
		{"revision at the head, known", eventstore.Revision(5), []string{"2"}, repeated, eventstore.Written{First: 2, Last: 2, Position: 2, Repeated: true}},

		{"any, known then new", eventstore.Any, []string{"5", "6"}, eventstore.ErrIdempotency, eventstore.Written{}},
		{"any, new then known", eventstore.Any, []string{"6", "5"}, eventstore.ErrIdempotency, eventstore.Written{}},
		{"no stream, known then new", eventstore.NoStream, []string{"1", "6"}, eventstore.ErrIdempotency, eventstore.Written{}},
		{"revision, beyond the end", eventstore.Revision(3), []string{"4", "5", "6"}, eventstore.ErrIdempotency, eventstore.Written{}},
		{"twice in one append", eventstore.Any, []string{"7", "7"}, eventstore.ErrIdempotency, eventstore.Written{}},
		{"revision, another first", eventstore.Revision(3), []string{"5"}, conflict, eventstore.Written{}},
		{"no stream, new", eventstore.NoStream, []string{"6"}, conflict, eventstore.Written{}},
		{"revision ahead, known", eventstore.Revision(9), []string{"5"}, conflict, eventstore.Written{}},

		{"any, other data", eventstore.Any, []string{`5:T:{"n":2}`}, eventstore.ErrIDReused, eventstore.Written{}},
		{"any, other type", eventstore.Any, []string{"5:U"}, eventstore.ErrIDReused, eventstore.Written{}},
		{"revision, other data", eventstore.Revision(4), []string{`5:T:{"n":2}`}, eventstore.ErrIDReused, eventstore.Written{}},
		{"any, other data beside new", eventstore.Any, []string{"6", `5:T:{"n":2}`}, eventstore.ErrIDReused, eventstore.Written{}},
	} {
		r := f.commit(unit(appendTo("s/1", tt.expect, tt.events...)))
		var c *eventstore.ConflictError
		switch want := tt.want.(type) {
		case error:
			if r.Status != eventstore.Refused || !errors.Is(r.Err, want) {
				f.Errorf("%s: %+v, want %v", tt.name, r, want)
			}
		default:
			if want == conflict && (r.Status != eventstore.Refused || !errors.As(r.Err, &c)) {
				f.Errorf("%s: %+v, want a conflict", tt.name, r)
			}
			if want == repeated && (r.Status != eventstore.Repeated || r.Written[0] != tt.at) {
				f.Errorf("%s: %+v, want %+v", tt.name, r, tt.at)
			}
		}
	}
	// The same id belongs to each stream alone.
	f.append("s/3", "1")
	now, err := f.s.Head(f.ctx)
	f.ok(err)
	f.same(now.Position, head.Position+1)

	// A long stream is looked up over its whole history, also for ids that look alike.
	var ids []string
	for i := range 700 {
		ids = append(ids, strings.Repeat("k", i%200)+string(rune('a'+i%26))+strings.Repeat("z", i/200))
	}
	ids = unique(ids)
	f.append("long/1", ids...)
	for _, i := range []int{0, 1, 300, len(ids) - 1} {
		r := f.commit(unit(appendTo("long/1", eventstore.Any, ids[i])))
		f.status(r, eventstore.Repeated)
		f.same(r.Written[0].First, int64(i)+1)
	}
	// The same call again, as after a commit whose outcome is unknown: nothing is written twice, inside it or later.
	units := []*eventstore.Unit{
		unit(appendTo("again/1", eventstore.NoStream, "1")),
		unit(appendTo("again/1", eventstore.Revision(1), "2")),
		unit(appendTo("again/1", eventstore.NoStream, "1")),
		unit(appendTo("again/1", eventstore.Any, "2")),
	}
	for range 2 {
		f.ok(f.s.Commit(f.ctx, units, eventstore.CommitOptions{}))
		f.status(units[2].Result, eventstore.Repeated)
		f.status(units[3].Result, eventstore.Repeated)
	}
	f.status(units[0].Result, eventstore.Repeated)
	f.same(len(collect(f, f.s.ReadStream(f.ctx, stream("again/1"), eventstore.ReadOptions{}))), 2)
}

func unique(in []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func testUnits(f *fixture) {
	// Several streams, and one of them twice, in one unit: expectations see the appends before them.
	r := f.commit(unit(
		appendTo("a/1", eventstore.NoStream, "1", "2"),
		appendTo("b/1", eventstore.NoStream, "1"),
		appendTo("a/1", eventstore.Revision(2), "3"),
	))
	f.status(r, eventstore.Done)
	f.same(r.Written, []eventstore.Written{
		{First: 1, Last: 2, Position: 2}, {First: 1, Last: 1, Position: 3}, {First: 3, Last: 3, Position: 4},
	})
	// All or nothing: the conflict in the last append takes the first ones back.
	r = f.commit(unit(
		appendTo("a/1", eventstore.Any, "4"),
		appendTo("c/1", eventstore.Any, "1"),
		appendTo("b/1", eventstore.Revision(7), "2"),
	))
	f.status(r, eventstore.Refused)
	// Refused units hurt no others in the same call, and what they would have written is not seen by those behind.
	us := []*eventstore.Unit{
		unit(appendTo("a/1", eventstore.Revision(3), "5")),
		unit(appendTo("a/1", eventstore.Revision(4), "6"), appendTo("b/1", eventstore.NoStream, "9")),
		unit(appendTo("a/1", eventstore.Revision(4), "7")),
		unit(appendTo("d/1", eventstore.Any, "1"), appendTo("a/1", eventstore.Revision(1), "8")),
		unit(appendTo("d/1", eventstore.NoStream, "2")),
	}
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{}))
	for i, want := range []eventstore.Status{eventstore.Done, eventstore.Refused, eventstore.Done, eventstore.Refused, eventstore.Done} {
		if us[i].Result.Status != want {
			f.Errorf("unit %d: %+v", i, us[i].Result)
		}
	}
	f.same(f.all(eventstore.ReadOptions{}), []string{
		"1 a/1@1 1", "2 a/1@2 2", "3 b/1@1 1", "4 a/1@3 3", "5 a/1@4 5", "6 a/1@5 7", "7 d/1@1 2",
	})
	// Part of a unit is there already: the rest is written, each append says what became of it.
	r = f.commit(unit(appendTo("a/1", eventstore.Any, "7"), appendTo("d/1", eventstore.Any, "3")))
	f.status(r, eventstore.Done)
	f.same(r.Written, []eventstore.Written{{First: 5, Last: 5, Position: 6, Repeated: true}, {First: 2, Last: 2, Position: 8}})
	// Nothing at all is fine too.
	f.status(f.commit(unit()), eventstore.Done)
	f.ok(f.s.Commit(f.ctx, nil, eventstore.CommitOptions{}))
}

func testLimits(f *fixture) {
	long := strings.Repeat("x", 256)
	f.refused(f.commit(unit(appendTo("a/1", eventstore.Any, long))), eventstore.ErrTooLarge)
	big := appendTo("a/1", eventstore.Any, "big")
	big.Events[0].Data = make([]byte, plan.MaxEvent+1)
	f.refused(f.commit(unit(big)), eventstore.ErrTooLarge)
	f.append("a/1", long[:255])
	for _, u := range []*eventstore.Unit{
		unit(eventstore.Append{Stream: stream("a/1"), Events: []event.Event{{Type: "no id"}}}),
		unit(eventstore.Append{Stream: event.Stream{Type: "a"}, Events: ev("1")}),
		unit(eventstore.Append{Stream: event.Stream{ID: "a"}, Events: ev("1")}),
	} {
		f.status(f.commit(u), eventstore.Refused)
	}
	f.same(len(f.all(eventstore.ReadOptions{})), 1)
}

func testOrdered(f *fixture) {
	us := []*eventstore.Unit{
		unit(appendTo("a/1", eventstore.Any, "1")),
		unit(appendTo("a/1", eventstore.NoStream, "2")),
		unit(appendTo("a/1", eventstore.Any, "3")),
	}
	for i, u := range us {
		u.Cursor = &event.Cursor{Key: "k", Value: string(rune('1' + i))}
	}
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{Ordered: true}))
	f.status(us[0].Result, eventstore.Done)
	f.status(us[1].Result, eventstore.Refused)
	f.status(us[2].Result, eventstore.Untried)
	f.cursor("1")
	// The caller mends the refused one and goes on from there.
	us[1].Appends[0].Expect = eventstore.Any
	f.ok(f.s.Commit(f.ctx, us[1:], eventstore.CommitOptions{Ordered: true}))
	f.status(us[2].Result, eventstore.Done)
	f.cursor("3")
	f.same(f.all(eventstore.ReadOptions{}), []string{"1 a/1@1 1", "2 a/1@2 2", "3 a/1@3 3"})
}

func (f *fixture) cursor(want string) {
	f.Helper()
	got, err := f.s.Cursor(f.ctx, "p", "k")
	f.ok(err)
	f.same(got, want)
}
