package pipeline

import (
	"context"
	"time"
)

// The inbox remembers a source event for inboxAge; what is older is taken away every inboxPrune. No source that leat
// reads delivers an event again after a longer time (SQS keeps messages for fourteen days at most).
const (
	inboxAge   = 14 * 24 * time.Hour
	inboxPrune = time.Hour
)

// pruneLoop takes old marks away, at the start and then every hour.
func (p *pipe) pruneLoop() {
	tick := p.clock.NewTicker(inboxPrune)
	defer tick.Stop()
	for {
		p.prune(p.soft)
		select {
		case <-p.soft.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *pipe) prune(ctx context.Context) {
	n, err := p.store.PruneMarks(ctx, p.cfg.Name, "", p.now().Add(-inboxAge))
	switch {
	case err != nil && ctx.Err() == nil:
		p.limited("inbox").Warn("old marks of the inbox were not taken away", "error", err)
	case n > 0:
		p.log.Info("old marks of the inbox were taken away", "marks", n, "older_than", inboxAge)
	}
}
