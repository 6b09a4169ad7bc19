package pipeline

import (
	"context"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// streamLocks let one unit at a time run again for each stream.
type streamLocks struct {
	mu   sync.Mutex
	held map[event.Stream]*streamLock
}

type streamLock struct {
	turn chan struct{} // holds a token while the stream is free
	want int
}

// lock waits until the stream is free; false means that ctx has ended before.
func (l *streamLocks) lock(ctx context.Context, s event.Stream) bool {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[event.Stream]*streamLock{}
	}
	k := l.held[s]
	if k == nil {
		k = &streamLock{turn: make(chan struct{}, 1)}
		k.turn <- struct{}{}
		l.held[s] = k
	}
	k.want++
	l.mu.Unlock()
	select {
	case <-k.turn:
		return true
	case <-ctx.Done():
		l.leave(s, k)
		return false
	}
}

func (l *streamLocks) unlock(s event.Stream) {
	l.mu.Lock()
	k := l.held[s]
	l.mu.Unlock()
	k.turn <- struct{}{}
	l.leave(s, k)
}

func (l *streamLocks) leave(s event.Stream, k *streamLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.want--; k.want == 0 {
		delete(l.held, s)
	}
}
