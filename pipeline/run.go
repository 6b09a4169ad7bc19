package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// closeTime is how long handlers that do not heed the hard stop are waited for.
var closeTime = 5 * time.Second

// routerTime is the router's own patience, behind closeTime: by then nothing is in hand, or nothing helps.
var routerTime = 10 * time.Millisecond

// run lets the pipeline work until its input ends or stop is done; hard ends everything at once. It gives the error
// that stopped it; what is left undelivered is in the summary.
func (p *pipe) run(stop, hard context.Context) error {
	p.hard, p.giveUp = context.WithCancel(hard)
	p.soft, p.endSoft = context.WithCancel(p.hard)
	p.relaysStop, p.endRelays = context.WithCancel(p.hard)
	defer p.giveUp()

	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerTime}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", p.cfg.Name, err)
	}
	var src message.Subscriber = p.source
	if p.intake != nil {
		src = &relief{p: p, seat: p.intake}
	}
	g := &gate{src: src, pull: p.soft, hard: p.hard, room: p.room, flight: &p.flight, ended: make(chan struct{}),
		taken:   func(b *event.Batch) { p.counts.receive(len(b.Events)) },
		refused: p.giveBack,
	}
	intake := router.AddConsumerHandler("intake", "", g, p.handle)
	var relays []*message.Handler
	if p.plan.log {
		for _, r := range p.relays {
			relays = append(relays, router.AddConsumerHandler(r.plan.id, "", r, r.handle))
		}
	}
	p.seats.start()
	runErr := make(chan error, 1)
	// The router's own context ends only with hard: its Close would cancel what is in flight.
	go func() { runErr <- router.Run(p.hard) }()
	select {
	case <-router.Running():
	case err := <-runErr:
		if g.failed != nil {
			err = fmt.Errorf("source: %w", g.failed)
		}
		return fmt.Errorf("pipeline %s: %w", p.cfg.Name, err)
	}
	p.setState("running")
	close(p.started)
	if p.takeUp != nil && p.plan.log {
		p.working.run(p.takeUp)
	}
	var work, copying sync.WaitGroup
	work.Go(p.retryLoop)
	work.Go(p.seats.keep)
	work.Go(p.pruneLoop)
	copying.Go(p.copies.run)

	select {
	case <-g.ended:
		p.sourceEnded()
	case <-stop.Done():
	case <-p.soft.Done():
	}
	p.drain(stop, intake, relays)
	p.endSoft()
	p.endRelays()
	ended := p.lastHandlers(intake, relays)
	// Close fails where it has waited for too long only. That what has ended did not get to say so to the router within
	// its patience, on a machine with much else to do, is no failure.
	if err = router.Close(); ended {
		err = nil
	}
	if rerr := <-runErr; err == nil {
		err = rerr
	}
	work.Wait()
	wait(context.Background(), p.working.idle())
	p.copies.end() // nobody parks anything any more
	copying.Wait()
	p.deadline.stop()
	if err != nil && p.hard.Err() != nil {
		err = nil // the deadline says it all
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.failure, err)
}

// lastHandlers waits for what is in hand after the hard stop, and reports whether all of it has ended. The router would
// wait too, but under its locks (watermill v1.5.1, router.go:570-608): its handlers could not end meanwhile.
func (p *pipe) lastHandlers(intake *message.Handler, relays []*message.Handler) bool {
	over, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	wait(over, intake.Stopped())
	for _, h := range relays {
		wait(over, h.Stopped())
	}
	wait(over, p.flight.idle())
	wait(over, p.background.idle())
	return over.Err() == nil
}

// sourceEnded decides whether the input came to its end or broke off.
func (p *pipe) sourceEnded() {
	if p.soft.Err() != nil {
		return
	}
	if f, ok := p.source.(sources.Failing); ok {
		if err := f.Err(); err != nil {
			p.fail(fmt.Errorf("source: %w", err))
			return
		}
	}
	p.ended = true
}

