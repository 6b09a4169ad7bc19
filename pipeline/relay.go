package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// relay reads what its pipeline's last append wrote and brings it to one target. It is a Watermill subscriber and the
// handler of its messages at once: a page of the log is a message, and the next one follows when it is handled.
//
// All that changes its place happens in that one handler, so there is no lock around it.
type relay struct {
	pipe    *pipe
	plan    *relayPlan
	target  target
	limiter *rate.Limiter
	metrics *telemetry.Relay
	seat    *seat // nil without a log
	// term is the present or last tenure; mine says that nobody else has gone on from it.
	term atomic.Pointer[tenure]
	mine atomic.Bool
	// serving: what is parked is known, and the log is followed.
	serving atomic.Bool
	// watched is when another's progress was last seen, while the end of the input is waited for.
	watched time.Time

	// position is the checkpoint; seen is how far the relay has come, past pages of which nothing was to be written.
	position, seen, head atomic.Int64
	saved                time.Time
	delivered            atomic.Int64
	skipped              atomic.Int64
	parked               atomic.Int64

	// calls brings the writes of several lanes together, where there is no log; else nil.
	calls   *sharedCalls
	holding holding
	passes  bool // other streams may pass one that waits for another attempt
	wake    chan struct{}
	// asked counts the pokes, answered those that were seen to.
	asked, answered atomic.Int64
	// swaps are tables that were built anew and wait for the relay to put them in place.
	swaps  chan *rebuilding
	moved  chan struct{} // told when seen or answered moves
	paused atomic.Bool
}

// target is what a relay writes to.
type target interface {
	// write hands over the items of a page and moves the checkpoint behind it, with what could not be delivered
	// parked. It gives the place that it reached (hold: pipeline stops early), or an error when the pipeline stops.
	write(ctx context.Context, r *relay, g *gathered) (int64, error)
	// commit moves the checkpoint alone, or with parked entries taken away.
	commit(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error
	// resend delivers what one parked event gives and takes its entry away; false where it failed and stays.
	resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) (bool, error)
	// eager reports whether the checkpoint is to move at once to a place behind which nothing is to be written.
	eager(r *relay, to int64) bool
	close() error
}

type relayJob struct {
	swap  *rebuilding
	page  *eventstore.Page
	retry bool
	turn  bool // what was set aside is due
}

type relayJobKey struct{}

// Subscribe implements message.Subscriber: while this process has the relay's lease it follows the log, until the relay
// is stopped.
func (r *relay) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			t := r.seat.await(r.pipe.relaysStop)
			if t == nil {
				return
			}
			r.serve(t, out)
			r.standBy()
			r.pipe.seats.give(r.seat, t)
		}
	}()
	return out, nil
}

// serve follows the log for one tenure. Nothing is in hand when it returns.
func (r *relay) serve(t *tenure, out chan<- *message.Message) {
	r.term.Store(t)
	r.mine.Store(true)
	if !t.opened && !r.resume(t) {
		return
	}
	r.metrics.Owner(true)
	r.serving.Store(true)
	r.tellMoved()
	read := make(chan *eventstore.Page)
	pages := read
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { r.read(t, read) })
	if r.plan.frame.Batch.Wait > 0 {
		pages = make(chan *eventstore.Page)
		reading.Go(func() { r.fill(t, read, pages) })
	}
	for {
		job, ok := r.next(t, pages)
		if !ok {
			return
		}
		m := message.NewMessage("", nil)
		m.SetContext(context.WithValue(context.Background(), relayJobKey{}, job))
		select {
		case out <- m:
		case <-t.stop.Done():
			return
		}
		select {
		case <-m.Acked():
		case <-m.Nacked():
		}
	}
}

