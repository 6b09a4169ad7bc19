package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// register tells the store of the relays, and takes the leases that are this process's. What is wrong with a relay's
// definition is said before anything is registered.
func (p *pipe) register(ctx context.Context) error {
	s := p.seats
	for _, r := range p.relays {
		from, err := p.startOf(ctx, r.plan)
		if err != nil {
			return err
		}
		spec := eventstore.RelaySpec{ID: r.plan.id, Pipeline: p.cfg.Name, Kind: r.plan.kind, Target: r.plan.target, Definition: r.plan.definition, From: from, Was: r.plan.was}
		if t, ok := r.target.(*tableTarget); ok {
			spec.Definition = fmt.Sprintf("%s v%d", spec.Definition, t.def.Version)
		}
		s.specs = append(s.specs, spec)
		r.seat = s.add(r.plan.id, func() context.Context { return p.relaysStop })
	}
	if err := p.check(ctx); err != nil {
		if !s.outdated(ctx) {
			return err
		}
		p.log.Warn("a replica has a newer definition of the pipeline: this one leaves the relays to it", "reason", err)
	}
	if err := s.join(ctx); err != nil {
		return fmt.Errorf("register relays: %w", err)
	}
	if p.intake != nil {
		if _, err := s.first(ctx, p.intake); err != nil {
			return fmt.Errorf("intake: %w", err)
		}
	}
	for _, r := range p.relays {
		r.head.Store(p.head.Position)
		t, err := s.first(ctx, r.seat)
		if err != nil {
			return fmt.Errorf("relay %s: %w", r.plan.name, err)
		}
		if t == nil {
			continue
		}
		r.term.Store(t)
		if err := r.open(ctx); err != nil {
			return fmt.Errorf("relay %s: %w", r.plan.name, err)
		}
		t.opened = true
	}
	return nil
}

// check looks for definitions that the store's relays and tables stand against.
func (p *pipe) check(ctx context.Context) error {
	if err := p.checkTables(ctx, p.seats.specs); err != nil {
		return err
	}
	if err := p.checkShards(ctx, p.seats.specs); err != nil {
		return err
	}
	for _, r := range p.relays {
		if t, ok := r.target.(*tableTarget); ok {
			if err := t.ensure(ctx, r); err != nil {
				return fmt.Errorf("relay %s: %w", r.plan.name, err)
			}
		}
	}
	return nil
}

// open reads where the relay stands, and takes its target under the tenure's epoch.
func (r *relay) open(ctx context.Context) error {
	all, err := r.pipe.store.ListRelays(ctx, r.pipe.cfg.Name)
	if err != nil {
		return fmt.Errorf("list relays: %w", err)
	}
	i := slices.IndexFunc(all, func(k eventstore.Relay) bool { return k.ID == r.plan.id })
	if i < 0 {
		return fmt.Errorf("%w: the store has no relay %q", eventstore.ErrFenced, r.plan.id)
	}
	head, err := r.pipe.reader.Head(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	r.paused.Store(all[i].Paused)
	r.metrics.Paused(all[i].Paused)
	r.head.Store(head.Position)
	at := all[i].Position
	if t, ok := r.target.(*tableTarget); ok {
		// The store's own checkpoint of a table's relay stays where the relay was to start.
		if at, err = t.open(ctx, r, at); err != nil {
			return err
		}
	} else {
		r.position.Store(at)
	}
	r.seen.Store(at)
	r.saved = r.pipe.now()
	r.metrics.Position(at, head.Position)
	r.holding.forget()
	return r.remember(ctx)
}

// resume is open for a tenure that begins while the pipeline runs: it goes on until that succeeds. False means that the
// tenure is over.
func (r *relay) resume(t *tenure) bool {
	p := r.pipe
	for attempt := 1; ; attempt++ {
		err := r.open(t.hard)
		switch {
		case err == nil:
			p.trouble.clear("relay " + r.plan.name)
			return true
		case errors.Is(err, eventstore.ErrFenced), errors.Is(err, table.ErrFenced):
			t.lose(fmt.Errorf("%w: %w", eventstore.ErrFenced, err))
			return false
		case t.stop.Err() != nil || t.hard.Err() != nil:
			return false
		}
		p.trouble.set("relay "+r.plan.name, err)
		p.limited("resume "+r.plan.name).Error("the relay cannot go on; trying again", "relay", r.plan.name, "error", err, "attempt", attempt)
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt+1, 16)), t.stop, t.hard) {
			return false
		}
	}
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
		e.ID, e.Relay, e.Step = 0, r.plan.id, r.plan.step()
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
	var before []int64
	for e, err := range r.pipe.store.ListParked(ctx, poison.Filter{Relay: r.plan.id}) {
		if err != nil {
			return fmt.Errorf("pipeline: list parked events: %w", err)
		}
		if t, ok := r.target.(*tableTarget); ok {
			t.apart.note(e.Position, r.position.Load())
			if t.comesAgain(&e, r.position.Load()) {
				before = append(before, e.ID)
				continue
			}
		}
		r.holdAt(e.Stream, e.Position)
		if e.State == poison.Waiting && r.setsAside() && !r.holding.waiting(e.Stream) {
			r.holding.put(e.Stream, turn{position: e.Position, tries: e.Attempts})
		}
		if e.State != poison.Parked {
			r.poke()
		}
	}
	if len(before) == 0 {
		return nil
	}
	r.pipe.log.Info("the table is built anew: events that were parked under its earlier version are tried again in their turn", "relay", r.plan.name, "events", len(before))
	if err := r.target.commit(ctx, r, -1, nil, before); err != nil && !errors.Is(err, eventstore.ErrGone) {
		return err
	}
	return nil
}

// startOf gives the position behind which a new relay starts.
func (p *pipe) startOf(ctx context.Context, r *relayPlan) (int64, error) {
	from := r.frame.From
	if from == "" && p.plan.follows {
		from = cmp.Or(p.plan.reads.From, "start")
	}
	switch from {
	case "":
		if r.kind == kindForward {
			return eventstore.FromHead, nil
		}
		return 0, nil
	case "now":
		if !p.plan.follows {
			return eventstore.FromHead, nil
		}
		return p.head.Position, nil // its head may be that of another store
	}
	place, err := eventstore.ParsePlace(from)
	if err != nil {
		return 0, fmt.Errorf("relay %s: from: %w", r.name, err)
	}
	return place.After(ctx, p.reader)
}
