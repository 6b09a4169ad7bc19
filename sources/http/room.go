package http

import (
	"context"
	"sync"
	"time"
)

// room bounds how many requests are under way and how many bytes of bodies they hold. Who waits is served in order.
type room struct {
	mu       sync.Mutex
	requests int
	bytes    int64
	waiting  []*waiter
}

type waiter struct {
	bytes int64
	enter chan struct{}
}

func newRoom(requests int, bytes int64) *room { return &room{requests: requests, bytes: bytes} }

// take waits for room for one request of so many bytes, no longer than patience. It gives false where there was none.
func (r *room) take(ctx context.Context, bytes int64, patience time.Duration) bool {
	r.mu.Lock()
	if len(r.waiting) == 0 && r.fits(bytes) {
		r.requests, r.bytes = r.requests-1, r.bytes-bytes
		r.mu.Unlock()
		return true
	}
	w := &waiter{bytes: bytes, enter: make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.enter:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.waiting {
		if r.waiting[i] == w {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			r.admit() // a small one behind it may fit
			return false
		}
	}
	return true // it was let in meanwhile
}

func (r *room) fits(bytes int64) bool { return r.requests > 0 && r.bytes >= bytes }

func (r *room) give(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.bytes = r.requests+1, r.bytes+bytes
	r.admit()
}

// admit lets in who waits, first come first served; the caller holds r.mu.
func (r *room) admit() {
	for len(r.waiting) > 0 && r.fits(r.waiting[0].bytes) {
		w := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.requests, r.bytes = r.requests-1, r.bytes-w.bytes
		close(w.enter)
	}
}
