package pipeline

import (
	"errors"
	"sync"
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
	// downs counts failures in a row, until is when the next try may be.
	downs int
	until time.Time
}

var errCopyDown = errors.New("pipeline: the sink for copies is down")

func newCopies(p *pipe) *copies {
	return &copies{pipe: p, queue: make(chan poison.Entry, 256), ended: make(chan struct{})}
}

// copyPoison hands a parked event over for its copy. It waits where many are, for as long as the pipeline may.
func (p *pipe) copyPoison(e poison.Entry) {
	if p.copies.sink == nil {
		return
	}
	select {
	case p.copies.queue <- e:
	case <-p.hard.Done():
		p.copies.lost(&e, errStopped)
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
	if now := time.Now(); now.Before(c.until) {
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
		err := write(p.hard, c.sink, []event.Recorded{out}, p.cfg.Retry.Timeout)
		if err == nil {
			c.downs = 0
			return
		}
		if attempt >= p.cfg.Retry.Attempts || event.IsPoison(err) || !sleep(backoff(&p.cfg.Retry, attempt+1), p.soft) {
			if !event.IsPoison(err) {
				c.downs++
				c.until = time.Now().Add(backoff(&p.outageRetry, min(c.downs+1, 16)))
			}
			c.lost(e, err)
			return
		}
	}
}

func (c *copies) lost(e *poison.Entry, err error) {
	c.pipe.limited("copy").Error("the copy of a poisoned event was not sent; it is parked all the same", "key", e.Key, "error", err)
}
