package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

func testInbox(f *fixture) {
	mark := func(key string, hash uint64, events ...string) *eventstore.Unit {
		u := unit(appendTo("a/1", eventstore.Any, events...))
		u.Inbox = &eventstore.Mark{Key: key, Hash: hash}
		return u
	}
	const high = 1<<63 + 5 // beyond the signed range
	f.status(f.commit(mark("k1", high, "1")), eventstore.Done)
	f.status(f.commit(mark("k1", high, "2")), eventstore.Repeated)
	f.refused(f.commit(mark("k1", 8, "2")), eventstore.ErrIDReused)
	f.status(f.commit(mark("k1", 0, "2")), eventstore.Repeated)
	f.status(f.commit(mark("k2", 0, "2")), eventstore.Done)
	f.status(f.commit(mark("k2", 9, "3")), eventstore.Repeated)
	r := f.commit(mark("k1", high, "1"))
	f.same(r.Written, []eventstore.Written{{First: 1, Last: 1, Position: 1, Repeated: true}})

	// The same key twice in one call; a refused unit leaves no mark; a repeat moves the cursor all the same.
	us := []*eventstore.Unit{mark("k3", 3, "3"), mark("k3", 3, "4"), mark("k3", 4, "4"), mark("k4", 1, "1", "9")}
	us[1].Cursor = &event.Cursor{Key: "k", Value: "7"}
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{}))
	f.status(us[0].Result, eventstore.Done)
	f.status(us[1].Result, eventstore.Repeated)
	f.refused(us[2].Result, eventstore.ErrIDReused)
	f.refused(us[3].Result, eventstore.ErrIdempotency)
	f.cursor("7")
	// Appends that are there already: the unit is a repeat, and its mark is written now.
	f.status(f.commit(mark("k5", 5, "1")), eventstore.Repeated)
	// A mark alone, for an event that was filtered; another pipeline's keys are its own.
	alone := &eventstore.Unit{Pipeline: "p", Inbox: &eventstore.Mark{Key: "only", Hash: 1}}
	f.status(f.commit(alone), eventstore.Done)
	f.status(f.commit(alone), eventstore.Repeated)
	other := &eventstore.Unit{Pipeline: "q", Inbox: &eventstore.Mark{Key: "only", Hash: 2}}
	f.status(f.commit(other), eventstore.Done)

	f.same(collect(f, f.s.Marks(f.ctx, "p", "k")), []eventstore.Mark{{Key: "k1", Hash: high}, {Key: "k2"}, {Key: "k3", Hash: 3}, {Key: "k5", Hash: 5}})
	f.same(len(collect(f, f.s.Marks(f.ctx, "p", "%"))), 0)

	f.pass(time.Hour)
	f.status(f.commit(mark("k6", 1, "6")), eventstore.Done)
	f.prune("p", "k", f.now(), 4)
	f.prune("p", "k6", time.Time{}, 1)
	f.prune("p", "", f.now().Add(time.Hour), 1)
	f.same(len(collect(f, f.s.Marks(f.ctx, "p", ""))), 0)
	f.same(len(collect(f, f.s.Marks(f.ctx, "q", ""))), 1)
	f.status(f.commit(alone), eventstore.Done)
}

func (f *fixture) prune(pipeline, prefix string, before time.Time, want int64) {
	f.Helper()
	n, err := f.s.PruneMarks(f.ctx, pipeline, prefix, before)
	f.ok(err)
	f.same(n, want)
}

func testCursors(f *fixture) {
	f.cursor("")
	set := func(pipeline, key, value string) {
		f.status(f.commit(&eventstore.Unit{Pipeline: pipeline, Cursor: &event.Cursor{Key: key, Value: value}}), eventstore.Done)
	}
	set("p", "k", "1")
	set("p", "k", "2")
	set("p", "l", "3")
	set("q", "k", "4")
	f.cursor("2")
	got, err := f.s.Cursors(f.ctx, "p")
	f.ok(err)
	f.same(got, map[string]string{"k": "2", "l": "3"})
	// A refused unit moves nothing.
	u := unit(appendTo("a/1", eventstore.StreamExists, "1"))
	u.Cursor = &event.Cursor{Key: "k", Value: "9"}
	f.status(f.commit(u), eventstore.Refused)
	f.cursor("2")
}

