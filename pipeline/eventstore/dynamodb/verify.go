package dynamodb

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// Verify implements eventstore.Store: the log is dense, each stream's revisions too, heads say what the log says, and so
// does a shared table, as far as it was taken in.
func (s *Store) Verify(ctx context.Context, report func(eventstore.Fault)) (v eventstore.Verified, err error) {
	if err := s.ready(ctx); err != nil {
		return v, err
	}
	end, err := s.advanceEnd(ctx, s.seen())
	if err != nil {
		return v, s.reading(ctx, err)
	}
	fault := func(name event.Stream, position int64, format string, args ...any) {
		v.Faults++
		report(eventstore.Fault{Stream: name, Position: position, What: fmt.Sprintf(format, args...)})
	}
	revisions := map[event.Stream]int64{}
	sums := sums{}
	last := int64(0)
	err = s.read(ctx, 1, end.position, up, func(r *event.Recorded) (bool, error) {
		v.Events++
		last = r.Position
		if want := revisions[r.Stream] + 1; r.Revision != want {
			fault(r.Stream, r.Position, "revision %d where %d belongs", r.Revision, want)
		}
		revisions[r.Stream] = r.Revision
		if s.shared.names(r.Stream) {
			sums.add(r)
		}
		return true, nil
	})
	if errors.Is(err, errMissing) {
		err = nil // which is a fault that is told below
	}
	if err != nil {
		return v, s.reading(ctx, err)
	}
	if last != end.position {
		fault(event.Stream{}, last+1, "the log ends at %d, and this position is missing", end.position)
	}
	if s.shared != nil {
		if err := s.shared.verify(ctx, revisions, sums, func(name event.Stream, format string, args ...any) { fault(name, 0, format, args...) }); err != nil {
			return v, s.reading(ctx, err)
		}
	}
	for info, err := range s.Streams(ctx, eventstore.StreamsOptions{}) {
		if err != nil {
			return v, s.reading(ctx, err)
		}
		v.Streams++
		if have := revisions[info.Stream]; have < info.Revision && last == end.position {
			// What came since is not a fault, nor what is just becoming visible.
			e, err := s.advanceEnd(ctx, end)
			for wait := s.settling(); err == nil && e.position == end.position && wait.again(ctx); {
				e, err = s.advanceEnd(ctx, end)
			}
			if err == nil && e.position == end.position {
				fault(info.Stream, 0, "its head says %d events, the log has %d", info.Revision, have)
			}
		}
	}
	return v, nil
}