// next gives what is to be done next: false when the tenure is over. A page is not taken while too much is set aside.
func (r *relay) next(t *tenure, pages <-chan *eventstore.Page) (job relayJob, ok bool) {
	var due <-chan time.Time
	if timer := r.nextTurn(); timer != nil {
		defer timer.Stop()
		due = timer.C
		if r.full() {
			pages = nil
		}
	}
	select {
	case <-t.stop.Done():
		return job, false
	case <-r.wake:
		job.retry = true
	case <-due:
		job.turn = true
	case job.swap = <-r.swaps:
	case job.page = <-pages:
	}
	return job, true
}

// standBy notes that the relay is another's from here on, unless it just stops.
func (r *relay) standBy() {
	if r.pipe.relaysStop.Err() != nil {
		return
	}
	r.mine.Store(false)
	r.serving.Store(false)
	r.answered.Store(r.asked.Load())
	r.holding.forget()
	r.metrics.Owner(false)
	r.metrics.Outage(false)
	r.pipe.trouble.clear("relay " + r.plan.name)
	r.pipe.trouble.clear("log of " + r.plan.name)
	r.tellMoved()
}

// elsewhere reads how far another replica has brought the relay; false where it gets no further: it has not moved for
// the drain time.
func (r *relay) elsewhere(ctx context.Context) bool {
	at, err := r.stored(ctx)
	if err != nil {
		return ctx.Err() == nil
	}
	if at > r.seen.Load() {
		r.seen.Store(at)
		r.watched = r.pipe.now()
	}
	if r.watched.IsZero() {
		r.watched = r.pipe.now()
	}
	return r.pipe.now().Sub(r.watched) < r.pipe.cfg.Drain
}

// stored gives the place where the relay stands, whoever runs it.
func (r *relay) stored(ctx context.Context) (int64, error) {
	if t, ok := r.target.(*tableTarget); ok {
		infos, err := t.tables.Tables(ctx)
		for i := range infos {
			if infos[i].Relay == r.plan.id && infos[i].Def.Version == t.def.Version {
				return infos[i].Position, err
			}
		}
		return 0, err
	}
	all, err := r.pipe.store.ListRelays(ctx, r.pipe.cfg.Name)
	for i := range all {
		if all[i].ID == r.plan.id {
			return all[i].Position, err
		}
	}
	return 0, err
}

// stop ends when the relay is to begin nothing more, hard when it may not go on either.
func (r *relay) stop() context.Context {
	if t := r.term.Load(); t != nil && t.stop != nil {
		return t.stop
	}
	return r.pipe.relaysStop
}

func (r *relay) hard() context.Context {
	if t := r.term.Load(); t != nil && t.hard != nil {
		return t.hard
	}
	return r.pipe.hard
}

func (r *relay) epoch() int64 { return r.term.Load().epoch() }

// Close implements message.Subscriber; the pipeline stops its relays itself.
func (r *relay) Close() error { return nil }

// read follows the log and hands on its pages, one ahead of the one that is handled.
func (r *relay) read(t *tenure, pages chan<- *eventstore.Page) {
	ctx := t.stop
	after := r.seen.Load()
	for ctx.Err() == nil {
		o := eventstore.SubscribeOptions{After: after, Filter: r.selects(),
			MaxEvents: r.plan.frame.Batch.Events, MaxBytes: int(r.plan.frame.Batch.Bytes)}
		for page, err := range r.pipe.reader.Subscribe(ctx, o) {
			if err != nil {
				if ctx.Err() == nil {
					r.pipe.trouble.set("log of "+r.plan.name, err)
					r.pipe.limited("read").Error("the log cannot be read; trying again", "relay", r.plan.name, "error", err)
				}
				break
			}
			ended := r.pipe.bound(&page)
			after = page.Through
			page.Events = r.plan.keep(page.Events)
			r.pipe.trouble.clear("log of " + r.plan.name)
			select {
			case pages <- &page:
			case <-ctx.Done():
				return
			}
			if ended {
				return
			}
		}
		r.pipe.sleep(time.Second, ctx)
	}
}

