package dynamodb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

const (
	relayDocs      = "relay"
	leaseDocs      = "lease"
	replicaDocs    = "replica"
	definitionDocs = "definitions"
)

func byID(all map[string]eventstore.Relay, pipeline string) []eventstore.Relay {
	var out []eventstore.Relay
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if r := all[id]; pipeline == "" || r.Pipeline == pipeline {
			out = append(out, r)
		}
	}
	return out
}

// SetRelays implements eventstore.Relays.
func (s *Store) SetRelays(ctx context.Context, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	err = s.update(ctx, func(c *change) error {
		out, err = s.setRelays(ctx, c, pipeline, specs)
		return err
	})
	return out, err
}

func (s *Store) setRelays(ctx context.Context, c *change, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	known, err := list[eventstore.Relay](ctx, c, relayDocs)
	if err != nil {
		return nil, err
	}
	leases, err := list[eventstore.Lease](ctx, c, leaseDocs)
	if err != nil {
		return nil, err
	}
	end, err := s.advanceEnd(ctx, s.seen())
	if err != nil {
		return nil, err
	}
	changes, err := plan.SetRelays(byID(known, ""), pipeline, specs, end.position, s.now().UTC(), func(name string) int64 { return leases[name].Epoch })
	if err != nil {
		return nil, err
	}
	for i, x := range changes {
		if x.Was != "" && x.Was != x.Relay.ID {
			c.drop(docKey{relayDocs, x.Was})
		}
		c.store(docKey{relayDocs, x.Relay.ID}, x.Relay)
		if i < len(specs) {
			out = append(out, x.Relay)
		}
	}
	return out, nil
}

// ListRelays implements eventstore.Relays.
func (s *Store) ListRelays(ctx context.Context, pipeline string) (out []eventstore.Relay, err error) {
	err = s.view(ctx, func(c *change) error {
		all, err := list[eventstore.Relay](ctx, c, relayDocs)
		out = byID(all, pipeline)
		return err
	})
	return out, err
}

// AdvanceRelay implements eventstore.Relays.
func (s *Store) AdvanceRelay(ctx context.Context, a eventstore.Advance) error {
	return s.update(ctx, func(c *change) error {
		k := docKey{relayDocs, a.Relay}
		var r eventstore.Relay
		known, err := load(ctx, c, k, &r)
		if err != nil {
			return err
		}
		head := s.seen().position
		if a.To > head { // another process wrote it
			e, err := s.advanceEnd(ctx, s.seen())
			if err != nil {
				return err
			}
			head = e.position
		}
		if err := plan.CheckAdvance(r, known, a, head); err != nil {
			return err
		}
		if gone, err := s.unpark(ctx, c, a.Unpark); err != nil || gone {
			if err == nil {
				err = eventstore.ErrGone
			}
			return err
		}
		if err := s.park(ctx, c, a.Park); err != nil {
			return err
		}
		r.Position, r.Updated = a.To, s.now().UTC()
		c.store(k, r)
		return nil
	})
}

// PauseRelay implements eventstore.Relays.
func (s *Store) PauseRelay(ctx context.Context, id string, paused bool) error {
	return s.update(ctx, func(c *change) error {
		k := docKey{relayDocs, id}
		var r eventstore.Relay
		known, err := load(ctx, c, k, &r)
		if err == nil && !known {
			err = fmt.Errorf("eventstore: no relay is called %q", id)
		}
		if err != nil {
			return err
		}
		r.Paused = paused
		c.store(k, r)
		return nil
	})
}

// Acquire implements eventstore.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l eventstore.Lease, err error) {
	err = s.update(ctx, func(c *change) error {
		var present eventstore.Lease
		var r eventstore.Relay
		if _, err := load(ctx, c, docKey{leaseDocs, name}, &present); err != nil {
			return err
		}
		isRelay, err := load(ctx, c, docKey{relayDocs, name}, &r)
		if err != nil {
			return err
		}
		if l, err = plan.Acquire(present, r.Epoch, name, owner, s.now().UTC(), ttl); err != nil {
			return err
		}
		c.store(docKey{leaseDocs, name}, l)
		if isRelay && r.Epoch != l.Epoch {
			r.Epoch = l.Epoch
			c.store(docKey{relayDocs, name}, r)
		}
		return nil
	})
	return l, err
}