// drain finishes what is in flight, on contexts that the stop does not end, until the deadline. When the input has
// ended there is no deadline while something moves.
func (p *pipe) drain(stop context.Context, intake *message.Handler, relays []*message.Handler) {
	if p.ended {
		p.setState("finishing")
		p.finish(stop, p.retried)
	} else {
		p.setState("draining")
		p.deadline.start(p.clock, p.cfg.Drain, p.giveUp)
		p.endSoft()
	}
	// Stopped does not wait for messages in hand (watermill v1.5.1): the gate has counted them.
	p.finish(stop, intake.Stopped())
	p.finish(stop, p.flight.idle())
	p.finish(stop, p.background.idle())
	if p.hard.Err() == nil {
		p.flushPlaces()
	}
	if p.ended && p.plan.log {
		p.toHead(stop)
	}
	p.deadline.start(p.clock, p.cfg.Drain, p.giveUp)
	p.endSoft()
	p.endRelays()
	for _, h := range relays {
		wait(p.hard, h.Stopped())
	}
}

// finish waits for ch. When nothing is settled for the drain time, or somebody asks to stop, what waits for another
// attempt is released, and the deadline runs.
func (p *pipe) finish(stop context.Context, ch <-chan struct{}) {
	tick := p.clock.NewTicker(p.cfg.Drain)
	defer tick.Stop()
	settled := p.counts.settled()
	for {
		select {
		case <-ch:
			return
		case <-p.hard.Done():
			return
		case <-p.soft.Done():
			p.deadline.start(p.clock, p.cfg.Drain, p.giveUp)
			wait(p.hard, ch)
			return
		case <-stop.Done():
			p.ended = false // stopped before its end
		case <-tick.C:
			if n := p.counts.settled(); n != settled {
				settled = n
				continue
			}
		}
		p.endSoft()
	}
}

// toHead waits until every relay has done what its pipeline's appends gave it to do, and what was sent again. A relay
// that makes no progress for the drain time is not waited for. What another replica has to do is left to it if it lives.
func (p *pipe) toHead(stop context.Context) {
	close(p.noMore)
	for _, r := range p.relays {
		if !p.relayToHead(stop, r) {
			return
		}
	}
}

func (p *pipe) relayToHead(stop context.Context, r *relay) bool {
	since := p.now()
	// Whether it serves is asked first: once it does, what is parked is known, and not before.
	for !r.paused.Load() && ((!r.serving.Load() && p.seats.due(r.seat)) || r.perhapsAbandoned(since) || r.seen.Load() < p.lastOwn.Load() || r.answered.Load() < r.asked.Load() || r.holding.anyTurn()) {
		after, others := p.cfg.Drain, !r.mine.Load()
		if others {
			after = min(after, time.Second)
		}
		t := p.clock.NewTimer(after)
		select {
		case <-r.moved:
			t.Stop()
		case <-t.C:
			if others && (r.mine.Load() || r.elsewhere(p.relaysStop)) {
				continue // its second is not the drain time
			}
			return true
		case <-stop.Done():
			t.Stop()
			p.ended = false
			return false
		case <-p.relaysStop.Done():
			t.Stop()
			return false
		}
	}
	return true
}

// undelivered counts the log positions that relays have not brought to their targets, as far as they are this process's.
func (p *pipe) undelivered() int64 {
	if !p.plan.log {
		return 0
	}
	var n int64
	for _, r := range p.relays {
		if r.mine.Load() || p.ended {
			n += r.left()
		}
	}
	return n
}

func wait(ctx context.Context, ch <-chan struct{}) {
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// deadline calls something once the time for a drain is over. It starts once.
type deadline struct {
	mu    sync.Mutex
	timer *clock.Timer
}

func (d *deadline) start(c clock.Clock, after time.Duration, over func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil {
		d.timer = c.AfterFunc(after, over)
	}
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}

// flight counts what is under way. Unlike a sync.WaitGroup it may be waited for while it is added to.
type flight struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0
}

func (f *flight) add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		f.none = make(chan struct{})
	}
	f.n++
}

func (f *flight) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 {
		close(f.none)
	}
}

// idle is closed when nothing is under way.
func (f *flight) idle() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.none == nil {
		f.none = make(chan struct{})
		close(f.none)
	}
	return f.none
}

// run does work in a goroutine that counts.
func (f *flight) run(work func()) {
	f.add()
	go func() {
		defer f.done()
		work()
	}()
}
