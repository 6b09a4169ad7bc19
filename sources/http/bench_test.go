package http

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// BenchmarkRequests posts from 64 connections to a pipeline that settles at once: what the source and net/http cost.
func BenchmarkRequests(b *testing.B) {
	one := `{"id":"e-000001","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-000017","amount":501.25,"note":"xxxxxxxxxx"}}`
	for name, body := range map[string]string{"1": one, "100": "[" + strings.TrimSuffix(strings.Repeat(one+",", 100), ",") + "]"} {
		b.Run("events="+name, func(b *testing.B) { benchmark(b, body) })
	}
}

func benchmark(b *testing.B, body string) {
	env := sources.Env{Log: slog.New(slog.DiscardHandler), MaxEvents: 500, MaxBytes: 1 << 20, MaxEventSize: 256 << 10}
	mux := nethttp.NewServeMux()
	env.Mount = func(pattern string, h nethttp.Handler) (func(), error) { mux.Handle(pattern, h); return func() {}, nil }
	s, err := Open(b.Context(), Config{Path: "/events"}, env)
	if err != nil {
		b.Fatal(err)
	}
	msgs, err := s.Subscribe(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for m := range msgs {
			batch := event.FromMessage(m)
			for i := range batch.Events {
				batch.Settle(i, event.Committed, nil)
			}
		}
	}()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer func() { _ = s.Close() }()
	request := fmt.Appendf(nil, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)

	const connections = 64
	each := b.N/connections + 1
	times := make([]time.Duration, connections*each)
	var wg sync.WaitGroup
	b.ResetTimer()
	begin := time.Now()
	for c := range connections {
		wg.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", srv.Listener.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			r := bufio.NewReader(conn)
			for i := range each {
				at := time.Now()
				_, _ = conn.Write(request)
				res, err := nethttp.ReadResponse(r, nil)
				if err != nil || res.StatusCode != 200 {
					b.Errorf("%v %v", res, err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				times[c*each+i] = time.Since(at)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(float64(len(times))/took.Seconds(), "requests/s")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
