package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// register tells the store of the relays and takes their leases.
func (p *pipe) register(ctx context.Context) error {
	specs := make([]eventstore.RelaySpec, len(p.relays))
	for i, r := range p.relays {
		from, err := p.startOf(ctx, r.plan)
		if err != nil {
			return err
		}
		specs[i] = eventstore.RelaySpec{ID: r.plan.id, Pipeline: p.cfg.Name, Kind: r.plan.kind, Target: r.plan.target, Definition: r.plan.definition, From: from}
		specs[i].Was = r.plan.was
	}
	if err := p.checkTables(ctx, specs); err != nil {
		return err
	}
	known, err := p.store.SetRelays(ctx, p.cfg.Name, specs)
	if err != nil {
		return fmt.Errorf("register relays: %w", err)
	}
	for i, r := range p.relays {
		if r.lease, err = p.store.Acquire(ctx, r.plan.id, p.env.instance, leaseTime); err != nil {
			return fmt.Errorf("relay %s: %w", r.plan.name, err)
		}
		r.paused.Store(known[i].Paused)
		r.head.Store(p.head.Position)
		at := known[i].Position
		if t, ok := r.target.(*tableTarget); ok {
			// The store's own checkpoint of a table's relay stays where the relay was to start.
			if at, err = t.open(ctx, r, known[i].Position); err != nil {
				return fmt.Errorf("relay %s: %w", r.plan.name, err)
			}
		} else {
			r.position.Store(at)
		}
		r.seen.Store(at)
		r.saved = p.now()
		r.metrics.Position(at, p.head.Position)
		if err := r.remember(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkTables refuses a projection that got another name without `was`: its table is the relay's of the old name.
func (p *pipe) checkTables(ctx context.Context, specs []eventstore.RelaySpec) error {
	known, err := p.store.ListRelays(ctx, p.cfg.Name)
	if err != nil {
		return fmt.Errorf("list relays: %w", err)
	}
	has := func(id string) bool {
		return slices.ContainsFunc(known, func(k eventstore.Relay) bool { return k.ID == id })
	}
	for i := range specs {
		s := &specs[i]
		if s.Kind != kindProject || has(s.ID) || (s.Was != "" && has(s.Was)) {
			continue
		}
		for _, k := range known {
			if k.Kind == s.Kind && k.Target == s.Target {
				return fmt.Errorf("table %s belongs to the relay %q, which the pipeline does not have any more; to go on with it write `was: %q` beside the step",
					s.Target, k.ID, strings.TrimPrefix(k.ID, p.cfg.Name+"/"))
			}
		}
	}
	return nil
}

// adopt takes over what the relay parked under its earlier name.
func (r *relay) adopt(ctx context.Context) error {
	if r.plan.was == "" {
		return nil
	}
	var moved []poison.Entry
	var ids []int64
	for e, err := range r.pipe.store.ListParked(ctx, poison.Filter{Pipeline: r.pipe.cfg.Name, Relay: r.plan.was}) {
		if err != nil {
			return fmt.Errorf("list parked events: %w", err)
		}
		ids = append(ids, e.ID)
		e.ID, e.Relay, e.Step = 0, r.plan.id, r.plan.name
		moved = append(moved, e)
	}
	if len(moved) == 0 {
		return nil
	}
	// A crash between the two writes leaves both: the next start does it again, under the same keys.
	if err := r.pipe.store.Park(ctx, moved...); err != nil {
		return fmt.Errorf("move parked events: %w", err)
	}
	_, err := r.pipe.store.DropParked(ctx, poison.Filter{IDs: ids})
	return err
}

// remember loads which streams wait behind parked events.
func (r *relay) remember(ctx context.Context) error {
	if err := r.adopt(ctx); err != nil {
		return err
	}
	for e, err := range r.pipe.store.ListParked(ctx, poison.Filter{Relay: r.plan.id}) {
		if err != nil {
			return fmt.Errorf("pipeline: list parked events: %w", err)
		}
		r.holdAt(e.Stream, e.Position)
		if e.State != poison.Parked {
			r.poke()
		}
	}
	return nil
}

// leaseTime is how long a relay's owner may be silent before another may take over.
const leaseTime = 15 * time.Second

// startOf gives the position behind which a new relay starts.
func (p *pipe) startOf(ctx context.Context, r *relayPlan) (int64, error) {
	switch from := r.frame.From; from {
	case "":
		if r.kind == kindForward {
			return eventstore.FromHead, nil
		}
		return 0, nil
	case "start":
		return 0, nil
	case "now":
		return eventstore.FromHead, nil
	default:
		if at, err := time.Parse(time.RFC3339, from); err == nil {
			for e, err := range p.store.ReadAll(ctx, eventstore.ReadOptions{SinceTime: at, Max: 1}) {
				if err != nil {
					return 0, err
				}
				return e.Position - 1, nil
			}
			return eventstore.FromHead, nil
		}
		n, err := strconv.ParseInt(from, 10, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("relay %s: from: %q is not start, now, a position or a time", r.name, from)
		}
		return n, nil
	}
}

// keepLeases renews the leases of the relays; a lost one stops the pipeline, for another has taken over.
func (p *pipe) keepLeases() {
	if !p.plan.log || len(p.relays) == 0 {
		return
	}
	tick := p.clock.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-p.relaysStop.Done():
			return
		case <-tick.C:
		}
		for _, r := range p.relays {
			l, err := p.store.Renew(p.relaysStop, r.lease, leaseTime)
			if errors.Is(err, eventstore.ErrFenced) {
				p.fail(fmt.Errorf("relay %s: %w", r.plan.name, err))
				return
			}
			if err == nil && l.Epoch != r.lease.Epoch {
				p.fail(fmt.Errorf("relay %s: %w", r.plan.name, eventstore.ErrFenced))
				return
			}
		}
	}
}