func entry(step, key string) poison.Entry {
	return poison.Entry{
		Pipeline: "p", Step: step, Key: key, Code: "sink", Reason: "no", Attempts: 3, Payload: []byte("{\xff}"), Envelope: event.Plain,
		First: start, Last: start, Stack: "at", TraceID: "t", EventID: "e", Type: "T", Source: "s", Metadata: []byte(`{"a":"b"}`),
	}
}

func testPark(f *fixture) {
	u := unit(appendTo("a/1", eventstore.Any, "1"))
	u.Park = []poison.Entry{entry("s1", "k1"), entry("s1", "k2")}
	f.status(f.commit(u), eventstore.Done)
	got := f.parked(poison.Filter{})
	want := []poison.Entry{entry("s1", "k1"), entry("s1", "k2")}
	for i := range want {
		want[i].ID, want[i].State = got[i].ID, poison.Parked
	}
	f.same(got, want)
	if got[0].ID <= 0 || got[0].ID >= got[1].ID {
		f.Errorf("ids %d, %d", got[0].ID, got[1].ID)
	}

	// Parking again updates the entry, and keeps its id and its first time.
	again := entry("s1", "k1")
	again.Attempts, again.Reason, again.State = 4, "still", poison.Held
	again.First, again.Last = start.Add(time.Hour), start.Add(2*time.Hour)
	f.ok(f.s.Park(f.ctx, again))
	again.ID, again.First = got[0].ID, start
	f.same(f.parked(poison.Filter{IDs: []int64{got[0].ID}}), []poison.Entry{again})

	// Times that are not given are the store's.
	f.pass(time.Hour)
	f.ok(f.s.Park(f.ctx, poison.Entry{Pipeline: "p", Step: "s2", Key: "k"}))
	f.same(f.parked(poison.Filter{Step: "s2"})[0].First, start.Add(time.Hour))

	// A refused unit neither parks nor unparks; nor does one whose entry is gone.
	u = unit(appendTo("a/1", eventstore.NoStream, "2"))
	u.Park, u.Unpark = []poison.Entry{entry("s3", "k")}, []int64{got[0].ID}
	f.status(f.commit(u), eventstore.Refused)
	u = unit(appendTo("a/1", eventstore.Any, "2"))
	u.Unpark = []int64{got[0].ID, 99}
	f.refused(f.commit(u), eventstore.ErrGone)
	f.same(len(f.parked(poison.Filter{})), 3)
	f.same(len(f.all(eventstore.ReadOptions{})), 1)

	// Unparking goes with the appends; taking the same entry twice is refused, in one call as well.
	take := func(id string) *eventstore.Unit {
		u := unit(appendTo("a/1", eventstore.Any, id))
		u.Unpark = []int64{got[0].ID}
		return u
	}
	us := []*eventstore.Unit{take("2"), take("3")}
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{}))
	f.status(us[0].Result, eventstore.Done)
	f.refused(us[1].Result, eventstore.ErrGone)
	f.same(len(f.parked(poison.Filter{})), 2)
	// The repeat of a commit whose outcome was unknown finds its entry gone, and that is no fault.
	f.status(f.commit(take("2")), eventstore.Repeated)

	f.ok(f.s.EditParked(f.ctx, got[1].ID, []byte("new")))
	e := f.parked(poison.Filter{IDs: []int64{got[1].ID}})[0]
	if string(e.Payload) != "new" || !e.Edited {
		f.Errorf("edited: %+v", e)
	}
	f.is(f.s.EditParked(f.ctx, got[0].ID, nil), poison.ErrNotFound)
	// Ids are not given out again.
	f.ok(f.s.Park(f.ctx, entry("s1", "k1")))
	if id := f.parked(poison.Filter{Step: "s1"})[1].ID; id <= got[1].ID {
		f.Errorf("the new entry has id %d", id)
	}
}

