package sqlite

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// Checkpoints copy the WAL into the database file. They run on a connection of their own, beside the commits; only
// where the WAL has grown long the committer pauses for the rest of one, so that the WAL starts again at its beginning
// and its file stays bounded.
var (
	checkpointBytes int64 = 8 << 20 // of events, between checkpoints
	longWAL         int64 = 4 << 10 // pages (32 MiB)
)

type checkpointer struct {
	s       *Store
	written atomic.Int64
	signal  chan struct{}
	quit    chan struct{}
	done    chan struct{}
}

func newCheckpointer(s *Store) *checkpointer {
	return &checkpointer{s: s, signal: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// committed notes about how much a commit has written.
func (k *checkpointer) committed(bytes int) {
	if k.written.Add(int64(bytes)) < checkpointBytes {
		return
	}
	k.written.Store(0)
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *checkpointer) run() {
	defer close(k.done)
	for {
		select {
		case <-k.quit:
			return
		case <-k.signal:
		}
		if err := k.checkpoint(); err != nil && !errors.Is(err, context.Canceled) {
			k.s.log.Warn("a checkpoint of the event store failed, the next one takes its place", "err", err)
		}
	}
}

func (k *checkpointer) checkpoint() error {
	var busy, pages, copied int64
	pass := func(mode string) error {
		return classify(k.s.checks.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &copied))
	}
	if err := pass("PASSIVE"); err != nil || pages < longWAL {
		return err
	}
	select {
	case k.s.w.gate <- struct{}{}:
	case <-k.quit:
		return nil
	}
	defer func() { <-k.s.w.gate }()
	// What is left is what came since; readers that are in the way are not waited for.
	if _, err := k.s.checks.ExecContext(context.Background(), "PRAGMA busy_timeout(50)"); err != nil {
		return err
	}
	return pass("RESTART")
}

// stop ends the checkpointer, with a last pass that leaves the WAL empty.
func (k *checkpointer) stop() error {
	close(k.quit)
	<-k.done
	var busy, pages, copied int64
	err := classify(k.s.checks.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied))
	if errors.Is(err, eventstore.ErrUnavailable) {
		k.s.log.Warn("the last checkpoint failed; the next start goes on from the WAL", "err", err)
		return nil
	}
	return err
}
