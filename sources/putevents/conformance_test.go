package putevents

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

// clients publish as an AWS SDK does: some entries a request, again and again until all are accepted.
type clients struct {
	ctx  context.Context
	done sync.WaitGroup

	mu      sync.Mutex
	handler http.Handler // nil: nobody listens
}

func (c *clients) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	env.Mount = func(_ string, h http.Handler) (func(), error) {
		c.listen(h)
		return func() { c.listen(nil) }, nil
	}
	s, err := Open(t.Context(), Config{}, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *clients) listen(h http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler = h
}

func (c *clients) Publish(_ testing.TB, bodies []string) {
	for some := range slices.Chunk(bodies, 3) {
		c.done.Go(func() {
			for left := some; len(left) > 0; left = c.put(left) {
				select {
				case <-c.ctx.Done():
					return
				case <-time.After(time.Millisecond): // a client's back-off
				}
			}
		})
	}
}

// put sends one request and gives the bodies that were not accepted.
func (c *clients) put(bodies []string) (again []string) {
	c.mu.Lock()
	h := c.handler
	c.mu.Unlock()
	if h == nil {
		return bodies
	}
	var in struct{ Entries []map[string]string }
	for _, b := range bodies {
		detail, _ := rawjson.Get([]byte(b), "detail")
		in.Entries = append(in.Entries, map[string]string{"Source": "sourcetest", "DetailType": "Tested", "Detail": string(detail)})
	}
	body, _ := json.Marshal(in)
	req := httptest.NewRequestWithContext(c.ctx, http.MethodPost, "/", strings.NewReader(string(body)))
	req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var out answerPut
	if rec.Code != http.StatusOK || json.Unmarshal(rec.Body.Bytes(), &out) != nil {
		return bodies
	}
	for i, r := range out.Entries {
		if r.failed() {
			again = append(again, bodies[i])
		}
	}
	return again
}

// Body gives the body again that was taken apart for the entry.
func (c *clients) Body(e event.Event) string {
	n, _ := rawjson.Get(e.Raw, "detail", "n")
	return fmt.Sprintf(`{"id":"e-%06s","source":"sourcetest","detail-type":"Tested","detail":{"n":%s}}`, n, n)
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Live: true, Endless: true, Unordered: true, Redelivers: true}, func(t *testing.T) sourcetest.Origin {
		c := &clients{}
		var stop context.CancelFunc
		c.ctx, stop = context.WithCancel(context.Background())
		t.Cleanup(func() {
			stop()
			c.done.Wait()
		})
		return c
	})
}