func testParkedFilters(f *fixture) {
	var entries []poison.Entry
	for i := range 6 {
		e := entry(fmt.Sprint("s", i%2), fmt.Sprint(i))
		e.First, e.Last = start.Add(time.Duration(-i)*time.Minute), start.Add(time.Duration(i)*time.Minute)
		switch i {
		case 3:
			e.Pipeline, e.Code = "q", "malformed"
		case 4:
			e.Relay, e.Stream, e.Position, e.State = "r", stream("a/1"), 7, poison.Held
		case 5:
			e.Relay, e.Stream, e.State = "r", stream("a/2"), poison.Retrying
		}
		entries = append(entries, e)
	}
	f.ok(f.s.Park(f.ctx, entries...))
	id := func(i int) int64 { return f.parked(poison.Filter{})[i].ID }
	for _, tt := range []struct {
		name string
		f    poison.Filter
		want string
	}{
		{"all", poison.Filter{}, "012345"},
		{"ids", poison.Filter{IDs: []int64{id(1), id(5), 999}}, "15"},
		{"pipeline", poison.Filter{Pipeline: "q"}, "3"},
		{"step", poison.Filter{Step: "s1"}, "135"},
		{"relay", poison.Filter{Relay: "r"}, "45"},
		{"code", poison.Filter{Code: "malformed"}, "3"},
		{"stream", poison.Filter{Stream: stream("a/2")}, "5"},
		{"states", poison.Filter{States: []poison.State{poison.Held, poison.Retrying}}, "45"},
		{"state", poison.Filter{States: []poison.State{poison.Parked}}, "0123"},
		{"since", poison.Filter{Since: start.Add(4 * time.Minute)}, "45"},
		{"max", poison.Filter{Max: 2}, "01"},
		{"several", poison.Filter{Step: "s1", Pipeline: "p", Max: 1}, "1"},
		{"none", poison.Filter{Code: "x"}, ""},
	} {
		var keys strings.Builder
		var oldest time.Time
		for _, e := range f.parked(tt.f) {
			keys.WriteString(e.Key)
			if oldest.IsZero() || e.First.Before(oldest) {
				oldest = e.First
			}
		}
		if keys.String() != tt.want {
			f.Errorf("%s: %q, want %q", tt.name, keys.String(), tt.want)
		}
		if tt.f.Max > 0 {
			continue
		}
		n, first, err := f.s.CountParked(f.ctx, tt.f)
		f.ok(err)
		if n != int64(len(tt.want)) || !first.Equal(oldest) {
			f.Errorf("%s: counted %d since %s, want %s", tt.name, n, first, oldest)
		}
	}
	n, err := f.s.SetParked(f.ctx, poison.Filter{Step: "s0", Max: 2}, poison.Retrying)
	f.ok(err)
	f.same(n, int64(2))
	f.same(len(f.parked(poison.Filter{States: []poison.State{poison.Retrying}})), 3)
	n, err = f.s.DropParked(f.ctx, poison.Filter{States: []poison.State{poison.Retrying}, Max: 2})
	f.ok(err)
	f.same(n, int64(2))
	n, err = f.s.DropParked(f.ctx, poison.Filter{Pipeline: "p"})
	f.ok(err)
	f.same(n, int64(3))
	f.same(len(f.parked(poison.Filter{})), 1)
}

