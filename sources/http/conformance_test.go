package http

import (
	"context"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// senders post NDJSON until it is answered with 2xx or 4xx.
type senders struct{ *sourcetest.Senders }

func (c senders) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	env.Mount = c.Mount
	s, err := Open(t.Context(), Config{Path: "/events"}, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func post(ctx context.Context, h nethttp.Handler, bodies []string) (again []string) {
	req := httptest.NewRequestWithContext(ctx, nethttp.MethodPost, "/events", strings.NewReader(strings.Join(bodies, "\n")))
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
		return senders{sourcetest.NewSenders(t, post)}
	})
}
