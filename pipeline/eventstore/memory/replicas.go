package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// Join implements eventstore.Replicas.
func (s *Store) Join(ctx context.Context, r eventstore.Replica, ttl time.Duration, specs []eventstore.RelaySpec) (eventstore.Replica, error) {
	err := s.write(ctx, func() error {
		known := s.definitions[r.Pipeline]
		var register bool
		r.Generation, register = plan.Join(known, s.present(r.Pipeline), r)
		if register {
			if _, err := s.setRelays(r.Pipeline, specs); err != nil {
				return err
			}
		}
		if known == nil {
			known = map[string]int64{}
			s.definitions[r.Pipeline] = known
		}
		known[r.Definition] = r.Generation
		r.Until = s.now().UTC().Add(ttl)
		s.replicas[[2]string{r.Pipeline, r.Owner}] = r
		return nil
	})
	if err != nil {
		return eventstore.Replica{}, err
	}
	return r, nil
}

// Leave implements eventstore.Replicas.
func (s *Store) Leave(ctx context.Context, pipeline, owner string) error {
	return s.write(ctx, func() error {
		delete(s.replicas, [2]string{pipeline, owner})
		return nil
	})
}

// Roster implements eventstore.Replicas.
func (s *Store) Roster(ctx context.Context, pipeline string, leases []string) (out eventstore.Roster, err error) {
	err = s.read(ctx, func() {
		now := s.now().UTC()
		out.Replicas = s.present(pipeline)
		for _, name := range slices.Sorted(slices.Values(leases)) {
			if l := s.leases[name]; l.Owner != "" && now.Before(l.Until) {
				out.Leases = append(out.Leases, l)
			}
		}
		out.Relays = s.list(pipeline)
		out.Generations = maps.Clone(s.definitions[pipeline])
	})
	return out, err
}

// present gives the replicas of a pipeline that are there, each with its definition's present generation.
func (s *Store) present(pipeline string) []eventstore.Replica {
	var out []eventstore.Replica
	now := s.now().UTC()
	for id, r := range s.replicas {
		if id[0] == pipeline && now.Before(r.Until) {
			r.Generation = s.definitions[pipeline][r.Definition]
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b eventstore.Replica) int { return strings.Compare(a.Owner, b.Owner) })
	return out
}