// Renew implements eventstore.Leases.
func (s *Store) Renew(ctx context.Context, l eventstore.Lease, ttl time.Duration) (out eventstore.Lease, err error) {
	err = s.update(ctx, func(c *change) error {
		var present eventstore.Lease
		if _, err := load(ctx, c, docKey{leaseDocs, l.Name}, &present); err != nil {
			return err
		}
		if out, err = plan.Renew(present, l, s.now().UTC(), ttl); err != nil {
			return err
		}
		c.store(docKey{leaseDocs, l.Name}, out)
		return nil
	})
	return out, err
}

// Release implements eventstore.Leases.
func (s *Store) Release(ctx context.Context, l eventstore.Lease) error {
	return s.update(ctx, func(c *change) error {
		var present eventstore.Lease
		if _, err := load(ctx, c, docKey{leaseDocs, l.Name}, &present); err != nil {
			return err
		}
		if present.Owner == l.Owner && present.Epoch == l.Epoch {
			present.Owner, present.Until = "", time.Time{}
			c.store(docKey{leaseDocs, l.Name}, present)
		}
		return nil
	})
}

func replicaKey(pipeline, owner string) docKey {
	return docKey{replicaDocs, fmt.Sprintf("%d#%s#%s", len(pipeline), pipeline, owner)}
}

// Join implements eventstore.Replicas.
func (s *Store) Join(ctx context.Context, r eventstore.Replica, ttl time.Duration, specs []eventstore.RelaySpec) (eventstore.Replica, error) {
	err := s.update(ctx, func(c *change) error {
		known := map[string]int64{}
		at := docKey{definitionDocs, r.Pipeline}
		if _, err := load(ctx, c, at, &known); err != nil {
			return err
		}
		present, err := s.present(ctx, c, r.Pipeline, known)
		if err != nil {
			return err
		}
		var register bool
		r.Generation, register = plan.Join(known, present, r)
		if register {
			if _, err := s.setRelays(ctx, c, r.Pipeline, specs); err != nil {
				return err
			}
		}
		if known[r.Definition] != r.Generation {
			known[r.Definition] = r.Generation
			c.store(at, known)
		}
		r.Until = s.now().UTC().Add(ttl)
		c.store(replicaKey(r.Pipeline, r.Owner), r)
		return nil
	})
	if err != nil {
		return eventstore.Replica{}, err
	}
	return r, nil
}

// Leave implements eventstore.Replicas.
func (s *Store) Leave(ctx context.Context, pipeline, owner string) error {
	return s.update(ctx, func(c *change) error {
		var r eventstore.Replica
		there, err := load(ctx, c, replicaKey(pipeline, owner), &r)
		if err == nil && there {
			c.drop(replicaKey(pipeline, owner))
		}
		return err
	})
}

// Roster implements eventstore.Replicas. The documents are read one after another: what it gives was all true within
// the call, and each lease is checked again when something is done under it.
func (s *Store) Roster(ctx context.Context, pipeline string, leases []string) (out eventstore.Roster, err error) {
	err = s.view(ctx, func(c *change) error {
		now := s.now().UTC()
		out = eventstore.Roster{}
		known := map[string]int64{}
		if some, err := load(ctx, c, docKey{definitionDocs, pipeline}, &known); err != nil {
			return err
		} else if some {
			out.Generations = known
		}
		if out.Replicas, err = s.present(ctx, c, pipeline, known); err != nil {
			return err
		}
		for _, name := range slices.Sorted(slices.Values(leases)) {
			var l eventstore.Lease
			if _, err := load(ctx, c, docKey{leaseDocs, name}, &l); err != nil {
				return err
			}
			if l.Owner != "" && now.Before(l.Until) {
				out.Leases = append(out.Leases, l)
			}
		}
		all, err := list[eventstore.Relay](ctx, c, relayDocs)
		out.Relays = byID(all, pipeline)
		return err
	})
	return out, err
}

// present gives the replicas of a pipeline that are there, each with its definition's present generation.
func (s *Store) present(ctx context.Context, c *change, pipeline string, known map[string]int64) ([]eventstore.Replica, error) {
	all, err := list[eventstore.Replica](ctx, c, replicaDocs)
	if err != nil {
		return nil, err
	}
	var out []eventstore.Replica
	now := s.now().UTC()
	for _, r := range all {
		if r.Pipeline == pipeline && now.Before(r.Until) {
			r.Generation = known[r.Definition]
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b eventstore.Replica) int { return strings.Compare(a.Owner, b.Owner) })
	return out, nil
}