func testWithin(f *fixture) {
	def := testDef()
	head, err := f.s.Head(f.ctx)
	f.ok(err)
	_, err = f.s.Tables().Ensure(f.ctx, def, "d", "r", head.LogID)
	f.ok(err)
	boom := errors.New("boom")
	with := func(id string, fail error) *eventstore.Unit {
		u := unit(appendTo("a/1", eventstore.Any, id))
		u.Within = func(ctx context.Context, tx table.Tx, written []event.Recorded) error {
			for _, w := range written {
				row := table.Row{w.ID, fmt.Sprintf("%s@%d #%d %s", w.Stream, w.Revision, w.Position, w.Committed.Format(time.RFC3339))}
				if err := tx.Write(ctx, def, []table.Row{row}, nil); err != nil {
					return err
				}
				got, err := tx.Load(ctx, def, []table.Row{{w.ID}})
				if err != nil {
					return err
				}
				if got[0] == nil {
					return errors.New("the row is not seen in its own transaction")
				}
			}
			return fail
		}
		return u
	}
	us := []*eventstore.Unit{with("1", nil), with("2", boom), with("3", nil), unit(appendTo("a/1", eventstore.Any, "4"))}
	us[1].Park = []poison.Entry{entry("s", "k")}
	panics := unit(appendTo("a/1", eventstore.Any, "5"))
	panics.Within = func(context.Context, table.Tx, []event.Recorded) error { panic("in the unit") }
	us = append(us, panics)
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{}))
	f.status(us[0].Result, eventstore.Done)
	f.refused(us[1].Result, boom)
	f.status(us[2].Result, eventstore.Done)
	f.status(us[3].Result, eventstore.Done)
	f.status(us[4].Result, eventstore.Refused)
	f.same(f.all(eventstore.ReadOptions{}), []string{"1 a/1@1 1", "2 a/1@2 3", "3 a/1@3 4"})
	f.same(len(f.parked(poison.Filter{})), 0)
	rows, err := f.s.Tables().Load(f.ctx, def, []table.Row{{"1"}, {"2"}, {"3"}})
	f.ok(err)
	at := start.Format(time.RFC3339)
	f.same(rows, []table.Row{{"1", "a/1@1 #1 " + at}, nil, {"3", "a/1@2 #2 " + at}})
	// A repeat does not run it.
	r := with("1", boom)
	f.status(f.commit(r), eventstore.Repeated)
}

func testTableBesideStore(f *fixture) {
	f.append("a/1", "1", "2")
	def := testDef()
	head, err := f.s.Head(f.ctx)
	f.ok(err)
	tables := f.s.Tables()
	if !tables.WithStore() {
		f.Fatal("the store's own tables lie beside it")
	}
	_, err = tables.Ensure(f.ctx, def, "d", "r", head.LogID)
	f.ok(err)
	_, err = tables.Take(f.ctx, def, "r", 1)
	f.ok(err)
	f.ok(tables.Apply(f.ctx, &table.Write{
		Def: def, Put: []table.Row{{"1", "x"}}, Park: []poison.Entry{entry("r", "2")},
		Checkpoint: &table.Checkpoint{Relay: "r", LogID: head.LogID, Epoch: 1, To: 2},
	}))
	parked := f.parked(poison.Filter{})
	f.same(len(parked), 1)
	// Unparking fails with the write, and the write with the unparking.
	err = tables.Apply(f.ctx, &table.Write{
		Def: def, Put: []table.Row{{"1", "y"}}, Unpark: []int64{parked[0].ID},
		Checkpoint: &table.Checkpoint{Relay: "r", LogID: head.LogID, Epoch: 1, To: 2},
	})
	f.is(err, table.ErrFenced)
	f.same(len(f.parked(poison.Filter{})), 1)
	f.is(tables.Apply(f.ctx, &table.Write{Def: def, Put: []table.Row{{"1", "y"}}, Unpark: []int64{parked[0].ID, 77}}), table.ErrGone)
	f.ok(tables.Apply(f.ctx, &table.Write{Def: def, Put: []table.Row{{"2", "z"}}, Unpark: []int64{parked[0].ID}}))
	f.same(len(f.parked(poison.Filter{})), 0)
	rows, err := tables.Load(f.ctx, def, []table.Row{{"1"}, {"2"}})
	f.ok(err)
	f.same(rows, []table.Row{{"1", "x"}, {"2", "z"}})
}

