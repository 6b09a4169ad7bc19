package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sinks"
)

// forwardTarget writes to a sink; its checkpoint is in the store.
type forwardTarget struct {
	sink   sinks.Sink
	shared bool // another shard's target closes it
}

func (t *forwardTarget) eager(*relay, int64) bool { return false }

func (t *forwardTarget) close() error {
	if t.shared {
		return nil
	}
	return t.sink.Close()
}

func (t *forwardTarget) write(ctx context.Context, r *relay, g *gathered) (int64, error) {
	return t.writeBy(ctx, r, g, t.commit, func([]parkedEvent, int64) {})
}

// moving is the commit of a target.
type moving func(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error

// writeBy is write with another checkpoint. Delivered is told what was parked, and how far the relay comes, before that moves.
func (t *forwardTarget) writeBy(ctx context.Context, r *relay, g *gathered, commit moving, delivered func(parked []parkedEvent, to int64)) (int64, error) {
	parked, stopAt, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return 0, err
	}
	to := g.to
	if stopAt > 0 {
		to = stopAt
	}
	delivered(parked, to)
	park := upTo(to, entries(g.park, parked))
	if err := commit(ctx, r, to, park, nil); err != nil {
		return 0, err
	}
	r.tell(park)
	return to, nil
}

func (t *forwardTarget) commit(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error {
	from := r.position.Load()
	if to < 0 {
		to = from
	}
	err := r.persist(ctx, func() error {
		err := r.pipe.store.AdvanceRelay(ctx, eventstore.Advance{Relay: r.plan.id, Epoch: r.epoch(), From: from, To: to, Park: park, Unpark: unpark})
		if errors.Is(err, eventstore.ErrFenced) && to > from && r.stands(ctx, to) {
			return nil // an earlier try, whose answer was lost, had gone through
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.position.Store(to)
	r.saved = r.pipe.now()
	return nil
}

// stands reports whether the stored checkpoint is ours and at a position.
func (r *relay) stands(ctx context.Context, at int64) bool {
	all, err := r.pipe.store.ListRelays(ctx, r.pipe.cfg.Name)
	if err != nil {
		return false
	}
	for i := range all {
		if all[i].ID == r.plan.id {
			return all[i].Position == at && all[i].Epoch == r.epoch()
		}
	}
	return false
}

func (t *forwardTarget) resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) (bool, error) {
	return t.resendBy(ctx, r, g, e, t.commit)
}

// resendBy is resend with another checkpoint.
func (t *forwardTarget) resendBy(ctx context.Context, r *relay, g *gathered, e *poison.Entry, commit moving) (bool, error) {
	parked, _, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return false, err
	}
	if len(parked) > 0 {
		again(&parked[0].Entry, e)
		r.tell(entries(parked[:1]))
		return false, commit(ctx, r, -1, entries(parked[:1]), nil)
	}
	return true, commit(ctx, r, -1, nil, []int64{e.ID})
}

// down notes an outage of the other side, up its end.
func (r *relay) down(err error) {
	r.metrics.Outage(true)
	r.pipe.trouble.set("relay "+r.plan.name, err)
	r.pipe.limited("outage "+r.plan.id).Error("the target is down; waiting", "relay", r.plan.name, "error", err)
}

func (r *relay) up() {
	r.metrics.Outage(false)
	r.pipe.trouble.clear("relay " + r.plan.name)
	r.pipe.log.Info("the target is back", "relay", r.plan.name)
}
