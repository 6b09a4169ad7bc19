package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
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

// benchUnit is a unit that appends count events to one stream of so many.
func benchUnit(n, count, streams int) *eventstore.Unit {
	events := make([]event.Event, count)
	for i := range events {
		events[i] = benchEvent(n*count + i)
	}
	return &eventstore.Unit{Pipeline: "p", Appends: []eventstore.Append{{
		Stream: event.Stream{Type: "order", ID: fmt.Sprint("o-", n%streams)}, Origin: "p", Events: events,
	}}}
}

func commit(b testing.TB, s eventstore.Log, units ...*eventstore.Unit) {
	if err := s.Commit(context.Background(), units, eventstore.CommitOptions{}); err != nil {
		b.Error(err)
		return
	}
	for _, u := range units {
		if u.Result.Status != eventstore.Done {
			b.Errorf("%+v", u.Result)
		}
	}
}

// rate reports events a second, and the CPU time of this process and of PostgreSQL for each: on a shared machine those
// are the figures to compare.
func rate(b *testing.B) func(n int) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	server := pgtest.Shared(b)
	start, theirs := cpu(), server.CPU()
	return func(n int) {
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(n)/1e3, "cpu-µs/event")
		b.ReportMetric(float64((server.CPU()-theirs).Nanoseconds())/float64(n)/1e3, "pg-µs/event")
	}
}

const unique = 1 << 40 // streams: each append makes a new one

// BenchmarkAppend has callers that append one event each, and wait for the answer.
func BenchmarkAppend(b *testing.B) {
	for _, bb := range []struct{ callers, events, streams int }{
		{1, 1, 1000}, {32, 1, 1000}, {32, 1, unique}, {1024, 1, 1000}, {1024, 1, unique}, {32, 1, 1}, {256, 1, 1}, {1024, 1, 1}, {1, 100, 1000}, {4, 100, 1000}, {1, 1000, 1000},
	} {
		streams := fmt.Sprint(bb.streams)
		if bb.streams == unique {
			streams = "unique"
		}
		b.Run(fmt.Sprintf("callers=%d/events=%d/streams=%s", bb.callers, bb.events, streams), func(b *testing.B) {
			s := openStore(b, postgres.Config{})
			commit(b, s, benchUnit(1<<41, 1, 1<<42)) // the statements are prepared
			jobs := make(chan int)
			times := make([][]time.Duration, bb.callers)
			var wg sync.WaitGroup
			for c := range bb.callers {
				wg.Go(func() {
					for n := range jobs {
						u := benchUnit(n, bb.events, bb.streams)
						start := time.Now()
						commit(b, s, u)
						times[c] = append(times[c], time.Since(start))
					}
				})
			}
			n := 0
			report := rate(b)
			for b.Loop() {
				jobs <- n
				n++
			}
			close(jobs)
			wg.Wait()
			report(n * bb.events)
			all := slices.Concat(times...)
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1e3, "p99-ms")
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, "p50-ms")
		})
	}
}

// BenchmarkCommit commits calls of a thousand units, as a pipeline does.
func BenchmarkCommit(b *testing.B) {
	for _, streams := range []int{1, 1000, unique} {
		b.Run(fmt.Sprint("streams=", streams), func(b *testing.B) {
			s := openStore(b, postgres.Config{})
			n := 0
			report := rate(b)
			for b.Loop() {
				units := make([]*eventstore.Unit, 1000)
				for i := range units {
					units[i] = benchUnit(n+i, 1, streams)
				}
				commit(b, s, units...)
				n += len(units)
			}
			report(n)
		})
	}
}

const benchLog = 50_000

func filled(b *testing.B, n int) *postgres.Store {
	s := openStore(b, postgres.Config{})
	for i := 0; i < n; i += 1000 {
		units := make([]*eventstore.Unit, 1000)
		for j := range units {
			units[j] = benchUnit(i+j, 1, 1000)
		}
		commit(b, s, units...)
	}
	return s
}

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
	report(n)
}

// BenchmarkSubscribe has followers that catch up at the same time. The figures are events of the log, not deliveries.
func BenchmarkSubscribe(b *testing.B) {
	for _, followers := range []int{1, 10} {
		b.Run(fmt.Sprint("followers=", followers), func(b *testing.B) {
			s := filled(b, benchLog)
			n := 0
			report := rate(b)
			for b.Loop() {
				postgres.ForgetBlocks(s)
				var wg sync.WaitGroup
				for range followers {
					wg.Go(func() {
						for p, err := range s.Subscribe(b.Context(), eventstore.SubscribeOptions{}) {
							if err != nil {
								b.Error(err)
								return
							}
							if p.Through == p.Head {
								return
							}
						}
					})
				}
				wg.Wait()
				n += benchLog
			}
			report(n)
		})
	}
}

// BenchmarkWake measures from a commit's start by one store to the event's arrival at a follower of another.
func BenchmarkWake(b *testing.B) {
	s := openStore(b, postgres.Config{})
	other := openStore(b, postgres.Config{Schema: postgres.SchemaOf(s)})
	got := make(chan int64)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		for p, err := range other.Subscribe(ctx, eventstore.SubscribeOptions{}) {
			if err != nil {
				b.Error(err)
				return
			}
			select {
			case got <- p.Through:
			case <-ctx.Done():
			}
		}
	}()
	var times []time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		commit(b, s, benchUnit(n, 1, 1000))
		n++
		for int64(n) > <-got {
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1e3, "p99-ms")
}

// BenchmarkCopy is the bound: PostgreSQL's COPY of a thousand of the same rows, in the table's shape with its indexes.
func BenchmarkCopy(b *testing.B) {
	filled(b, 1000)
	s := openStore(b, postgres.Config{})
	c := pgtest.Shared(b).Conn(b, "")
	n := 0
	report := rate(b)
	for b.Loop() {
		if err := postgres.RawCopy(b.Context(), c, postgres.SchemaOf(s), n, benchUnit(n/1000, 1000, 1000).Appends[0].Events); err != nil {
			b.Fatal(err)
		}
		n += 1000
	}
	report(n)
}
