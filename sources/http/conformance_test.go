package http

import (
	"context"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// senders post bodies, three a request as NDJSON, again and again until they are answered with 2xx or 4xx.
type senders struct {
	ctx  context.Context
	done sync.WaitGroup

	mu      sync.Mutex
	handler nethttp.Handler // nil: nobody listens
}

func (c *senders) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	env.Mount = func(_ string, h nethttp.Handler) (func(), error) {
		c.listen(h)
		return func() { c.listen(nil) }, nil
	}
	s, err := Open(t.Context(), Config{Path: "/events"}, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *senders) listen(h nethttp.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler = h
}

func (c *senders) Publish(_ testing.TB, bodies []string) {
	for some := range slices.Chunk(bodies, 3) {
		c.done.Go(func() {
			for left := some; len(left) > 0; left = c.post(left) {
				select {
				case <-c.ctx.Done():
					return
				case <-time.After(time.Millisecond): // a sender's back-off
				}
			}
		})
	}
}

// post sends one request and gives the bodies that were not taken.
func (c *senders) post(bodies []string) (again []string) {
	c.mu.Lock()
	h := c.handler
	c.mu.Unlock()
	if h == nil {
		return bodies
	}
	req := httptest.NewRequestWithContext(c.ctx, nethttp.MethodPost, "/events", strings.NewReader(strings.Join(bodies, "\n")))
	req.Header.Set("Content-Type", "application/x-ndjson")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != 503 {
		return nil
	}
	for i, o := range outcomesOf(rec.Body.String()) {
		if o == "released" {
			again = append(again, bodies[i])
		}
	}
	if len(again) == 0 {
		return bodies
	}
	return again
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Live: true, Endless: true, Unordered: true, Redelivers: true}, func(t *testing.T) sourcetest.Origin {
		c := &senders{}
		var stop context.CancelFunc
		c.ctx, stop = context.WithCancel(context.Background())
		t.Cleanup(func() {
			stop()
			c.done.Wait()
		})
		return c
	})
}
