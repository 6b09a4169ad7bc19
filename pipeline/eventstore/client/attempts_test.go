package client_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/leatdev/leat/pipeline/eventstore/client"
)

// A request that may be repeated is sent as often as WithAttempts says, and not once it was refused for good.
func TestWithAttempts(t *testing.T) {
	for _, tt := range []struct {
		attempts, status int
		want             int64
	}{
		{1, http.StatusServiceUnavailable, 1},
		{3, http.StatusServiceUnavailable, 3},
		{3, http.StatusTooManyRequests, 3},
		{3, http.StatusBadRequest, 1},
		{0, http.StatusServiceUnavailable, 1},
	} {
		var sent atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			sent.Add(1)
			w.WriteHeader(tt.status)
		}))
		c, err := client.Connect(s.URL, "main", client.WithAttempts(tt.attempts))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Head(t.Context()); err == nil {
			t.Errorf("attempts %d, status %d: no error", tt.attempts, tt.status)
		}
		if n := sent.Load(); n != tt.want {
			t.Errorf("attempts %d, status %d: sent %d times, want %d", tt.attempts, tt.status, n, tt.want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}
