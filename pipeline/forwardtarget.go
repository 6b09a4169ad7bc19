package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
	parked, stopAt, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return 0, err
	}
	to := g.to
	if stopAt > 0 {
		to = stopAt
	}
	park := upTo(to, entries(g.park, parked))
	if err := t.commit(ctx, r, to, park, nil); err != nil {
		return 0, err
	}
	r.tell(park)
	return to, nil
}

// upTo leaves out entries of events behind a position: they come again.
func upTo(position int64, park []poison.Entry) []poison.Entry {
	return slices.DeleteFunc(park, func(e poison.Entry) bool { return e.Position > position })
}

// entries gives what was parked, in the order of the page.
func entries(lists ...[]parkedEvent) []poison.Entry {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b parkedEvent) int { return cmp.Compare(a.src, b.src) })
	out := make([]poison.Entry, len(all))
	for i := range all {
		out[i] = all[i].Entry
	}
	return out
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

// resend implements resender.
func (t *forwardTarget) resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) (bool, error) {
	parked, _, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return false, err
	}
	if len(parked) > 0 {
		again(&parked[0].Entry, e)
		r.tell(entries(parked[:1]))
		return false, t.commit(ctx, r, -1, entries(parked[:1]), nil)
	}
	return true, t.commit(ctx, r, -1, nil, []int64{e.ID})
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
