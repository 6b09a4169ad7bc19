package sqlite_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
)

// benchEvent is an event of 560 bytes in EventBridge's shape.
func benchEvent(n int) event.Event {
	raw := fmt.Appendf(nil, `{"version":"0","id":"018f3c2a-7b1c-7000-8000-%012d","source":"shop.orders","detail-type":"OrderCreated","time":"2026-03-01T12:00:00Z","detail":`, n)
	at := len(raw)
	raw = append(raw, `{"order_id":"o-1","amount":512,"note":"`...)
	raw = append(raw, strings.Repeat("x", 560-len(raw)-3)...)
	raw = append(raw, `"}}`...)
	return event.Event{
		ID: string(raw[21 : 21+36]), Source: "shop.orders", Type: "OrderCreated", Time: time.Unix(1772366400, 0).UTC(),
		Raw: raw, Data: raw[at : len(raw)-1], Envelope: event.EventBridge,
	}
}

func benchUnits(n, count, streams int, cursor bool) []*eventstore.Unit {
	units := make([]*eventstore.Unit, count)
	for i := range units {
		units[i] = &eventstore.Unit{Pipeline: "p", Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "order", ID: fmt.Sprint("o-", (n+i)%streams)}, Origin: "p", Events: []event.Event{benchEvent(n + i)},
		}}}
		if cursor {
			units[i].Cursor = &event.Cursor{Key: "file", Value: fmt.Sprint(n + i)}
		}
	}
	return units
}

// rate reports events a second, and the CPU time of the whole process for each: on a shared machine that is the figure
// to compare.
func rate(b *testing.B) func(n int) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := cpu()
	return func(n int) {
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(n)/1e3, "cpu-µs/event")
	}
}

func commit(b *testing.B, s *sqlite.Store, units []*eventstore.Unit) {
	if err := s.Commit(context.Background(), units, eventstore.CommitOptions{Ordered: true}); err != nil {
		b.Fatal(err)
	}
	for _, u := range units {
		if u.Result.Status != eventstore.Done {
			b.Fatalf("%+v", u.Result)
		}
	}
}

// BenchmarkCommit commits calls of so many units, one event each. The calls' own making is in the time: about 0.6 µs an
// event.
func BenchmarkCommit(b *testing.B) {
	for _, bb := range []struct{ units, streams int }{{1, 1000}, {10, 1000}, {100, 1000}, {1000, 1000}, {1000, 1}, {1000, 1 << 40}} {
		b.Run(fmt.Sprintf("units=%d/streams=%d", bb.units, bb.streams), func(b *testing.B) {
			s := openStore(b, sqlite.Config{})
			n := 0
			b.ReportAllocs()
			report := rate(b)
			for b.Loop() {
				commit(b, s, benchUnits(n, bb.units, bb.streams, true))
				n += bb.units
			}
			report(int(n))
		})
	}
}

// BenchmarkCommitParallel has callers that append one event each.
func BenchmarkCommitParallel(b *testing.B) {
	for _, callers := range []int{2, 32, 512} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			s := openStore(b, sqlite.Config{})
			jobs := make(chan int)
			done := make(chan struct{})
			for range callers {
				go func() {
					defer func() { done <- struct{}{} }()
					for n := range jobs {
						commit(b, s, benchUnits(n, 1, 1000, false))
					}
				}()
			}
			n := 0
			report := rate(b)
			for b.Loop() {
				jobs <- n
				n++
			}
			close(jobs)
			for range callers {
				<-done
			}
			report(int(n))
		})
	}
}

func filled(b *testing.B, n int) *sqlite.Store {
	s := openStore(b, sqlite.Config{})
	for i := 0; i < n; i += 1000 {
		commit(b, s, benchUnits(i, 1000, 1000, false))
	}
	return s
}

const benchLog = 50_000

func BenchmarkReadAll(b *testing.B) {
	s := filled(b, benchLog)
	n := 0
	b.ReportAllocs()
	report := rate(b)
	for b.Loop() {
		for _, err := range s.ReadAll(b.Context(), eventstore.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	report(int(n))
}

func BenchmarkReadStream(b *testing.B) {
	s := filled(b, benchLog)
	n := 0
	report := rate(b)
	for b.Loop() {
		for _, err := range s.ReadStream(b.Context(), event.Stream{Type: "order", ID: fmt.Sprint("o-", n%1000)}, eventstore.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		n++
	}
	report(int(n))
}

func BenchmarkSubscribe(b *testing.B) {
	for _, f := range []eventstore.Filter{{}, {Origins: []string{"p"}}, {Origins: []string{"other"}}} {
		b.Run(fmt.Sprint("origins=", f.Origins), func(b *testing.B) {
			s := filled(b, benchLog)
			n := int64(0)
			report := rate(b)
			for b.Loop() {
				for p, err := range s.Subscribe(b.Context(), eventstore.SubscribeOptions{Filter: f}) {
					if err != nil {
						b.Fatal(err)
					}
					if p.Through == p.Head {
						n += p.Head
						break
					}
				}
			}
			report(int(n))
		})
	}
}

// BenchmarkFollow commits while one follower reads live.
func BenchmarkFollow(b *testing.B) {
	s := openStore(b, sqlite.Config{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	through, done := make(chan int64, 1), make(chan struct{})
	go func() {
		defer close(done)
		for p, err := range s.Subscribe(ctx, eventstore.SubscribeOptions{}) {
			if err != nil {
				return
			}
			select {
			case <-through:
			default:
			}
			through <- p.Through
		}
	}()
	n := 0
	report := rate(b)
	for b.Loop() {
		commit(b, s, benchUnits(n, 1000, 1000, false))
		n += 1000
	}
	for int64(n) > <-through {
	}
	report(int(n))
	cancel()
	<-done
}

// BenchmarkOpen opens a store whose whole tail must be found again, as after a kill, and one that was closed in order.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openStore(b, sqlite.Config{Dir: dir})
	for i := 0; i < benchLog; i += 1000 {
		commit(b, s, benchUnits(i, 1000, 1000, false))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), sqlite.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
