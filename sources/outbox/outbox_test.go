package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/outbox"
	"github.com/leatdev/leat/sources/sourcetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// origin is an outbox that rows are put into as they come, without a publisher.
type origin struct {
	put  func(t testing.TB, body string)
	c    outbox.Config
	left func(t testing.TB) int
	env  func(*sources.Env)
	gone func(row int64)
}

// Gone implements sourcetest.Rowed.
func (o *origin) Gone(row int64) {
	if o.gone != nil {
		o.gone(row)
	}
}

func (o *origin) Publish(t testing.TB, bodies []string) {
	for _, b := range bodies {
		o.put(t, b)
	}
}

func (o *origin) Open(t testing.TB, env sources.Env) sources.Source {
	if o.env != nil {
		o.env(&env)
	}
	s, err := outbox.Open(t.Context(), o.c, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var origins = map[string]func(t *testing.T) *origin{
	"the store's own": func(*testing.T) *origin {
		s := memory.Open(memory.Options{})
		return &origin{
			put:  func(_ testing.TB, body string) { s.PutOutbox([]byte(body)) },
			env:  func(e *sources.Env) { e.Outbox = s },
			gone: func(row int64) { _ = s.DropOutbox(context.Background(), []int64{row}) },
		}
	},
	"sqlite": func(t *testing.T) *origin {
		path := filepath.Join(t.TempDir(), "shop.db")
		db := sqlite(t, path)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE leat_outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT, written TEXT DEFAULT '', body BLOB)"); err != nil {
			t.Fatal(err)
		}
		return &origin{
			c: outbox.Config{SQLite: &outbox.SQLite{Path: path}},
			put: func(t testing.TB, body string) {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO leat_outbox (event_id, body) VALUES ('e', ?)", []byte(body)); err != nil {
					t.Fatal(err)
				}
			},
			left: func(t testing.TB) (n int) {
				if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM leat_outbox").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			},
		}
	},
	"postgres": func(t *testing.T) *origin {
		pool := pool(t)
		table := pgtest.Schema()
		if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+table+"; CREATE TABLE "+table+".box (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text, written timestamptz DEFAULT now(), body bytea)"); err != nil {
			t.Fatal(err)
		}
		return &origin{
			c: outbox.Config{Postgres: &outbox.Postgres{DSN: config.NewSecret(pgtest.Shared(t).DSN())}, Table: table + ".box"},
			put: func(t testing.TB, body string) {
				if _, err := pool.Exec(t.Context(), "WITH told AS (SELECT pg_notify('leat_outbox', '')) INSERT INTO "+table+".box (event_id, body) SELECT 'e', $1 FROM told", []byte(body)); err != nil {
					t.Fatal(err)
				}
			},
			left: func(t testing.TB) (n int) {
				if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table+".box").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			},
		}
	},
}

func sqlite(t testing.TB, path string) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func pool(t testing.TB) *pgxpool.Pool {
	p, err := pgxpool.New(context.Background(), pgtest.Shared(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestConformance(t *testing.T) {
	for name, open := range origins {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Features{Redelivers: true, Endless: true, Whole: true}, func(t *testing.T) sourcetest.Origin { return open(t) })
		})
	}
}

// TestRowsGo holds that a row is deleted when its event is done with, and stays when the event goes back.
func TestRowsGo(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			o := origins[name](t)
			o.Publish(t, sourcetest.Bodies(0, 6))
			s := o.Open(t, (&sourcetest.Memory{}).Env())
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			msgs, err := s.Subscribe(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			b := event.FromMessage(<-msgs)
			for i, out := range []event.Outcome{event.Committed, event.Filtered, event.Duplicate, event.Poisoned, event.Dropped, event.Released} {
				b.Settle(i, out, nil)
			}
			again := event.FromMessage(<-msgs) // it did not have to be opened again
			if len(again.Events) != 1 || string(again.Events[0].Raw) != sourcetest.Bodies(5, 1)[0] {
				t.Errorf("came again: %d events", len(again.Events))
			}
			again.Settle(0, event.Released, nil)
			stop()
			for m := range msgs {
				event.FromMessage(m).Settle(0, event.Released, nil)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if n := o.left(t); n != 1 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if _, err := sqlite(t, empty).ExecContext(t.Context(), "CREATE TABLE x (y)"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		c    outbox.Config
		want string // part of the error
		down bool
	}{
		{"no file", outbox.Config{SQLite: &outbox.SQLite{Path: filepath.Join(dir, "none.db")}}, "none.db is not there", true},
		{"no table", outbox.Config{SQLite: &outbox.SQLite{Path: empty}}, `there is no table "leat_outbox"; make it by: CREATE TABLE`, false},
		{"made", outbox.Config{SQLite: &outbox.SQLite{Path: empty}, Create: true}, "", false},
		{"no server", outbox.Config{Postgres: &outbox.Postgres{DSN: config.NewSecret("postgres://u:hush@127.0.0.1:1/x")}}, "connect", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := outbox.Open(t.Context(), tt.c, (&sourcetest.Memory{}).Env())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			_, err = s.Subscribe(ctx, "")
			stop()
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Subscribe: %v, want %q", err, tt.want)
			}
			if _, down := event.AsUnavailable(err); down != tt.down {
				t.Errorf("unavailable %t: %v", down, err)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the password is in %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := outbox.Open(t.Context(), outbox.Config{}, (&sourcetest.Memory{}).Env()); err == nil {
		t.Error("a store without an outbox is taken")
	}
}

func TestValidate(t *testing.T) {
	dsn := config.NewSecret("postgres://db/x")
	for _, tt := range []struct {
		c     outbox.Config
		field string
	}{
		{outbox.Config{}, ""},
		{outbox.Config{SQLite: &outbox.SQLite{Path: "a.db"}, Table: "shop.box"}, ""},
		{outbox.Config{SQLite: &outbox.SQLite{Path: "a.db"}, Postgres: &outbox.Postgres{DSN: dsn}}, "sqlite"},
		{outbox.Config{Table: "box"}, "table"},
		{outbox.Config{Postgres: &outbox.Postgres{DSN: dsn}, Table: `a"; DROP TABLE x; --`}, "table"},
		{outbox.Config{Postgres: &outbox.Postgres{DSN: config.NewSecret("postgres://u:hush@db:port/x")}}, "postgres"},
	} {
		err := tt.c.Validate()
		var wrong *config.FieldError
		if errors.As(err, &wrong); (err == nil) != (tt.field == "") || (wrong != nil && wrong.Field != tt.field) {
			t.Errorf("%+v: %v", tt.c, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("the password is in %v", err)
		}
	}
}
