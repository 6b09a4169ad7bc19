package postgres_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
)

// BenchmarkGrowth has thirty-two callers append to a log that grows: an append costs what it did, however many events
// there are. LEAT_BENCH_EVENTS says to how many it grows; 100,000 unless it does.
func BenchmarkGrowth(b *testing.B) {
	most := 100_000
	if n, err := strconv.Atoi(os.Getenv("LEAT_BENCH_EVENTS")); err == nil {
		most = n
	}
	s := openStore(b, postgres.Config{})
	n := 0
	for target := 10_000; target <= most; target *= 10 {
		for n < target {
			units := make([]*eventstore.Unit, 1000)
			for i := range units {
				units[i] = growthUnit(n + i)
			}
			commit(b, s, units...)
			n += len(units)
		}
		b.Run(fmt.Sprint("events=", target), func(b *testing.B) {
			jobs := make(chan *eventstore.Unit)
			var callers sync.WaitGroup
			for range 32 {
				callers.Go(func() {
					for u := range jobs {
						commit(b, s, u)
					}
				})
			}
			report := rate(b)
			done := 0
			for b.Loop() {
				jobs <- growthUnit(n)
				n++
				done++
			}
			close(jobs)
			callers.Wait()
			report(done)
		})
	}
}

// growthUnit appends to one of ten thousand streams.
func growthUnit(n int) *eventstore.Unit {
	u := benchUnit(n, 1, 10_000)
	u.Appends[0].Events[0].Time = time.Unix(1772366400+int64(n), 0).UTC()
	u.Appends[0].Stream = event.Stream{Type: "order", ID: fmt.Sprint("o-", n%10_000)}
	return u
}
