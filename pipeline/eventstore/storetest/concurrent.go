package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// writers runs n writers that each commit calls of one or more units, over streams that they share.
func (f *fixture) writers(n, calls int) {
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for c := range calls {
				var us []*eventstore.Unit
				for k := range 1 + c%3 {
					a := appendTo(fmt.Sprintf("s/%d", (w+c+k)%5), eventstore.Any, fmt.Sprintf("%d-%d-%d", w, c, k))
					a.Origin = fmt.Sprint("w", w)
					us = append(us, unit(a))
				}
				if err := f.s.Commit(f.ctx, us, eventstore.CommitOptions{}); err != nil {
					f.Error(err)
					return
				}
				for _, u := range us {
					if u.Result.Status != eventstore.Done {
						f.Errorf("writer %d: %+v", w, u.Result)
					}
				}
			}
		})
	}
	wg.Wait()
}

func testDense(f *fixture) {
	f.writers(8, 30)
	revisions := map[event.Stream]int64{}
	order := map[string]string{} // of each writer's events in a stream
	for i, r := range collect(f, f.s.ReadAll(f.ctx, eventstore.ReadOptions{})) {
		revisions[r.Stream]++
		if r.Position != int64(i)+1 || r.Revision != revisions[r.Stream] {
			f.Fatalf("event %d has position %d and revision %d of %s, want %d", i, r.Position, r.Revision, r.Stream, revisions[r.Stream])
		}
		order[r.ID] = r.Origin
	}
	f.same(len(order), 8*60)
	// One of many writers of the same revision wins.
	var wg sync.WaitGroup
	units := make([]*eventstore.Unit, 16)
	for i := range units {
		units[i] = unit(appendTo("race/1", eventstore.NoStream, fmt.Sprint(i)))
		wg.Go(func() {
			if err := f.s.Commit(f.ctx, units[i:i+1], eventstore.CommitOptions{}); err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	won := 0
	for _, u := range units {
		var c *eventstore.ConflictError
		switch {
		case u.Result.Status == eventstore.Done:
			won++
		case !errors.As(u.Result.Err, &c) || c.Actual != 1:
			f.Errorf("the race's loser: %+v", u.Result)
		}
	}
	f.same(won, 1)
}

// follow subscribes in the background until position n is through, and gives what came.
func (f *fixture) follow(o eventstore.SubscribeOptions, n int64) (wait func() []event.Recorded) {
	ctx, cancel := context.WithCancel(f.ctx)
	var out []event.Recorded
	done := make(chan struct{})
	go func() {
		defer close(done)
		through := o.After
		for p, err := range f.s.Subscribe(ctx, o) {
			if err != nil {
				f.Error(err)
				return
			}
			if p.Through <= through || p.Head < p.Through {
				f.Errorf("a page behind %d is through %d of %d", through, p.Through, p.Head)
			}
			for _, r := range p.Events {
				if r.Position <= through || r.Position > p.Through {
					f.Errorf("position %d on the page from %d to %d", r.Position, through, p.Through)
				}
			}
			out = append(out, p.Events...)
			if through = p.Through; through >= n {
				return
			}
		}
	}()
	return func() []event.Recorded {
		defer cancel()
		<-done
		return out
	}
}

func testSubscribe(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	f.append("a/1", "1", "2", "3")
	var got []string
	// Each page leads to the next commit: the wake-up needs no sleep, and the loop ends with its context.
	for p, err := range f.s.Subscribe(ctx, eventstore.SubscribeOptions{After: 1}) {
		f.ok(err)
		for _, r := range p.Events {
			got = append(got, r.ID)
		}
		switch p.Through {
		case 3:
			f.append("b/1", "4")
		case 4:
			go func() {
				if err := f.s.Commit(f.ctx, []*eventstore.Unit{unit(appendTo("b/1", eventstore.Any, "5", "6"))}, eventstore.CommitOptions{}); err != nil {
					f.Error(err)
				}
			}()
		case 6:
			cancel()
		}
	}
	f.same(got, []string{"2", "3", "4", "5", "6"})

	// Pages are bounded by count, and by bytes save for a single event.
	o := eventstore.SubscribeOptions{MaxEvents: 4}
	pages := func(o eventstore.SubscribeOptions) (sizes []int) {
		for p, err := range f.s.Subscribe(f.ctx, o) {
			f.ok(err)
			sizes = append(sizes, len(p.Events))
			if p.Through == p.Head {
				break
			}
		}
		return sizes
	}
	f.same(pages(o), []int{4, 2})
	f.same(pages(eventstore.SubscribeOptions{MaxBytes: 1, After: 2}), []int{1, 1, 1, 1})
}

func testSubscribeFiltered(f *fixture) {
	wait := f.follow(eventstore.SubscribeOptions{Filter: eventstore.Filter{Types: []string{"U"}, Origins: []string{"p"}}, MaxEvents: 2}, 1204)
	var many []string
	for i := range 1200 {
		many = append(many, fmt.Sprint(i))
	}
	f.append("a/1", many...)
	f.append("b/1", "1:U", "2:U", "3:U", "4:T") // its last page has no events and moves Through
	got := wait()
	var ids []string
	for _, r := range got {
		ids = append(ids, r.ID)
	}
	f.same(ids, []string{"1", "2", "3"})
	// Other filters leave the same place.
	f.same(len(f.follow(eventstore.SubscribeOptions{Filter: eventstore.Filter{StreamTypes: []string{"none"}}}, 1204)()), 0)
	f.same(len(f.follow(eventstore.SubscribeOptions{Filter: eventstore.Filter{StreamTypes: []string{"b"}}, After: 1201}, 1204)()), 3)
}

// testSubscribeConcurrent follows the log from several places while eight writers commit: nobody skips.
func testSubscribeConcurrent(f *fixture) {
	const n = 8 * 60
	var waits []func() []event.Recorded
	for _, o := range []eventstore.SubscribeOptions{{}, {MaxEvents: 7}, {MaxBytes: 100}, {Filter: eventstore.Filter{Origins: []string{"w3"}}}} {
		waits = append(waits, f.follow(o, n))
	}
	f.writers(8, 30)
	for i, wait := range waits {
		got := wait()
		if i == 3 {
			f.same(len(got), 60)
			continue
		}
		f.same(len(got), n)
		for j, r := range got {
			if r.Position != int64(j)+1 {
				f.Fatalf("follower %d skipped from %d to %d", i, j, r.Position)
			}
		}
	}
}

func testClosed(f *fixture) {
	f.append("a/1", "1")
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		defer close(done)
		for _, err := range f.s.Subscribe(f.ctx, eventstore.SubscribeOptions{}) {
			if err != nil {
				done <- err
				return
			}
			close(ready)
		}
	}()
	<-ready
	f.ok(f.s.Close())
	f.is(<-done, eventstore.ErrClosed)
	f.ok(f.s.Close())
	f.is(f.s.Commit(f.ctx, []*eventstore.Unit{unit(appendTo("a/1", eventstore.Any, "2"))}, eventstore.CommitOptions{}), eventstore.ErrClosed)
	_, err := f.s.Head(f.ctx)
	f.is(err, eventstore.ErrClosed)
	for _, err := range f.s.ReadAll(f.ctx, eventstore.ReadOptions{}) {
		f.is(err, eventstore.ErrClosed)
	}
	f.is(f.s.Park(f.ctx, entry("s", "k")), eventstore.ErrClosed)
	f.ended = true
}

// testCloseUnderLoad closes while commits run: each of them is done, or says that the store is closed.
func testCloseUnderLoad(f *fixture) {
	var wg sync.WaitGroup
	first := make(chan struct{}, 4)
	for w := range 4 {
		wg.Go(func() {
			for c := 0; ; c++ {
				u := unit(appendTo(fmt.Sprint("s/", w), eventstore.Any, fmt.Sprint(c)))
				err := f.s.Commit(f.ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{})
				if errors.Is(err, eventstore.ErrClosed) {
					return
				}
				if err != nil || u.Result.Status != eventstore.Done {
					f.Errorf("commit: %v, %+v", err, u.Result)
					return
				}
				if c == 3 {
					first <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-first
	}
	f.ok(f.s.Close())
	wg.Wait()
	f.ended = true
}

// testCancelled: a context that has ended is an error, and leaves the store in order.
func testCancelled(f *fixture) {
	f.append("a/1", "1")
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	f.is(f.s.Commit(ctx, []*eventstore.Unit{unit(appendTo("a/1", eventstore.Any, "2"))}, eventstore.CommitOptions{}), context.Canceled)
	n := 0
	for _, err := range f.s.ReadAll(ctx, eventstore.ReadOptions{}) {
		f.is(err, context.Canceled)
		n++
	}
	f.same(n, 1)
	for p, err := range f.s.Subscribe(ctx, eventstore.SubscribeOptions{}) {
		f.Errorf("a page through %d after the end, %v", p.Through, err)
	}
	f.append("a/1", "3")
}

func testReopen(f *fixture) {
	f.append("a/1", "1", "2")
	u := unit(appendTo("b/1", eventstore.NoStream, "1"))
	u.Inbox, u.Cursor = &eventstore.Mark{Key: "m", Hash: 7}, &event.Cursor{Key: "k", Value: "v"}
	f.status(f.commit(u), eventstore.Done)
	f.relay("r")
	lease, err := f.s.Acquire(f.ctx, "r", "me", time.Hour)
	f.ok(err)
	f.ok(f.s.AdvanceRelay(f.ctx, eventstore.Advance{Relay: "r", Epoch: lease.Epoch, To: 2}))
	f.ok(f.s.Park(f.ctx, entry("s", "k")))
	relays, err := f.s.ListRelays(f.ctx, "")
	f.ok(err)
	head, err := f.s.Head(f.ctx)
	f.ok(err)
	log := collect(f, f.s.ReadAll(f.ctx, eventstore.ReadOptions{}))

	for range 2 {
		f.pass(-time.Hour) // the clock of the next start is behind
		f.s = f.reopen()
		now, err := f.s.Head(f.ctx)
		f.ok(err)
		f.same(now, head)
		f.same(collect(f, f.s.ReadAll(f.ctx, eventstore.ReadOptions{})), log)
		f.cursor("v")
		f.status(f.commit(u), eventstore.Repeated)
		f.status(f.commit(unit(appendTo("a/1", eventstore.Any, "2"))), eventstore.Repeated)
		again, err := f.s.ListRelays(f.ctx, "")
		f.ok(err)
		f.same(again, relays)
		f.same(len(f.parked(poisonAll)), 1)
		_, err = f.s.Renew(f.ctx, lease, time.Hour)
		f.ok(err)
	}
	w := f.append("a/1", "3")
	f.same(w, eventstore.Written{First: 3, Last: 3, Position: 4})
}
