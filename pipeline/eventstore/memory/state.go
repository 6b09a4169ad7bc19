package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// SetRelays implements eventstore.Relays.
func (s *Store) SetRelays(ctx context.Context, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	err = s.write(ctx, func() (err error) {
		out, err = s.setRelays(pipeline, specs)
		return err
	})
	return out, err
}

func (s *Store) setRelays(pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	epoch := func(name string) int64 { return s.leases[name].Epoch }
	changes, err := plan.SetRelays(s.list(""), pipeline, specs, int64(len(s.log)), s.now().UTC(), epoch)
	if err != nil {
		return nil, err
	}
	for i, c := range changes {
		delete(s.relays, c.Was)
		s.relays[c.Relay.ID] = c.Relay
		if i < len(specs) {
			out = append(out, c.Relay)
		}
	}
	return out, nil
}

// ListRelays implements eventstore.Relays.
func (s *Store) ListRelays(ctx context.Context, pipeline string) (out []eventstore.Relay, err error) {
	err = s.read(ctx, func() { out = s.list(pipeline) })
	return out, err
}

func (s *Store) list(pipeline string) []eventstore.Relay {
	var out []eventstore.Relay
	for _, r := range s.relays {
		if pipeline == "" || r.Pipeline == pipeline {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b eventstore.Relay) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// PauseRelay implements eventstore.Relays.
func (s *Store) PauseRelay(ctx context.Context, id string, paused bool) error {
	return s.write(ctx, func() error {
		r, ok := s.relays[id]
		if !ok {
			return fmt.Errorf("eventstore: no relay is called %q", id)
		}
		r.Paused = paused
		s.relays[id] = r
		return nil
	})
}

// Acquire implements eventstore.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l eventstore.Lease, err error) {
	err = s.write(ctx, func() (err error) {
		r, isRelay := s.relays[name]
		if l, err = plan.Acquire(s.leases[name], r.Epoch, name, owner, s.now().UTC(), ttl); err != nil {
			return err
		}
		s.leases[name] = l
		if isRelay {
			r.Epoch = l.Epoch
			s.relays[name] = r
		}
		return nil
	})
	return l, err
}

// Renew implements eventstore.Leases.
func (s *Store) Renew(ctx context.Context, l eventstore.Lease, ttl time.Duration) (out eventstore.Lease, err error) {
	err = s.write(ctx, func() (err error) {
		if out, err = plan.Renew(s.leases[l.Name], l, s.now().UTC(), ttl); err == nil {
			s.leases[l.Name] = out
		}
		return err
	})
	return out, err
}

// Release implements eventstore.Leases.
func (s *Store) Release(ctx context.Context, l eventstore.Lease) error {
	return s.write(ctx, func() error {
		if p := s.leases[l.Name]; p.Owner == l.Owner && p.Epoch == l.Epoch {
			p.Owner, p.Until = "", time.Time{}
			s.leases[l.Name] = p
		}
		return nil
	})
}
