// Package queue is where the callers of a store wait for its committer.
//
// While one transaction is under way the others queue, and the next takes as many of them as it may. There is no timer: who
// comes alone waits for nobody.
package queue

import (
	"context"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// Ticket is a call's place in a queue; it is embedded in what the committer needs to know of the call.
type Ticket struct {
	// Err is what the caller is told, once the call is answered.
	Err   error
	state atomic.Int32 // waiting, taken or withdrawn
	done  chan struct{}
}

const (
	waiting int32 = iota
	taken
	withdrawn
)

func (t *Ticket) ticket() *Ticket { return t }

// Take reports whether the committer may serve the call: it has not been withdrawn, and cannot be any more.
func (t *Ticket) Take() bool {
	return t.state.CompareAndSwap(waiting, taken) || t.state.Load() == taken
}

// Answer gives the caller Err. It is called once, after Take.
func (t *Ticket) Answer() { close(t.done) }

// Waiting is what a queue holds: a pointer to a struct with a Ticket in it.
type Waiting interface {
	comparable
	ticket() *Ticket
}

// Queue is a queue of calls with one committer.
type Queue[C Waiting] struct {
	calls   chan C
	closing chan struct{}
	stopped chan struct{} // closed when the committer has ended
}

// New makes a queue. Its committer is started by Run.
func New[C Waiting]() *Queue[C] {
	return &Queue[C]{calls: make(chan C, 256), closing: make(chan struct{}), stopped: make(chan struct{})}
}

// Submit waits until a call is answered, and gives its Err. Once the committer has taken it, it is waited for whatever
// happens to ctx: the call's memory is the committer's until then.
func (q *Queue[C]) Submit(ctx context.Context, c C) error {
	t := c.ticket()
	t.done = make(chan struct{})
	if q.Closed() {
		return eventstore.ErrClosed
	}
	select {
	case q.calls <- c:
	case <-q.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-t.done:
		return t.Err
	case <-ctx.Done():
		if t.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	case <-q.stopped:
		if t.state.CompareAndSwap(waiting, withdrawn) {
			return eventstore.ErrClosed
		}
	}
	<-t.done
	return t.Err
}

// Len is how many calls wait.
func (q *Queue[C]) Len() int { return len(q.calls) }

// Run is the committer: it gives serve a batch of calls after the other until the queue is closed, then answers what still
// waits with ErrClosed and runs finish. Room is asked behind each call of a batch whether another goes into the same
// transaction. What serve gives back, as it was too much for one transaction, comes first in the next batch.
func (q *Queue[C]) Run(room func() func(C) bool, serve func(batch []C) (left C), finish func()) {
	defer close(q.stopped)
	defer finish()
	var none, first C
	for {
		if first == none {
			select {
			case first = <-q.calls:
			case <-q.closing:
				q.refuse()
				return
			}
		}
		if batch := q.collect(first, room()); len(batch) > 0 {
			first = serve(batch)
		} else {
			first = none
		}
	}
}

// collect takes what waits behind the first call.
func (q *Queue[C]) collect(first C, room func(C) bool) (batch []C) {
	var none C
	for c := first; c != none; {
		more := true
		if c.ticket().Take() {
			batch = append(batch, c)
			more = room(c)
		}
		if c = none; more {
			select {
			case c = <-q.calls:
			default:
			}
		}
	}
	return batch
}

// refuse answers what is in the queue.
func (q *Queue[C]) refuse() {
	for {
		select {
		case c := <-q.calls:
			if t := c.ticket(); t.Take() {
				t.Err = eventstore.ErrClosed
				t.Answer()
			}
		default:
			return
		}
	}
}

// Close waits for the transaction under way and for finish; what waits gets ErrClosed. It is called once.
func (q *Queue[C]) Close() {
	close(q.closing)
	<-q.stopped
}

// Idle is Run for a store that is opened for reading: it serves nobody.
func (q *Queue[C]) Idle() { close(q.stopped) }

// Closing is closed when Close has been called.
func (q *Queue[C]) Closing() <-chan struct{} { return q.closing }

// Closed reports whether Close has been called.
func (q *Queue[C]) Closed() bool {
	select {
	case <-q.closing:
		return true
	default:
		return false
	}
}
