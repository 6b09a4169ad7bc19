package sourcetest

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Senders post bodies to a source that listens, three a request, again and again until all are taken.
type Senders struct {
	ctx  context.Context
	post Post
	done sync.WaitGroup

	mu      sync.Mutex
	handler http.Handler // nil: nobody listens
}

// Post sends bodies to a handler by one request, and gives those that were not taken.
type Post func(ctx context.Context, h http.Handler, bodies []string) (again []string)

// NewSenders makes senders, which end with the test.
func NewSenders(t *testing.T, post Post) *Senders {
	s := &Senders{post: post}
	var stop context.CancelFunc
	s.ctx, stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		s.done.Wait()
	})
	return s
}

// Mount is a source's way to its listener (sources.Env).
func (s *Senders) Mount(_ string, h http.Handler) (unmount func(), err error) {
	s.listen(h)
	return func() { s.listen(nil) }, nil
}

func (s *Senders) listen(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Publish implements part of Origin.
func (s *Senders) Publish(_ testing.TB, bodies []string) {
	for some := range slices.Chunk(bodies, 3) {
		s.done.Go(func() {
			for left := some; len(left) > 0; {
				select {
				case <-s.ctx.Done():
					return
				case <-time.After(time.Millisecond): // a sender's back-off
				}
				s.mu.Lock()
				h := s.handler
				s.mu.Unlock()
				if h != nil {
					left = s.post(s.ctx, h, left)
				}
			}
		})
	}
}
