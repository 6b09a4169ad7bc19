package postgres

import (
	"context"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// What one transaction takes at most. There is no timer: a caller who comes alone waits for nobody.
const (
	groupUnits = 4096
	groupBytes = 4 << 20
)

// request is a call that waits for the committer.
type request struct {
	ctx     context.Context
	units   []*eventstore.Unit
	ordered bool
	fence   *eventstore.Lease
	next    int // of units: those before it are answered
	take    int // how many from next on are in the transaction under way

	err   error
	state atomic.Int32 // waiting, taken or withdrawn
	done  chan struct{}
}

const (
	waiting int32 = iota
	taken
	withdrawn
)

// Commit implements eventstore.Log. Where the connection is lost at the commit, the store asks the server what became
// of it; only where that cannot be had is the error another one than ErrUnavailable.
func (s *Store) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	for _, u := range units {
		u.Result = eventstore.Result{}
	}
	if err := s.ready(ctx); err != nil || len(units) == 0 {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	r := &request{ctx: ctx, units: units, ordered: o.Ordered, fence: o.Fence, done: make(chan struct{})}
	select {
	case s.queue <- r:
	case <-s.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// Once the committer has taken it, it is waited for whatever happens to ctx: the units' memory is the committer's
	// until then.
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	case <-s.stopped:
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return eventstore.ErrClosed
		}
	}
	<-r.done
	return r.err
}

// run serves the queue until the store is closed.
func (w *writer) run() {
	defer close(w.s.stopped)
	defer w.disconnect()
	var left *request // what is too much for one transaction comes first in the next
	for {
		first := left
		if left = nil; first == nil {
			select {
			case first = <-w.s.queue:
			case <-w.s.closing:
				w.finish()
				return
			}
		}
		if batch := w.collect(first); len(batch) > 0 {
			left = w.serve(batch)
		}
	}
}

// collect takes what waits, up to what one transaction takes.
func (w *writer) collect(first *request) (batch []*request) {
	units, bytes := 0, 0
	for r := first; r != nil; {
		if r.state.CompareAndSwap(waiting, taken) || r.state.Load() == taken {
			r.take = 0
			for _, u := range r.units[r.next:] {
				if units > 0 && (units >= groupUnits || bytes >= groupBytes) {
					break
				}
				r.take++
				units++
				bytes += unitSize(u)
			}
			batch = append(batch, r)
		}
		if r = nil; units < groupUnits && bytes < groupBytes {
			select {
			case r = <-w.s.queue:
			default:
			}
		}
	}
	return batch
}

// unitSize is about what a unit writes.
func unitSize(u *eventstore.Unit) int {
	n := 64
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			e := &u.Appends[i].Events[j]
			n += max(len(e.Raw), len(e.Data)) + len(e.Metadata) + 192
		}
	}
	for i := range u.Park {
		n += len(u.Park[i].Payload) + 512
	}
	return n
}

// finish answers what is still in the queue.
func (w *writer) finish() {
	for {
		select {
		case r := <-w.s.queue:
			if r.state.CompareAndSwap(waiting, taken) {
				r.err = eventstore.ErrClosed
				close(r.done)
			}
		default:
			return
		}
	}
}

// answer gives all units that are still open an error.
func answer(batch []*request, err error) {
	for _, r := range batch {
		for _, u := range r.units[r.next:] {
			u.Result = eventstore.Result{}
		}
		r.err = err
		close(r.done)
	}
}
