package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

func testOutbox(f *fixture, has Features) {
	box := f.s.(eventstore.Outbox)
	read := func(but ...int64) (bodies []string) {
		f.Helper()
		rows, err := box.ReadOutbox(f.ctx, but, 100, 1<<20)
		f.ok(err)
		for i, r := range rows {
			bodies = append(bodies, string(r.Body))
			if i > 0 && r.ID <= rows[i-1].ID {
				f.Errorf("row %d stands behind row %d", r.ID, rows[i-1].ID)
			}
			if d := time.Since(r.Written); d < -time.Hour || (d > time.Hour && !r.Written.Equal(f.now())) {
				f.Errorf("written %v", r.Written)
			}
		}
		return bodies
	}
	f.ok(box.WaitOutbox(f.ctx)) // what was there before is read without a wait
	f.same(read(), []string(nil))
	woke := make(chan error, 1)
	go func() { woke <- box.WaitOutbox(f.ctx) }()
	for range 20 { // ids that begin with any digit and have more than one
		gone := has.PutOutbox(f, f.s, "gone")
		rows, err := box.ReadOutbox(f.ctx, nil, 100, 1<<20)
		f.ok(err)
		if len(rows) != 1 || rows[0].ID != gone {
			f.Fatalf("row %d is read as %+v", gone, rows)
		}
		u := unit()
		u.Outbox = []int64{gone}
		f.status(f.commit(u), eventstore.Done)
	}
	ids := make([]int64, 4)
	for i, body := range []string{"one", "two", "three", "four"} {
		ids[i] = has.PutOutbox(f, f.s, body)
	}
	f.ok(<-woke)
	f.same(read(), []string{"one", "two", "three", "four"})
	f.same(read(ids[0], ids[2]), []string{"two", "four"})
	some, err := box.ReadOutbox(f.ctx, nil, 2, 1<<20)
	f.ok(err)
	f.same(len(some), 2)
	some, err = box.ReadOutbox(f.ctx, nil, 10, 1) // one is given whatever it weighs
	f.ok(err)
	f.same(len(some), 1)

	// A row goes with its unit; a unit that is refused leaves it.
	move := func(id string, rows ...int64) *eventstore.Unit {
		u := unit(appendTo("a/1", eventstore.Any, id))
		u.Outbox = rows
		return u
	}
	refused := unit(appendTo("a/1", eventstore.Revision(7), "0"))
	refused.Outbox = ids[:1]
	f.status(f.commit(refused), eventstore.Refused)
	f.same(read(), []string{"one", "two", "three", "four"})
	f.status(f.commit(move("1", ids[0])), eventstore.Done)
	f.same(read(), []string{"two", "three", "four"})
	// The repeat of a commit whose outcome was unknown finds its row gone, and that is no fault. Another unit's is.
	f.status(f.commit(move("1", ids[0])), eventstore.Repeated)
	f.refused(f.commit(move("2", ids[0])), eventstore.ErrGone)
	f.refused(f.commit(move("2", ids[1], 9999)), eventstore.ErrGone)
	us := []*eventstore.Unit{move("2", ids[1]), move("3", ids[1])}
	f.ok(f.s.Commit(f.ctx, us, eventstore.CommitOptions{}))
	f.status(us[0].Result, eventstore.Done)
	f.refused(us[1].Result, eventstore.ErrGone)
	// A repeat by another row takes that row with it.
	f.status(f.commit(move("2", ids[2])), eventstore.Repeated)
	f.same(read(), []string{"four"})
	// A unit of nothing but its row.
	alone := unit()
	alone.Outbox = ids[3:]
	f.status(f.commit(alone), eventstore.Done)
	f.same(read(), []string(nil))
	f.same(len(f.all(eventstore.ReadOptions{})), 2)

	last := has.PutOutbox(f, f.s, "five")
	f.same(read(), []string{"five"})
	f.ok(box.DropOutbox(f.ctx, []int64{last, 9999}))
	f.same(read(), []string(nil))

	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if err := box.WaitOutbox(ctx); !errors.Is(err, context.Canceled) {
		f.Errorf("a wait that was given up: %v", err)
	}
}
