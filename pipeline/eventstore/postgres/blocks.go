package postgres

import (
	"context"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

const (
	blockEvents = 512
	// blocksBytes bounds what is kept of blocks that were read.
	blocksBytes = 32 << 20
)

// blocks shares what followers read of the log while they catch up: pieces of blockEvents positions, read once for all
// who pass by at about the same time. What is committed never changes, so a block is good for ever.
type blocks struct {
	mu    sync.Mutex
	known map[int64]*block // by number
	bytes int
	used  int64
}

type block struct {
	done   chan struct{} // closed when it is read
	events []event.Recorded
	bytes  int
	err    error
	used   int64
}

// get gives a block that the log has in full, from memory or by read. Of those who want it at the same time, one reads.
func (b *blocks) get(ctx context.Context, number int64, read func() ([]event.Recorded, int, error)) ([]event.Recorded, error) {
	for {
		b.mu.Lock()
		if b.known == nil {
			b.known = map[int64]*block{}
		}
		b.used++
		bl := b.known[number]
		mine := bl == nil
		if mine {
			bl = &block{done: make(chan struct{})}
			b.known[number] = bl
		}
		bl.used = b.used
		b.mu.Unlock()
		if mine {
			bl.events, bl.bytes, bl.err = read()
			b.keep(number, bl)
			close(bl.done)
			return bl.events, bl.err
		}
		select {
		case <-bl.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if bl.err == nil {
			return bl.events, nil
		}
		// It was another's failure, perhaps no more than the end of its context.
	}
}

// keep makes room for a block that was read, or forgets one that was not.
func (b *blocks) keep(number int64, bl *block) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bl.err != nil {
		delete(b.known, number)
		return
	}
	for b.bytes += bl.bytes; b.bytes > blocksBytes; {
		oldest, at := int64(0), int64(-1)
		for n, other := range b.known {
			if other.bytes > 0 && other != bl && (at < 0 || other.used < oldest) {
				oldest, at = other.used, n
			}
		}
		if at < 0 {
			return
		}
		b.bytes -= b.known[at].bytes
		delete(b.known, at)
	}
}

// has reports whether a block is there or under way.
func (b *blocks) has(number int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.known[number]
	return ok
}
