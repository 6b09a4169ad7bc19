package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// tenure is a time for which this process has a seat.
type tenure struct {
	// stop ends when nothing more is to be begun: the pipeline's relays stop, or the seat goes to another. Hard ends
	// when nothing may go on: the lease is lost.
	stop, hard context.Context
	endStop    context.CancelFunc
	endHard    context.CancelCauseFunc

	mu       sync.Mutex
	lease    eventstore.Lease
	renewed  time.Time
	deadline *clock.Timer // nil where nobody else can have the lease
	// opened: what the seat is for was opened along with the pipeline.
	opened bool
}

// epoch is that of the lease.
func (t *tenure) epoch() int64 { return t.now().Epoch }

func (t *tenure) now() eventstore.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease
}

// lose ends the tenure at once.
func (t *tenure) lose(why error) {
	t.endHard(why)
	t.endStop()
}

// lost gives why the tenure was ended at once; nil where it was not.
func (t *tenure) lost() error {
	if err := context.Cause(t.hard); errors.Is(err, eventstore.ErrFenced) {
		return err
	}
	return nil
}

// under gives a context that ends with ctx, and when a tenure is to begin nothing more.
func under(ctx context.Context, t *tenure) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.stop, func() { cancel(errStopped) })
	return ctx, func() { stop(); cancel(nil) }
}

// overtaken reports whether a work ended since its tenure did, and not by itself or by who cancelled it: it is to go on
// elsewhere. An owner who stood still finds that out by his first write.
func overtaken(ctx context.Context, t *tenure, err error) bool {
	switch {
	case err == nil, errors.Is(context.Cause(ctx), errCancelled):
		return false
	case errors.Is(err, eventstore.ErrFenced), errors.Is(err, table.ErrFenced):
		return true
	}
	return t.stop.Err() != nil
}
