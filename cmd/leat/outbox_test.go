package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/outbox"
)

// application is a program with a database and an outbox in it. Each of its writers changes a counter of its own and
// publishes the change, in one transaction that is rolled back one time in three.
type application struct {
	db     outbox.DB
	begin  func(ctx context.Context) (tx outbox.DB, count func(ctx context.Context, writer int) (n int, err error), end func(commit bool) error, err error)
	counts func(t testing.TB) (writers map[int]int, rows int)

	mu        sync.Mutex
	committed map[int]int
}

type counted struct {
	Writer int `json:"writer"`
	N      int `json:"n"`
}

// Counted is an event of the application's.
type Counted struct{ outbox.Event[counted] }

const addOne = "UPDATE counters SET n = n + 1 WHERE writer = $1 RETURNING n"

func (a *application) run(ctx context.Context, t testing.TB, writers int) {
	p := outbox.New(a.db, outbox.Options{Source: "app"})
	a.committed = map[int]int{}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				background := context.Background() // what was begun is brought to its end
				tx, count, end, err := a.begin(background)
				if err != nil {
					t.Error(err)
					return
				}
				n, err := count(background, w)
				if err == nil {
					err = p.PublishAfterCommit(background, tx, Counted{outbox.Of(counted{w, n})})
				}
				commit := err == nil && i%3 != 2
				if e := end(commit); err != nil || e != nil {
					t.Error(err, e)
					return
				}
				if commit {
					a.mu.Lock()
					a.committed[w]++
					a.mu.Unlock()
				}
			}
		})
	}
	all.Wait()
}

const outboxPipeline = `
server: { listen: "${ADDR}" }
stores: { main: %s }
pipelines:
  app:
    source: { outbox: %s }
    steps:
      - filter: data.n %% 5 != 0
      - append: { stream: "counter/{{ data.writer }}" }
`

// TestOutboxUnderLoad kills leat while an application publishes: what it committed is in the log once and in order, what
// it rolled back is not, and nothing is left in the outbox.
func TestOutboxUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(t *testing.T, dir string) (a *application, yaml string, store func() eventstore.Store)
	}{
		{"the store's own database", ownOutbox},
		{"another database", foreignOutbox},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, addr := t.TempDir(), freePort(t)
			a, yaml, store := tt.open(t, dir)
			write(t, dir, "pipeline.yaml", yaml)
			kills := 4
			if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_KILLS")); err == nil {
				kills = n
			}
			ctx, stop := context.WithCancel(t.Context())
			var app sync.WaitGroup
			app.Go(func() { a.run(ctx, t, 3) })
			leat := func() *child {
				return startLeat(t, dir, []string{"ADDR=" + addr, "LEAT_DATA=" + filepath.Join(dir, "data")}, "run", "pipeline.yaml")
			}
			for range kills {
				c := leat()
				if !c.ready(t, addr) {
					stop()
					t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
				}
				time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // the moment of the kill is the point
				c.kill()
			}
			c := leat()
			if !c.ready(t, addr) {
				t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
			}
			stop()
			app.Wait()
			deadline := time.Now().Add(time.Minute)
			for _, rows := a.counts(t); rows > 0; _, rows = a.counts(t) {
				if time.Now().After(deadline) {
					t.Fatalf("%d rows are left in the outbox:\n%s", rows, c.stderr.String())
				}
				time.Sleep(10 * time.Millisecond) // another process: there is nothing but asking
			}
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
			if code := c.exit(t, time.Minute); code != 0 {
				t.Fatalf("exit %d:\n%s", code, c.stderr.String())
			}
			counters, _ := a.counts(t)
			if diff := cmp.Diff(a.committed, counters); diff != "" {
				t.Fatalf("the application is wrong itself: %s", diff)
			}
			checkOutbox(t, store(), counters)
		})
	}
}

func checkOutbox(t *testing.T, s eventstore.Store, counters map[int]int) {
	defer s.Close()
	got, want := map[int][]int{}, map[int][]int{}
	total := 0
	for e, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		var c counted
		if err := json.Unmarshal(e.Data, &c); err != nil {
			t.Fatal(err)
		}
		got[c.Writer] = append(got[c.Writer], c.N)
		total++
	}
	for w, n := range counters {
		for i := 1; i <= n; i++ {
			if i%5 != 0 {
				want[w] = append(want[w], i)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log (-want +got):\n%.3000s", diff)
	}
	t.Logf("%d events", total)
}

// ownOutbox is an application whose database is that of leat's store.
func ownOutbox(t *testing.T, _ string) (*application, string, func() eventstore.Store) {
	dsn := pgtest.New(t).DSN()
	open := func() eventstore.Store {
		s, err := postgres.Open(context.Background(), postgres.Config{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := open().Close(); err != nil { // the outbox is the store's to make
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), dsn+"&search_path=leat,public")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE public.counters (writer int PRIMARY KEY, n int); INSERT INTO public.counters SELECT w, 0 FROM generate_series(0, 2) w"); err != nil {
		t.Fatal(err)
	}
	a := &application{db: outbox.Postgres(pool)}
	a.begin = func(ctx context.Context) (outbox.DB, func(context.Context, int) (int, error), func(bool) error, error) {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		count := func(ctx context.Context, w int) (n int, err error) {
			err = tx.QueryRow(ctx, addOne, w).Scan(&n)
			return n, err
		}
		return outbox.Postgres(tx), count, func(commit bool) error {
			if commit {
				return tx.Commit(ctx)
			}
			return tx.Rollback(ctx)
		}, nil
	}
	a.counts = func(t testing.TB) (map[int]int, int) {
		out, left := map[int]int{}, 0
		rows, err := pool.Query(context.Background(), "SELECT writer, n, (SELECT count(*) FROM leat.leat_outbox) FROM public.counters")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var w, n int
			if err := rows.Scan(&w, &n, &left); err != nil {
				t.Fatal(err)
			}
			out[w] = n
		}
		return out, left
	}
	return a, fmt.Sprintf(outboxPipeline, fmt.Sprintf("{ postgres: { dsn: %q } }", dsn), "{}"), open
}

// foreignOutbox is an application with a SQLite file of its own, beside leat's embedded store.
func foreignOutbox(t *testing.T, dir string) (*application, string, func() eventstore.Store) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "app.db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)&_pragma=synchronous(normal)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := outbox.Create(t.Context(), outbox.SQLite(db), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE counters (writer INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counters VALUES (0, 0), (1, 0), (2, 0)"); err != nil {
		t.Fatal(err)
	}
	a := &application{db: outbox.SQLite(db)}
	a.begin = func(ctx context.Context) (outbox.DB, func(context.Context, int) (int, error), func(bool) error, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, nil, nil, err
		}
		count := func(ctx context.Context, w int) (n int, err error) {
			err = tx.QueryRowContext(ctx, addOne, w).Scan(&n)
			return n, err
		}
		return outbox.SQLite(tx), count, func(commit bool) error {
			if commit {
				return tx.Commit()
			}
			return tx.Rollback()
		}, nil
	}
	a.counts = func(t testing.TB) (map[int]int, int) {
		out, left := map[int]int{}, 0
		rows, err := db.QueryContext(context.Background(), "SELECT writer, n, (SELECT count(*) FROM leat_outbox) FROM counters")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var w, n int
			if err := rows.Scan(&w, &n, &left); err != nil {
				t.Fatal(err)
			}
			out[w] = n
		}
		return out, left
	}
	open := func() eventstore.Store {
		s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: filepath.Join(dir, "data"), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return a, fmt.Sprintf(outboxPipeline, "{ sqlite: {} }", `{ sqlite: { path: app.db } }`), open
}
