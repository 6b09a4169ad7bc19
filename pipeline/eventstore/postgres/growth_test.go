package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
)

// BenchmarkGrowth has thirty-two callers append to a log that grows: an append costs what it did, however many events
// there are. Ten thousand streams are appended to in turn: for ever, or, as most streams do, until each has
// LEAT_BENCH_LIFE events, whereupon another follows it. Each size is measured twice: with what the filling has left in the server's buffers ("filled"), and after
// a vacuum and a checkpoint ("settled"). LEAT_BENCH_EVENTS says to how many it grows; 100,000 unless it does.
//
// Beside the rate there is what the server says an event cost it: bytes and page images in its write-ahead log, and
// pages that were not in its buffers. Those do not depend on what else the machine does.
func BenchmarkGrowth(b *testing.B) {
	most := 100_000
	if n, err := strconv.Atoi(os.Getenv("LEAT_BENCH_EVENTS")); err == nil {
		most = n
	}
	life, _ := strconv.Atoi(os.Getenv("LEAT_BENCH_LIFE"))
	s := openStore(b, postgres.Config{})
	server := pgtest.Shared(b).Conn(b, "")
	if _, err := server.Exec(b.Context(), "SET search_path = "+pgx.Identifier{postgres.SchemaOf(s)}.Sanitize()); err != nil {
		b.Fatal(err)
	}
	n := 0
	appends := func(b *testing.B) {
		before := statistics(b, s, server, &n, life)
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
			jobs <- growthUnit(n, life)
			n++
			done++
		}
		close(jobs)
		callers.Wait()
		report(done)
		b.StopTimer()
		after := statistics(b, s, server, &n, life)
		var pages strings.Builder
		for i, v := range after {
			of := float64(v.count-before[i].count) / float64(done)
			if v.unit != "" {
				b.ReportMetric(of, v.unit)
			} else if of > 0 {
				fmt.Fprintf(&pages, " %s %.3f", v.name, of)
			}
		}
		if testing.Verbose() {
			fmt.Printf("# pages read an event:%s\n", &pages)
		}
	}
	for target := 10_000; target <= most; target *= 10 {
		for n < target {
			units := make([]*eventstore.Unit, 1000)
			for i := range units {
				units[i] = growthUnit(n+i, life)
			}
			commit(b, s, units...)
			n += len(units)
		}
		b.Run(fmt.Sprintf("events=%d/filled", target), appends)
		for _, do := range []string{"VACUUM leat_events", "CHECKPOINT"} {
			if _, err := server.Exec(b.Context(), do); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("events=%d/settled", target), appends)
	}
}

type statistic struct {
	name, unit string // no unit: a table's or an index's pages that were not in the server's buffers
	count      int64
}

// statistics asks the server what it has done so far. It makes an append first: sessions tell their counts when a
// transaction ends, and not within a second of the last time.
func statistics(b *testing.B, s *postgres.Store, c *pgx.Conn, n *int, life int) (all []statistic) {
	time.Sleep(1100 * time.Millisecond)
	commit(b, s, growthUnit(*n, life))
	*n++
	rows, err := c.Query(context.Background(), `SELECT '', 'wal-B/event', wal_bytes::bigint FROM pg_stat_wal
UNION ALL SELECT '', 'images/event', wal_fpi FROM pg_stat_wal
UNION ALL SELECT '', 'read/event', blks_read FROM pg_stat_database WHERE datname = current_database()
UNION ALL SELECT '', 'written/event', buffers_checkpoint + buffers_clean + buffers_backend FROM pg_stat_bgwriter
UNION ALL SELECT relname, '', heap_blks_read FROM pg_statio_user_tables WHERE schemaname = current_schema()
UNION ALL SELECT indexrelname, '', idx_blks_read FROM pg_statio_user_indexes WHERE schemaname = current_schema()
UNION ALL SELECT indexrelname||'_hit', '', idx_blks_hit FROM pg_statio_user_indexes WHERE schemaname = current_schema()
ORDER BY 1, 2`)
	if err != nil {
		b.Fatal(err)
	}
	all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (v statistic, err error) {
		return v, r.Scan(&v.name, &v.unit, &v.count)
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// growthUnit appends to one of ten thousand streams, which have life events each, or any number where that is zero.
func growthUnit(n, life int) *eventstore.Unit {
	const streams = 10_000
	stream := n % streams
	if life > 0 {
		stream += (n/streams + n%life) / life * streams // of each round, one in life begins
	}
	u := benchUnit(n, 1, streams)
	u.Appends[0].Events[0].Time = time.Unix(1772366400+int64(n), 0).UTC()
	u.Appends[0].Stream = event.Stream{Type: "order", ID: fmt.Sprint("o-", stream)}
	return u
}
