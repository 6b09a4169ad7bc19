package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// payload makes an event of 560 bytes, as the stores' own benchmarks do.
var payload = []byte(`{"text":"` + strings.Repeat("x", 450) + `"}`)

func benchStores(b *testing.B, run func(b *testing.B, url string, c *client.Client)) {
	for name, open := range map[string]func() (eventstore.Store, error){
		"memory": func() (eventstore.Store, error) { return memory.Open(memory.Options{}), nil },
		"sqlite": func() (eventstore.Store, error) {
			return sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir()})
		},
	} {
		b.Run(name, func(b *testing.B) {
			st, err := open()
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			s := admin.New(admin.Options{Config: config.Server{MaxBody: 64 << 20}})
			s.Attach(&admin.Daemon{Store: func(string) (eventstore.Store, bool) { return st, true }})
			srv := httptest.NewServer(s)
			defer srv.Close()
			c := connect(b, srv.URL)
			b.ResetTimer()
			run(b, srv.URL, c)
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			benchStores(b, func(b *testing.B, _ string, c *client.Client) {
				var n atomic.Int64
				b.SetParallelism(callers)
				if callers == 1 {
					for b.Loop() {
						appendOne(b, c, n.Add(1))
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							appendOne(b, c, n.Add(1))
						}
					})
				}
				b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "events/s")
			})
		})
	}
}

func appendOne(b *testing.B, c *client.Client, i int64) {
	s := event.Stream{Type: "bench", ID: fmt.Sprint(i % 1000)}
	if _, err := c.Append(b.Context(), s, wire.Append{Events: []wire.Event{{Type: "Happened", Source: "bench", Data: payload}}}); err != nil {
		b.Error(err)
	}
}

// BenchmarkCommit writes a hundred events, each a unit of its own, in one request.
func BenchmarkCommit(b *testing.B) {
	benchStores(b, func(b *testing.B, _ string, c *client.Client) {
		n := 0
		for b.Loop() {
			units := make([]*eventstore.Unit, 100)
			for i := range units {
				n++
				units[i] = &eventstore.Unit{Appends: []eventstore.Append{{
					Stream: event.Stream{Type: "bench", ID: fmt.Sprint(n % 1000)}, Events: []event.Event{{ID: fmt.Sprint(n), Type: "Happened", Source: "bench", Data: payload}},
				}}}
			}
			if err := c.Commit(b.Context(), units, eventstore.CommitOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkServerless puts events by serverless-event-store's route.
func BenchmarkServerless(b *testing.B) {
	benchStores(b, func(b *testing.B, url string, _ *client.Client) {
		body := `{"initialEvent":{"eventType":"Happened","payload":` + string(event.Quote(string(payload))) + `}}`
		n := 0
		for b.Loop() {
			n++
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+"/streams/bench", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil || res.StatusCode != http.StatusCreated {
				b.Fatal(res, err)
			}
			buf := make([]byte, 1024)
			for err == nil {
				_, err = res.Body.Read(buf)
			}
			_ = res.Body.Close()
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkRead reads ten thousand events.
func BenchmarkRead(b *testing.B) {
	benchStores(b, func(b *testing.B, _ string, c *client.Client) {
		var events []event.Event
		for i := range 10_000 {
			events = append(events, event.Event{ID: fmt.Sprint(i), Type: "Happened", Source: "bench", Data: payload})
		}
		u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "bench", ID: "1"}, Events: events}}}
		if err := c.Commit(b.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Err != nil {
			b.Fatal(err, u.Result.Err)
		}
		n := 0
		b.ResetTimer()
		for b.Loop() {
			for _, err := range c.ReadAll(b.Context(), eventstore.ReadOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}
