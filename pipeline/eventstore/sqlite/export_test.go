package sqlite

import (
	"context"
	"fmt"
	"runtime"
)

// ShortTail makes the part of the index that is in memory so short that it is written all the time, until the test ends.
func ShortTail(cleanup func(func())) {
	tail, slice, heads, filters := tailEvents, sliceStreams, cachedHeads, filterBytes
	tailEvents, sliceStreams, cachedHeads, filterBytes = 3, 1, 2, 200
	cleanup(func() { tailEvents, sliceStreams, cachedHeads, filterBytes = tail, slice, heads, filters })
}

// ShortWAL lets the checkpointer work all the time, until the test ends.
func ShortWAL(cleanup func(func())) {
	bytes, pages := checkpointBytes, longWAL
	checkpointBytes, longWAL = 64<<10, 128
	cleanup(func() { checkpointBytes, longWAL = bytes, pages })
}

// WaitQueued returns when n requests wait for the committer.
func WaitQueued(s *Store, n int) {
	for s.queue.Len() < n {
		runtime.Gosched()
	}
}

// LimitPages lets the database file grow no further than to n pages: its disk is full.
func LimitPages(s *Store, n int) {
	err := s.do(context.Background(), func(c *conn) error {
		_, err := c.sql.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
	if err != nil {
		panic(err)
	}
}

// Dir is where the store is.
func Dir(s *Store) string { return s.cfg.Dir }
