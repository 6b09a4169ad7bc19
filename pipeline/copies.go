package pipeline

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sinks"
)

// copies send parked events to the sink that `poison: copy` names, one after another. The store has each already: a
// copy that cannot be sent is told of and not waited for, and while the sink is down none is tried.
type copies struct {
	pipe  *pipe
	sink  sinks.Sink // nil: no copies
	queue chan poison.Entry
	once  sync.Once
	ended chan struct{}
	// stalled: the queue was full for long and nothing was sent since; nobody waits for it any more.
	stalled atomic.Bool
	// downs counts failures in a row, until is when the next try may be.
	downs int
	until time.Time
}

var errCopyDown = errors.New("pipeline: the sink for copies is down")

func newCopies(p *pipe) *copies {
	return &copies{pipe: p, queue: make(chan poison.Entry, 256), ended: make(chan struct{})}
}

// copyPatience is how long a full queue holds up who parks an event.
const copyPatience = time.Second

// copyPoison hands a parked event over for its copy. Where many are parked at once it waits, but not for a sink that
// hangs.
func (p *pipe) copyPoison(e poison.Entry) {
	c := p.copies
	if c.sink == nil {
		return
	}
	select {
	case c.queue <- e:
		return
	default:
	}
	if c.stalled.Load() {
		c.lost(&e, errCopyDown)
		return
	}
	t := p.clock.NewTimer(copyPatience)
	defer t.Stop()
	select {
	case c.queue <- e:
	case <-t.C:
		c.stalled.Store(true)
		c.lost(&e, errCopyDown)
	case <-p.hard.Done():
		c.lost(&e, errStopped)
	}
}

// end lets run finish what is queued; nothing may be handed over any more.
func (c *copies) end() { c.once.Do(func() { close(c.ended) }) }

func (c *copies) run() {
	for {
		select {
		case e := <-c.queue:
			c.send(&e)
			continue
		default:
		}
		select {
		case e := <-c.queue:
			c.send(&e)
		case <-c.ended:
			if len(c.queue) == 0 {
				return
			}
		}
	}
}

func (c *copies) send(e *poison.Entry) {
	p := c.pipe
	if now := p.now(); now.Before(c.until) {
		c.lost(e, errCopyDown)
		return
	}
	out := event.Recorded{Stream: e.Stream, Position: e.Position}
	out.ID, out.Type, out.Source = e.EventID, e.Type, e.Source
	out.Raw, out.Envelope = e.Payload, e.Envelope
	out.Metadata = e.Metadata
	for k, v := range map[string]string{"poison_code": e.Code, "poison_reason": e.Reason, "poison_step": e.Step, "poison_pipeline": e.Pipeline} {
		out.SetMeta(k, v)
	}
	for attempt := 1; ; attempt++ {
		err := p.deliver(p.hard, c.sink, []event.Recorded{out}, p.cfg.Retry.Timeout)
		if err == nil {
			c.downs = 0
			c.stalled.Store(false)
			return
		}
		if attempt >= p.cfg.Retry.Attempts || event.IsPoison(err) || !p.sleep(p.backoff(&p.cfg.Retry, attempt+1), p.soft) {
			if !event.IsPoison(err) {
				c.downs++
				c.until = p.now().Add(p.backoff(&p.outageRetry, min(c.downs+1, 16)))
			}
			c.lost(e, err)
			return
		}
	}
}

func (c *copies) lost(e *poison.Entry, err error) {
	c.pipe.limited("copy").Error("the copy of a poisoned event was not sent; it is parked all the same", "key", e.Key, "error", err)
}