// handle is the router's handler of the relay. It never fails: what cannot be done now is tried again, in here.
func (r *relay) handle(m *message.Message) error {
	job, _ := m.Context().Value(relayJobKey{}).(relayJob)
	var err error
	defer func() {
		if v := recover(); v != nil {
			r.pipe.fail(panicked("relay "+r.plan.name, v))
		}
	}()
	switch {
	case job.swap != nil:
		_ = job.swap.finish(r.hard()) // whoever waits for it is told
	case job.retry:
		if !r.paused.Load() {
			err = r.again(r.hard())
		}
	case job.turn:
		err = r.takeTurns(r.hard())
	default:
		err = r.page(r.hard(), job.page)
	}
	switch {
	case err == nil, errors.Is(err, errStopped), r.hard().Err() != nil:
	case errors.Is(err, eventstore.ErrFenced), errors.Is(err, table.ErrFenced):
		r.term.Load().lose(fmt.Errorf("%w: %w", eventstore.ErrFenced, err))
	default:
		r.pipe.fail(fmt.Errorf("relay %s: %w", r.plan.name, err))
	}
	return nil
}

// page brings a page of the log to the target. With `hold: pipeline` it comes to the end of the page in several goes:
// what lies behind a parked event waits until that is mended.
func (r *relay) page(ctx context.Context, page *eventstore.Page) error {
	r.head.Store(max(r.head.Load(), page.Head))
	events := page.Events
	for r.seen.Load() < page.Through {
		if err := r.ready(ctx); err != nil {
			return err
		}
		for len(events) > 0 && events[0].Position <= r.seen.Load() {
			events = events[1:]
		}
		to, now := page.Through, events
		if at := r.holding.first(); at > r.seen.Load() && at < to { // parked before a crash, and not passed: no further
			to = at
			now = now[:sort.Search(len(now), func(i int) bool { return now[i].Position > at })]
		}
		switch {
		case len(now) > 0:
			g, err := r.gather(now, to)
			if err != nil {
				return err
			}
			to, err = r.target.write(ctx, r, g)
			g.endSpans()
			if err != nil {
				return err
			}
			r.lag(&now[len(now)-1])
		case r.pipe.now().Sub(r.saved) >= time.Second || r.target.eager(r, to):
			if err := r.target.commit(ctx, r, to, nil, nil); err != nil {
				return err
			}
		}
		r.progress(to)
	}
	return nil
}

// ready waits while a person is to mend what is parked (hold: pipeline) or to resume the relay.
func (r *relay) ready(ctx context.Context) error {
	for (r.holding.first() > 0 && r.holding.first() <= r.seen.Load()) || r.paused.Load() {
		select {
		case <-r.wake:
			if r.paused.Load() {
				continue // what is to be sent again waits too: whoever lets it go on wakes it
			}
			if err := r.again(ctx); err != nil {
				return err
			}
		case b := <-r.swaps:
			_ = b.finish(ctx) // whoever waits for it is told
		case <-r.stop().Done():
			return errStopped
		}
	}
	return nil
}

// progress notes how far the relay has come and tells whoever waits for it.
func (r *relay) progress(to int64) {
	r.seen.Store(max(r.seen.Load(), to))
	r.metrics.Position(r.seen.Load(), r.head.Load())
	r.metrics.Held(r.holding.count())
	r.tellMoved()
}

func (r *relay) tellMoved() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// stopping ends when the relay may no longer wait for another attempt. Without a log its events are still the
// source's: they are released as soon as nothing more is pulled.
func (r *relay) stopping() context.Context {
	if r.pipe.plan.log {
		return r.stop()
	}
	return r.pipe.soft
}

func (r *relay) lag(last *event.Recorded) {
	if r.head.Load() <= last.Position {
		r.metrics.LagSeconds(0)
		return
	}
	r.metrics.LagSeconds(max(0, r.pipe.now().Sub(last.Committed).Seconds()))
}
