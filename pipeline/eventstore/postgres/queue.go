package postgres

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/queue"
)

// request is a call that waits for the committer.
type request struct {
	queue.Commit
	take int // how many of its units, from the next one on, are in the transaction under way
}

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
	return s.queue.Submit(ctx, &request{Commit: queue.Commit{Ctx: ctx, Units: units, Ordered: o.Ordered, Fence: o.Fence}})
}

// room counts what goes into one transaction.
func room() func(*request) bool {
	units, bytes := 0, 0
	return func(r *request) bool {
		r.take = 0
		for _, u := range r.Units[r.Next:] {
			if units > 0 && (units >= queue.MaxUnits || bytes >= queue.MaxBytes) {
				break
			}
			r.take++
			units++
			bytes += queue.UnitSize(u)
		}
		return units < queue.MaxUnits && bytes < queue.MaxBytes
	}
}

// answer gives all units that are still open an error.
func answer(batch []*request, err error) {
	for _, r := range batch {
		r.Fail(err)
	}
}
