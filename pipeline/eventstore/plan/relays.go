package plan

import (
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// Change is what SetRelays makes of one relay.
type Change struct {
	Relay eventstore.Relay
	// Was is the id under which it stands so far, "" where it is new.
	Was string
}

// SetRelays works out what becomes of a pipeline's relays. Known are all relays that the store has; epoch gives the
// epoch of the lease with a name, 0 where there is none. The first len(specs) changes are those of the specs, in order.
func SetRelays(known []eventstore.Relay, pipeline string, specs []eventstore.RelaySpec, head int64, now time.Time, epoch func(name string) int64) ([]Change, error) {
	byID := make(map[string]eventstore.Relay, len(known))
	for _, r := range known {
		byID[r.ID] = r
	}
	used := map[string]bool{} // ids that a spec took, its own or by Was
	for _, s := range specs {
		if used[s.ID] {
			return nil, fmt.Errorf("eventstore: pipeline %q has two relays called %q", pipeline, s.ID)
		}
		used[s.ID] = true
	}
	changes := make([]Change, 0, len(specs))
	for _, s := range specs {
		s.Pipeline = pipeline
		was := s.ID
		r, ok := byID[s.ID]
		if !ok && s.Was != "" && !used[s.Was] {
			if r, ok = byID[s.Was]; ok {
				was = s.Was
				used[s.Was] = true
			}
		}
		switch {
		case !ok:
			was = ""
			from := s.From
			switch {
			case from == eventstore.FromHead:
				from = head
			case from < 0:
				return nil, fmt.Errorf("eventstore: relay %q cannot start at %d", s.ID, from)
			}
			r = eventstore.Relay{Position: from, Created: now, Epoch: epoch(s.ID)}
		case r.Pipeline != pipeline:
			return nil, fmt.Errorf("eventstore: relay %q belongs to pipeline %q", was, r.Pipeline)
		}
		r.RelaySpec, r.Removed, r.Updated = s, false, now
		changes = append(changes, Change{Relay: r, Was: was})
	}
	for _, r := range known {
		if r.Pipeline == pipeline && !used[r.ID] && !r.Removed {
			r.Removed, r.Updated = true, now
			changes = append(changes, Change{Relay: r, Was: r.ID})
		}
	}
	return changes, nil
}

// CheckAdvance compares an advance with the relay as it stands.
func CheckAdvance(r eventstore.Relay, known bool, a eventstore.Advance, head int64) error {
	switch {
	case !known:
		return fmt.Errorf("%w: no relay is called %q", eventstore.ErrFenced, a.Relay)
	case a.Epoch != r.Epoch:
		return fmt.Errorf("%w: relay %q is at epoch %d, not %d", eventstore.ErrFenced, a.Relay, r.Epoch, a.Epoch)
	case a.From != r.Position:
		return fmt.Errorf("%w: relay %q stands at %d, not %d", eventstore.ErrFenced, a.Relay, r.Position, a.From)
	case a.To < a.From || a.To > max(head, a.From):
		return fmt.Errorf("eventstore: relay %q cannot move from %d to %d, the log ends at %d", a.Relay, a.From, a.To, head)
	}
	return nil
}

// Acquire gives the lease that owner gets, or ErrHeld. L is the lease as it stands, its zero value where there is
// none, and relay the epoch of the relay with that name: an epoch never goes back, also where one of them was lost.
func Acquire(l eventstore.Lease, relay int64, name, owner string, now time.Time, ttl time.Duration) (eventstore.Lease, error) {
	if owner == "" || ttl <= 0 {
		return eventstore.Lease{}, fmt.Errorf("eventstore: a lease needs an owner and a time, not %q and %s", owner, ttl)
	}
	switch {
	case l.Owner == owner:
		l.Epoch = max(l.Epoch, relay)
	case l.Owner != "" && now.Before(l.Until):
		return eventstore.Lease{}, fmt.Errorf("%w: %q by %q until %s", eventstore.ErrHeld, name, l.Owner, l.Until.Format(time.RFC3339))
	default:
		l.Epoch = max(l.Epoch, relay) + 1
	}
	l.Name, l.Owner, l.Until = name, owner, now.Add(ttl)
	return l, nil
}

// Renew gives the lengthened lease, or ErrFenced. A lease that ran out is still its owner's while nobody took it.
func Renew(present, l eventstore.Lease, now time.Time, ttl time.Duration) (eventstore.Lease, error) {
	if present.Owner != l.Owner || present.Epoch != l.Epoch {
		return eventstore.Lease{}, fmt.Errorf("%w: the lease %q is at epoch %d, not %d", eventstore.ErrFenced, l.Name, present.Epoch, l.Epoch)
	}
	l.Until = now.Add(ttl)
	return l, nil
}

// CheckFence compares the lease of a call with the one that stands, its zero value where there is none.
func CheckFence(present eventstore.Lease, fence *eventstore.Lease) error {
	if present.Owner != fence.Owner || present.Epoch != fence.Epoch {
		return fmt.Errorf("%w: the lease %q is at epoch %d, not %d", eventstore.ErrFenced, fence.Name, present.Epoch, fence.Epoch)
	}
	return nil
}

// Join gives the generation of a definition that a daemon joins with, and whether its relays are to be registered. Known
// are the generations of the pipeline's definitions; present are the replicas that are there, which may hold the
// daemon's own earlier row.
func Join(known map[string]int64, present []eventstore.Replica, r eventstore.Replica) (generation int64, register bool) {
	var newest, others int64
	was := ""
	for _, g := range known {
		newest = max(newest, g)
	}
	for _, p := range present {
		if p.Owner == r.Owner {
			was = p.Definition
			continue
		}
		others = max(others, p.Generation)
	}
	g, seen := known[r.Definition]
	switch {
	case !seen, g < newest && others <= g:
		return newest + 1, true
	default:
		return g, g == newest && was != r.Definition
	}
}
