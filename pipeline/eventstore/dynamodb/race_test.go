package dynamodb_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

// far is a service that is a round trip away.
type far time.Duration

func (f far) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Duration(f) / 2)
	res, err := http.DefaultTransport.RoundTrip(r)
	time.Sleep(time.Duration(f) / 2)
	return res, err
}

// daemons opens a table so many times, over a network with that round trip.
func daemons(t testing.TB, url string, n int, trip time.Duration) (out []*dynamodb.Store) {
	t.Helper()
	client(t, url) // the environment
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, far(trip), 8)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	for range n {
		out = append(out, openStore(t, dynamodb.Config{Client: aws.NewDynamoDB(cfg), Table: name}))
	}
	return out
}

// appendAll has callers append to streams of their own until stop says so, and gives how long each append took.
func appendAll(t testing.TB, s *dynamodb.Store, who string, callers int, stop func() bool) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for n := 0; !stop(); n++ {
				began := time.Now()
				u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: who, ID: fmt.Sprint(c)}, Events: []event.Event{{ID: fmt.Sprint(who, c, "-", n), Type: "T"}}}}}
				if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Done {
					t.Error(err, u.Result)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return took
}

// TestNobodyStarves holds that a writer gets its turn beside one that never rests.
func TestNobodyStarves(t *testing.T) {
	stores := daemons(t, fake(t, nil).URL, 2, 2*time.Millisecond)
	var done atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() { appendAll(t, stores[0], "busy", 4, done.Load) })
	n := 0
	appendAll(t, stores[1], "now and then", 1, func() bool { n++; return n > 40 })
	done.Store(true)
	busy.Wait()
	if c, err := stores[1].Head(t.Context()); err != nil || c.Position < 40 {
		t.Errorf("%+v, %v", c, err)
	}
}

// BenchmarkDaemons is what daemons that append to one log get done, a round trip of 5 ms from their table.
func BenchmarkDaemons(b *testing.B) {
	for _, n := range []int{1, 2, 3} {
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprintf("daemons=%d/callers=%d", n, callers), func(b *testing.B) {
				server := fake(b, nil)
				stores := daemons(b, server.URL, n, 5*time.Millisecond)
				for b.Loop() {
					server.Reset()
					end := time.Now().Add(time.Second)
					took := make([][]time.Duration, n)
					var all sync.WaitGroup
					for i, s := range stores {
						all.Go(func() {
							took[i] = appendAll(b, s, fmt.Sprint("d", i, "-", time.Now().UnixNano()), callers, func() bool { return time.Now().After(end) })
						})
					}
					all.Wait()
					least, every := len(took[0]), []time.Duration{}
					for _, t := range took {
						least, every = min(least, len(t)), append(every, t...)
					}
					slices.Sort(every)
					cost := server.Cost()
					b.ReportMetric(float64(len(every)), "appends/s")
					b.ReportMetric(float64(least*n)/float64(len(every)), "fairness")
					b.ReportMetric(float64(every[len(every)/2].Microseconds())/1000, "p50-ms")
					b.ReportMetric(float64(every[len(every)*99/100].Microseconds())/1000, "p99-ms")
					b.ReportMetric(cost.Write/float64(len(every)), "WCU/append")
				}
			})
		}
	}
}