func testRelays(f *fixture) {
	f.append("a/1", "1", "2", "3")
	set := func(pipeline string, specs ...eventstore.RelaySpec) []eventstore.Relay {
		f.Helper()
		r, err := f.s.SetRelays(f.ctx, pipeline, specs)
		f.ok(err)
		f.same(len(r), len(specs))
		return r
	}
	spec := func(id string) eventstore.RelaySpec {
		return eventstore.RelaySpec{ID: id, Kind: "project", Target: "t", Definition: "d1"}
	}
	head := spec("head")
	head.From = eventstore.FromHead
	at := spec("at")
	at.From = 2
	got := set("p", head, spec("start"), at)
	f.same([]int64{got[0].Position, got[1].Position, got[2].Position}, []int64{3, 0, 2})
	want := spec("start")
	want.Pipeline = "p"
	f.same(got[1], eventstore.Relay{RelaySpec: want, Created: start, Updated: start})

	// Known ones keep their place and take the new definition; others are noted as removed, and come back where they were.
	f.append("a/1", "4")
	f.pass(time.Minute)
	changed := spec("at")
	changed.Definition, changed.From = "d2", 1
	got = set("p", changed)
	if got[0].Position != 2 || got[0].Definition != "d2" || !got[0].Created.Equal(start) {
		f.Errorf("known relay: %+v", got[0])
	}
	set("q", spec("other"))
	all, err := f.s.ListRelays(f.ctx, "p")
	f.ok(err)
	state := map[string]bool{}
	for _, r := range all {
		state[r.ID] = r.Removed
	}
	f.same(state, map[string]bool{"at": false, "head": true, "start": true})
	back := spec("head")
	back.From = eventstore.FromHead
	got = set("p", back, changed)
	if got[0].Position != 3 || got[0].Removed {
		f.Errorf("back again: %+v", got[0])
	}
	// Was renames and keeps everything else; where the new name is known already it says nothing.
	lease, err := f.s.Acquire(f.ctx, "at", "me", time.Minute)
	f.ok(err)
	renamed := spec("at2")
	renamed.Was = "at"
	got = set("p", back, renamed)
	if got[1].ID != "at2" || got[1].Position != 2 || got[1].Epoch != lease.Epoch || !got[1].Created.Equal(start) {
		f.Errorf("renamed: %+v", got[1])
	}
	next, err := f.s.Acquire(f.ctx, "at2", "me", time.Minute)
	f.ok(err)
	if next.Epoch <= lease.Epoch {
		f.Errorf("the epoch went from %d to %d with the name", lease.Epoch, next.Epoch)
	}
	got = set("p", back, renamed)
	f.same(got[1].Position, int64(2))
	all, err = f.s.ListRelays(f.ctx, "")
	f.ok(err)
	f.same(len(all), 4)

	// What cannot be is refused whole.
	for name, specs := range map[string][]eventstore.RelaySpec{
		"twice":      {spec("x"), spec("x")},
		"of another": {spec("x"), spec("other")},
		"from":       {{ID: "x", From: -7}},
	} {
		if _, err := f.s.SetRelays(f.ctx, "p", specs); err == nil {
			f.Errorf("%s: no error", name)
		}
	}
	after, err := f.s.ListRelays(f.ctx, "")
	f.ok(err)
	f.same(after, all)

	f.ok(f.s.PauseRelay(f.ctx, "at2", true))
	got = set("p", renamed)
	if !got[0].Paused {
		f.Error("a pause is kept over a start")
	}
	if err := f.s.PauseRelay(f.ctx, "nobody", true); err == nil {
		f.Error("pausing an unknown relay: no error")
	}
}

