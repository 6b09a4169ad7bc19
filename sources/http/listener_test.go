package http

import (
	"bufio"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/sources"
)

func listen(t testing.TB, p *pipe) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(p.mux)
	t.Cleanup(srv.Close)
	return srv
}

func dial(t testing.TB, srv *httptest.Server) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs fails
	return c
}

func status(t testing.TB, c net.Conn) int {
	t.Helper()
	res, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestASlowBodyIsGivenUp(t *testing.T) {
	p := start(t, Config{ReadTimeout: 30 * time.Millisecond, MaxInFlight: 1}, sources.Env{}, committed)
	srv := listen(t, p)
	c := dial(t, srv)
	_, _ = fmt.Fprintf(c, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if got := status(t, c); got != 408 {
		t.Errorf("a slow body: %d", got)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stays open")
	}
	res, err := srv.Client().Post(srv.URL+"/events", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("the next one: %d", res.StatusCode)
	}
}

func TestAShortBodyIsRefused(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, committed)
	c := dial(t, listen(t, p))
	_, _ = fmt.Fprintf(c, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}")
	_ = c.(*net.TCPConn).CloseWrite()
	if got := status(t, c); got != 400 {
		t.Errorf("%d", got)
	}
	if got := p.taken(); got != nil {
		t.Errorf("taken: %q", got)
	}
}

// TestAFloodOfLargeBodies announces 100 MB in many connections: each is refused on sight, and memory stays flat.
func TestAFloodOfLargeBodies(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, committed)
	srv := listen(t, p)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		c := dial(t, srv)
		_, _ = fmt.Fprintf(c, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", 100<<20)
		if got := status(t, c); got != 413 {
			t.Fatalf("%d", got)
		}
		_ = c.Close()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 16<<20 {
		t.Errorf("%d bytes were allocated for bodies that nobody takes", total)
	}
}

func TestConcurrentSendersGetTheirOwnAnswers(t *testing.T) {
	p := start(t, Config{}, sources.Env{MaxEvents: 10}, committed)
	srv := listen(t, p)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			for k := range 10 {
				size := (n + k) % 25
				body := "[" + strings.TrimSuffix(strings.Repeat("1,", size), ",") + "]"
				res, err := srv.Client().Post(srv.URL+"/events", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				answer, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if got := len(outcomesOf(string(answer))); res.StatusCode != 200 || got != size {
					t.Errorf("%d with %d outcomes for %d events", res.StatusCode, got, size)
				}
			}
		})
	}
	wg.Wait()
}
