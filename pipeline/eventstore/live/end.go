// Package live is what a store keeps in memory for those who follow its log: where the log ends, with what wakes them, and
// its last commits, of which their pages are made.
package live

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// End is the end of a log as far as this process knows it.
type End struct {
	Position  int64
	Committed time.Time
	newer     chan struct{} // closed when there is a newer end, or the log is closed
}

// Ends keeps the newest end of a log. It is safe for concurrent use; the zero value knows none yet.
type Ends struct {
	mu     sync.Mutex // held to change what follows
	closed bool
	newest atomic.Pointer[End]
}

// Newest gives the newest end; nil before the first was published.
func (e *Ends) Newest() *End { return e.newest.Load() }

// Publish makes a newer end known; an older one is ignored, as the news of one commit may come by several ways.
func (e *Ends) Publish(position int64, committed time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.newest.Load()
	if e.closed || old != nil && position <= old.Position {
		return
	}
	e.newest.Store(&End{Position: position, Committed: committed, newer: make(chan struct{})})
	if old != nil {
		close(old.newer)
	}
}

// Close wakes all who wait; nothing is published any more.
func (e *Ends) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.newest.Load(); last != nil && !e.closed {
		close(last.newer)
	}
	e.closed = true
}

// Follower is how a store serves one who follows its log.
type Follower struct {
	// Ready is asked before each page whether the store can be read; it may publish an end.
	Ready func(context.Context) error
	// Next gives a page behind a position, of a log that ends at head. Its Through lies behind the position.
	Next func(ctx context.Context, after, head int64) (eventstore.Page, error)
	// Poll is how often Ready is asked while no newer end is known; 0: an end is published without being asked for.
	Poll time.Duration
}

// Follow gives the pages behind a position, and waits for what comes. It ends without an error when ctx does.
func (e *Ends) Follow(ctx context.Context, after int64, f Follower) iter.Seq2[eventstore.Page, error] {
	return func(yield func(eventstore.Page, error) bool) {
		for ctx.Err() == nil {
			err := f.Ready(ctx)
			if err == nil {
				end := e.newest.Load()
				if after >= end.Position {
					end.wait(ctx, f.Poll)
					continue
				}
				var p eventstore.Page
				if p, err = f.Next(ctx, after, end.Position); err == nil {
					after = p.Through
					if !yield(p, nil) {
						return
					}
					continue
				}
			}
			if ctx.Err() == nil {
				yield(eventstore.Page{}, err)
			}
			return
		}
	}
}

// wait returns when there may be a newer end, or none any more.
func (e *End) wait(ctx context.Context, poll time.Duration) {
	var again <-chan time.Time
	if poll > 0 {
		t := time.NewTimer(poll)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-ctx.Done():
	case <-e.newer:
	case <-again:
	}
}
