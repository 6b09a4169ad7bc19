package pipeline

import (
	"context"
	"fmt"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/poison"
)

// replayTarget is the forward's sink with the replay's checkpoint.
type replayTarget struct {
	*forwardTarget
	replay *replaying
}

var _ target = (*replayTarget)(nil)

func (t *replayTarget) close() error { return nil } // the sink is the live relay's

func (t *replayTarget) write(ctx context.Context, r *relay, g *gathered) (int64, error) {
	return t.writeBy(ctx, r, g, t.commit, func(parked []parkedEvent, to int64) {
		t.replay.state.Events += int64(max(0, applied(g, parked, to)))
	})
}

func (t *replayTarget) commit(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error {
	if to >= 0 {
		t.replay.state.At = to
	}
	err := r.persist(ctx, func() error { return t.replay.keep(ctx, park, unpark) })
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.position.Store(t.replay.state.At)
	r.saved = r.pipe.now()
	t.replay.at(func(s *control.Work) {
		s.Done, s.Events = t.replay.state.At-t.replay.state.After, t.replay.state.Events
		for i := range park {
			if park[i].State == poison.Parked {
				s.Parked++
			}
		}
	})
	return nil
}

func (t *replayTarget) resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) (bool, error) {
	return t.resendBy(ctx, r, g, e, func(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error {
		t.replay.state.Events += int64(len(unpark)) // what was sent is not parked any more
		return t.commit(ctx, r, to, park, unpark)
	})
}
