package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// A transaction that was committed becomes visible item by item: for some milliseconds, and longer where a node of the
// service fails just then, a reader may find a stream's head that tells of an event and not the event. (The developer
// guide, "transaction isolation levels": BatchGetItem and Query are read-committed.) So what must be there, as another
// item says, is asked for again before it is called missing: a pipeline stops at a store that is damaged.

// settling waits for what must be there.
type settling struct {
	until time.Time
	wait  time.Duration
}

// settling begins to wait, as long as for a call that is not answered.
func (s *Store) settling() *settling { return settle(s.cfg.Patience) }

func settle(within time.Duration) *settling {
	return &settling{until: time.Now().Add(within), wait: firstWait / 8}
}

// again waits a little, and says whether to look again.
func (w *settling) again(ctx context.Context) bool {
	if !time.Now().Before(w.until) {
		return false
	}
	d := w.wait
	w.wait = min(2*w.wait, maxWait/8)
	return pause(ctx, d)
}

var errMissing = errors.New("the log has a hole")

// missing is the error for an event that is not where it must be.
func missing(ctx context.Context, position int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: event %d of the log is missing: %w", eventstore.ErrCorrupt, position, errMissing)
}
