package storetest

import (
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

var poisonAll = poison.Filter{}

// model is the store's rules for appends, as plainly as they can be said: streams are lists of ids, every unit works on
// a copy that replaces the original when all of it was accepted.
type model struct {
	streams map[string][]string
	log     []string // "stream id"
	marks   map[string]bool
	cursor  string
}

func (m *model) clone() *model {
	c := &model{streams: map[string][]string{}, log: slices.Clone(m.log), marks: map[string]bool{}, cursor: m.cursor}
	for k, v := range m.streams {
		c.streams[k] = slices.Clone(v)
	}
	for k := range m.marks {
		c.marks[k] = true
	}
	return c
}

// apply gives the status and, where it is refused, what is wrong: "conflict" or "idempotency".
func (m *model) apply(u *eventstore.Unit) (next *model, status eventstore.Status, what string) {
	next = m.clone()
	if u.Cursor != nil {
		next.cursor = u.Cursor.Value
	}
	if u.Inbox != nil {
		next.marks[u.Inbox.Key] = true
		if m.marks[u.Inbox.Key] {
			return next, eventstore.Repeated, ""
		}
	}
	repeated, fresh := false, false
	for _, a := range u.Appends {
		name := a.Stream.String()
		ids := next.streams[name]
		if !a.Expect.Met(int64(len(ids))) {
			at, exact := a.Expect.Exact()
			if !exact || at >= int64(len(ids)) || len(a.Events) == 0 || ids[at] != a.Events[0].ID {
				return m, eventstore.Refused, "conflict"
			}
			for i, e := range a.Events {
				if int(at)+i >= len(ids) || ids[int(at)+i] != e.ID {
					return m, eventstore.Refused, "idempotency"
				}
			}
			repeated = true
			continue
		}
		known, seen := 0, map[string]bool{}
		for _, e := range a.Events {
			if slices.Contains(ids, e.ID) {
				known++
			}
			if seen[e.ID] && !slices.Contains(ids, e.ID) {
				return m, eventstore.Refused, "idempotency"
			}
			seen[e.ID] = true
		}
		switch {
		case known == 0:
			for _, e := range a.Events {
				fresh = true
				next.streams[name] = append(next.streams[name], e.ID)
				next.log = append(next.log, name+" "+e.ID)
			}
		case known < len(a.Events):
			return m, eventstore.Refused, "idempotency"
		default:
			repeated = true
		}
	}
	if repeated && !fresh {
		return next, eventstore.Repeated, ""
	}
	return next, eventstore.Done, ""
}

func drawUnit(t *rapid.T, m *model) *eventstore.Unit {
	u := unit()
	for range rapid.IntRange(0, 3).Draw(t, "appends") {
		name := rapid.SampledFrom([]string{"a/1", "a/2", "b/1"}).Draw(t, "stream")
		at := len(m.streams[name]) + rapid.IntRange(-2, 1).Draw(t, "off")
		expect := rapid.SampledFrom([]eventstore.Expect{
			eventstore.Any, eventstore.Any, eventstore.NoStream, eventstore.StreamExists, eventstore.Revision(int64(at)),
		}).Draw(t, "expect")
		var ids []string
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			ids = append(ids, fmt.Sprint(rapid.IntRange(0, 25).Draw(t, "id")))
		}
		u.Appends = append(u.Appends, appendTo(name, expect, ids...))
	}
	if rapid.Bool().Draw(t, "inbox") {
		u.Inbox = &eventstore.Mark{Key: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))}
	}
	return u
}

// testModel runs random calls against the model, in one store for each case.
func testModel(f *fixture) {
	rapid.Check(f.T, func(t *rapid.T) {
		s, reopen := f.open(f.T, f.now)
		defer func() { _ = s.Close() }()
		m := (&model{}).clone()
		for call := range rapid.IntRange(1, 8).Draw(t, "calls") {
			if reopen != nil && call > 0 && rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
				s = reopen()
			}
			var us []*eventstore.Unit
			sketch := m // the units are drawn against what is likely to be there
			for range rapid.IntRange(1, 6).Draw(t, "units") {
				u := drawUnit(t, sketch)
				us = append(us, u)
				sketch, _, _ = sketch.apply(u)
			}
			o := eventstore.CommitOptions{Ordered: rapid.Bool().Draw(t, "ordered")}
			if err := s.Commit(f.ctx, us, o); err != nil {
				t.Fatal(err)
			}
			stopped := false
			for i, u := range us {
				if stopped {
					if u.Result.Status != eventstore.Untried {
						t.Fatalf("unit %d behind a refused one: %+v", i, u.Result)
					}
					continue
				}
				next, status, what := m.apply(u)
				var c *eventstore.ConflictError
				if u.Result.Status != status ||
					what == "conflict" && !errors.As(u.Result.Err, &c) ||
					what == "idempotency" && !errors.Is(u.Result.Err, eventstore.ErrIdempotency) {
					t.Fatalf("call %d unit %d: %+v, want %d %s", call, i, u.Result, status, what)
				}
				m = next
				stopped = o.Ordered && status == eventstore.Refused
			}
			var log []string
			for r, err := range s.ReadAll(f.ctx, eventstore.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				log = append(log, r.Stream.String()+" "+r.ID)
				if ids := m.streams[r.Stream.String()]; int(r.Revision) > len(ids) || ids[r.Revision-1] != r.ID {
					t.Fatalf("position %d is %s@%d", r.Position, r.Stream, r.Revision)
				}
			}
			if !slices.Equal(log, m.log) {
				t.Fatalf("log %q, want %q", log, m.log)
			}
		}
	})
}