func testAdvance(f *fixture) {
	f.append("a/1", "1", "2", "3")
	f.relay("r")
	position := func() int64 {
		rs, err := f.s.ListRelays(f.ctx, "p")
		f.ok(err)
		return rs[0].Position
	}
	f.ok(f.s.AdvanceRelay(f.ctx, eventstore.Advance{Relay: "r", To: 1}))
	lease, err := f.s.Acquire(f.ctx, "r", "me", time.Minute)
	f.ok(err)
	adv := func(epoch, from, to int64) error {
		return f.s.AdvanceRelay(f.ctx, eventstore.Advance{Relay: "r", Epoch: epoch, From: from, To: to})
	}
	f.is(adv(0, 1, 2), eventstore.ErrFenced) // a lower epoch
	f.is(adv(lease.Epoch+1, 1, 2), eventstore.ErrFenced)
	f.is(adv(lease.Epoch, 0, 2), eventstore.ErrFenced) // another place
	f.is(f.s.AdvanceRelay(f.ctx, eventstore.Advance{Relay: "x", To: 1}), eventstore.ErrFenced)
	if adv(lease.Epoch, 1, 0) == nil || adv(lease.Epoch, 1, 4) == nil {
		f.Error("a checkpoint went back, or beyond the log")
	}
	f.same(position(), int64(1))
	// A new owner fences the old one.
	f.pass(2 * time.Minute)
	second, err := f.s.Acquire(f.ctx, "r", "you", time.Minute)
	f.ok(err)
	f.is(adv(lease.Epoch, 1, 2), eventstore.ErrFenced)
	// Parking goes with the checkpoint or not at all.
	a := eventstore.Advance{Relay: "r", Epoch: second.Epoch, From: 1, To: 2, Park: []poison.Entry{entry("r", "2")}, Unpark: []int64{99}}
	f.is(f.s.AdvanceRelay(f.ctx, a), eventstore.ErrGone)
	f.same(len(f.parked(poison.Filter{})), 0)
	a.Unpark = nil
	f.ok(f.s.AdvanceRelay(f.ctx, a))
	f.is(f.s.AdvanceRelay(f.ctx, a), eventstore.ErrFenced)
	f.same(len(f.parked(poison.Filter{})), 1)
	f.ok(f.s.AdvanceRelay(f.ctx, eventstore.Advance{Relay: "r", Epoch: second.Epoch, From: 2, To: 2, Unpark: []int64{f.parked(poison.Filter{})[0].ID}}))
	f.same(len(f.parked(poison.Filter{})), 0)
	f.same(position(), int64(2))
}

func testLeases(f *fixture) {
	a, err := f.s.Acquire(f.ctx, "l", "a", time.Minute)
	f.ok(err)
	if a.Name != "l" || a.Owner != "a" || a.Epoch < 1 || !a.Until.Equal(start.Add(time.Minute)) {
		f.Fatalf("lease %+v", a)
	}
	_, err = f.s.Acquire(f.ctx, "l", "b", time.Minute)
	f.is(err, eventstore.ErrHeld)
	f.pass(30 * time.Second)
	again, err := f.s.Acquire(f.ctx, "l", "a", time.Minute)
	f.ok(err)
	f.same(again.Epoch, a.Epoch)
	f.pass(50 * time.Second)
	renewed, err := f.s.Renew(f.ctx, again, time.Minute)
	f.ok(err)
	if !renewed.Until.Equal(f.now().Add(time.Minute)) || renewed.Epoch != a.Epoch {
		f.Errorf("renewed %+v", renewed)
	}
	_, err = f.s.Acquire(f.ctx, "l", "b", time.Minute)
	f.is(err, eventstore.ErrHeld)
	// At its end a lease is free, and its owner keeps it only while nobody took it.
	f.pass(time.Minute)
	_, err = f.s.Renew(f.ctx, renewed, time.Second)
	f.ok(err)
	f.pass(time.Minute)
	b, err := f.s.Acquire(f.ctx, "l", "b", time.Minute)
	f.ok(err)
	if b.Epoch <= a.Epoch {
		f.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
	}
	_, err = f.s.Renew(f.ctx, renewed, time.Minute)
	f.is(err, eventstore.ErrFenced)
	f.ok(f.s.Release(f.ctx, renewed)) // lost: no error, and no effect
	_, err = f.s.Acquire(f.ctx, "l", "c", time.Minute)
	f.is(err, eventstore.ErrHeld)
	f.ok(f.s.Release(f.ctx, b))
	_, err = f.s.Renew(f.ctx, b, time.Minute)
	f.is(err, eventstore.ErrFenced)
	c, err := f.s.Acquire(f.ctx, "l", "b", time.Minute)
	f.ok(err)
	if c.Epoch <= b.Epoch {
		f.Errorf("epoch %d after the release of %d", c.Epoch, b.Epoch)
	}
	if _, err := f.s.Acquire(f.ctx, "l", "", time.Minute); err == nil {
		f.Error("a lease without an owner: no error")
	}
	// A relay that is registered after its lease was given takes the lease's epoch.
	f.same(f.relay("l").Epoch, c.Epoch)
}
