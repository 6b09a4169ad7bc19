package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// benchConnections is how many clients post side by side.
const benchConnections = 64

// BenchmarkHTTPToSQLite posts events to the real program, each acknowledged once it is in the log: one a request, and
// arrays of a hundred. The clients share the machine; they are as lean as can be: requests are made
// beforehand.
func BenchmarkHTTPToSQLite(b *testing.B) {
	for _, per := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", per), func(b *testing.B) {
			dir, addr := b.TempDir(), freePort(b)
			write(b, dir, "p.yaml", fmt.Sprintf(`
server: { listen: %q }
pipelines:
  orders:
    source: { http: { path: /orders } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`, addr))
			c := startLeat(b, dir, []string{"LEAT_DATA=" + filepath.Join(dir, "data")}, "run", "p.yaml", "--log-format", "json")
			if !c.ready(b, addr) {
				b.Fatalf("leat ended by itself:\n%s", c.stderr.String())
			}
			total := 60_000 / per * min(per, 10)
			var times []time.Duration
			var took time.Duration
			round := 0
			for b.Loop() {
				round++
				requests := make([][][]byte, benchConnections)
				for n := range requests {
					for i := range total / benchConnections {
						requests[n] = append(requests[n], orderRequest(fmt.Sprintf("%d-%d-%d", round, n, i), per))
					}
				}
				start := time.Now()
				times = append(times, postAll(b, addr, requests)...)
				took += time.Since(start)
			}
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
			if code := c.exit(b, time.Minute); code != 0 {
				b.Fatalf("exit %d:\n%s", code, c.stderr.String())
			}
			if b.Failed() {
				return
			}
			slices.Sort(times)
			b.ReportMetric(float64(len(times)*per)/took.Seconds(), "events/s")
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1e3, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1e3, "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// orderRequest makes a request of so many events.
func orderRequest(id string, events int) []byte {
	var list []string
	for i := range events {
		list = append(list, fmt.Sprintf(`{"id":"e-%s-%d","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-%s","amount":501.25,"note":"xxxxxxxxxx"}}`, id, i, id[len(id)-1:]))
	}
	body := strings.Join(list, ",")
	if events > 1 {
		body = "[" + body + "]"
	}
	return fmt.Appendf(nil, "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// postAll sends each list of requests over a connection of its own, one after another, and gives how long each took.
func postAll(b *testing.B, addr string, requests [][][]byte) (times []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, list := range requests {
		all.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			mine := make([]time.Duration, 0, len(list))
			for _, request := range list {
				start := time.Now()
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := answered(r); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
		})
	}
	all.Wait()
	return times
}

// answered reads an answer that must be 200.
func answered(r *bufio.Reader) error {
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the answer is %s: %s", res.Status, body)
	}
	return err
}
