package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL by database/sql
	_ "modernc.org/sqlite"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/outbox"
	"github.com/leatdev/leat/pipeline/outbox/rows"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

type placed struct {
	Order string  `json:"order"`
	Total float64 `json:"total"`
}

type OrderPlaced struct{ outbox.Event[placed] }

// shop is an application's database.
type shop struct {
	db    outbox.DB
	box   eventstore.Outbox
	table string
	// begin starts a transaction.
	begin func(t *testing.T) (tx outbox.DB, end func(commit bool))
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func (s *shop) publisher(o outbox.Options) *outbox.Publisher {
	o.Table, o.Now = s.table, func() time.Time { return now }
	if o.Source == "" {
		o.Source = "shop"
	}
	return outbox.New(s.db, o)
}

// orders reads what is published: the payloads' orders.
func (s *shop) orders(t *testing.T) (out []string) {
	t.Helper()
	for _, e := range s.events(t) {
		var p placed
		if err := json.Unmarshal(e.Data, &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Order)
	}
	return out
}

// events reads what is published as a pipeline does.
func (s *shop) events(t *testing.T) (out []event.Event) {
	t.Helper()
	found, err := s.box.ReadOutbox(t.Context(), nil, 20_000, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found {
		e := event.Event{Raw: r.Body}
		if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
			t.Fatal(err)
		}
		codec.FillMetadata(&e)
		out = append(out, e)
	}
	return out
}

var shops = map[string]func(t *testing.T) *shop{
	"pgx": func(t *testing.T) *shop {
		pool := pgPool(t)
		table := pgSchema(t, pool)
		s := &shop{db: outbox.Postgres(pool), table: table, box: rows.NewPostgres(pool, nil, quote(t, table))}
		s.begin = func(t *testing.T) (outbox.DB, func(bool)) {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return outbox.Postgres(tx), func(commit bool) {
				end := tx.Rollback
				if commit {
					end = tx.Commit
				}
				if err := end(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		return s
	},
	"postgres by database/sql": func(t *testing.T) *shop {
		pool := pgPool(t)
		table := pgSchema(t, pool)
		db, err := sql.Open("pgx", pgtest.Shared(t).DSN())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &shop{db: outbox.PostgresSQL(db), table: table, box: rows.NewPostgres(pool, nil, quote(t, table)), begin: beginSQL(db, outbox.PostgresSQL)}
	},
	"sqlite": func(t *testing.T) *shop {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "shop.db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &shop{db: outbox.SQLite(db), box: rows.NewSQLite(db, quote(t, ""), nil), begin: beginSQL(db, outbox.SQLite)}
	},
}

func pgPool(t *testing.T) *pgxpool.Pool {
	pool, err := pgxpool.New(context.Background(), pgtest.Shared(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func pgSchema(t *testing.T, pool *pgxpool.Pool) string {
	schema := pgtest.Schema()
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	return schema + ".events_out"
}

func quote(t *testing.T, table string) string {
	q, err := rows.Quote(table)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func beginSQL(db *sql.DB, of func(outbox.SQLConn) outbox.DB) func(t *testing.T) (outbox.DB, func(bool)) {
	return func(t *testing.T) (outbox.DB, func(bool)) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return of(tx), func(commit bool) {
			end := tx.Rollback
			if commit {
				end = tx.Commit
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func each(t *testing.T, run func(t *testing.T, s *shop)) {
	for name, open := range shops {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for range 2 { // what is there already is no mistake
				if err := outbox.Create(t.Context(), s.db, s.table); err != nil {
					t.Fatal(err)
				}
			}
			run(t, s)
		})
	}
}

func order(id string) OrderPlaced { return OrderPlaced{outbox.Of(placed{Order: id, Total: 9.5})} }

func TestFourVerbs(t *testing.T) {
	each(t, func(t *testing.T, s *shop) {
		ctx, p := t.Context(), s.publisher(outbox.Options{})
		same := func(want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, s.orders(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ok(p.Publish(ctx, order("1")))
		ok(p.PublishBatch(ctx, []outbox.Message{order("2"), order("3")}))
		ok(p.PublishBatch(ctx, nil))
		same("1", "2", "3")

		tx, end := s.begin(t)
		ok(p.PublishAfterCommit(ctx, tx, order("4")))
		ok(p.PublishBatchAfterCommit(ctx, tx, []outbox.Message{order("5"), order("6")}))
		same("1", "2", "3") // nothing is published before the commit
		end(true)
		same("1", "2", "3", "4", "5", "6")

		tx, end = s.begin(t)
		ok(p.PublishAfterCommit(ctx, tx, order("never")))
		end(false)
		same("1", "2", "3", "4", "5", "6")

		// An event that cannot be written leaves the transaction good, and writes nothing of its batch.
		tx, end = s.begin(t)
		bad := struct{ outbox.Event[func()] }{}
		if err := p.PublishBatchAfterCommit(ctx, tx, []outbox.Message{order("no"), bad}); !errors.Is(err, outbox.ErrMessage) {
			t.Errorf("a payload that is no JSON: %v", err)
		}
		ok(p.PublishAfterCommit(ctx, tx, order("7")))
		end(true)
		same("1", "2", "3", "4", "5", "6", "7")
	})
}

// TestOpenTransactions holds that one transaction that stays open keeps nobody else's events back.
func TestOpenTransactions(t *testing.T) {
	for _, name := range []string{"pgx", "postgres by database/sql"} { // SQLite has one writer at a time
		t.Run(name, func(t *testing.T) {
			s := shops[name](t)
			if err := outbox.Create(t.Context(), s.db, s.table); err != nil {
				t.Fatal(err)
			}
			p := s.publisher(outbox.Options{})
			slow, end := s.begin(t)
			if err := p.PublishAfterCommit(t.Context(), slow, order("slow")); err != nil {
				t.Fatal(err)
			}
			if err := p.Publish(t.Context(), order("quick")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"quick"}, s.orders(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			end(true)
			if diff := cmp.Diff([]string{"slow", "quick"}, s.orders(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLargeBatch(t *testing.T) {
	each(t, func(t *testing.T, s *shop) {
		p := s.publisher(outbox.Options{})
		batch := make([]outbox.Message, outbox.MaxBatch)
		want := make([]string, len(batch))
		for i := range batch {
			want[i] = fmt.Sprint(i)
			batch[i] = order(want[i])
		}
		if err := p.PublishBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.orders(t)); diff != "" {
			t.Errorf("order (-want +got):\n%.500s", diff)
		}
		if err := p.PublishBatch(t.Context(), append(batch, order("more"))); !errors.Is(err, outbox.ErrMessage) {
			t.Errorf("one more: %v", err)
		}
	})
}

func TestEvent(t *testing.T) {
	s := shops["sqlite"](t)
	if err := outbox.Create(t.Context(), s.db, s.table); err != nil {
		t.Fatal(err)
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	p := s.publisher(outbox.Options{TraceParent: func(context.Context) string { return parent }})
	full := outbox.Base{
		ID: "e-1", Source: "billing", Type: "Paid", Subject: "order/1", Time: now.Add(-time.Hour), Version: "2",
		Correlation: "c-1", Causation: "e-0", User: "u-1",
	}
	because := outbox.Because(t.Context(), full)
	for _, m := range []outbox.Message{
		outbox.Event[placed]{Base: full, Data: placed{"1", 2}},
		order("2"),
		&OrderPlaced{outbox.Event[placed]{Base: outbox.Base{ID: "e-3", User: "u-3"}}},
	} {
		ctx := because
		if m, plain := m.(OrderPlaced); plain && m.Data.Order == "2" {
			ctx = t.Context()
		}
		if err := p.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	got := s.events(t)
	second := got[1].ID
	if len(second) != 36 {
		t.Errorf("made id %q", second)
	}
	type row struct{ ID, Source, Type, Subject, Version, Correlation, Causation, User, Trace, Data string }
	var list []row
	for _, e := range got {
		list = append(list, row{e.ID, e.Source, e.Type, e.Subject, e.Meta("dataversion"), e.Meta("correlationid"), e.Meta("causationid"), e.Meta("userid"), e.Meta("traceparent"), string(e.Data)})
	}
	want := []row{
		{"e-1", "billing", "Paid", "order/1", "2", "c-1", "e-0", "u-1", parent, `{"order":"1","total":2}`},
		{second, "shop", "OrderPlaced", "", "", second, "", "", parent, `{"order":"2","total":9.5}`},
		{"e-3", "shop", "OrderPlaced", "", "", "c-1", "e-1", "u-3", parent, `{"order":"","total":0}`},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got[0].Time.Equal(full.Time) || !got[1].Time.Equal(now) {
		t.Errorf("times %v, %v", got[0].Time, got[1].Time)
	}
}

func TestRefused(t *testing.T) {
	s := shops["sqlite"](t)
	for _, tt := range []struct {
		name string
		o    outbox.Options
		m    outbox.Message
		want string
	}{
		{"nil", outbox.Options{}, nil, "nil"},
		{"no type", outbox.Options{}, outbox.Of(1), "no type"},
		{"long id", outbox.Options{}, OrderPlaced{outbox.Event[placed]{Base: outbox.Base{ID: strings.Repeat("x", 256)}}}, "256 bytes"},
		{"large", outbox.Options{MaxBytes: 300}, order(strings.Repeat("x", 300)), "300 are allowed"},
		{"NaN", outbox.Options{}, OrderPlaced{outbox.Of(placed{Total: math.NaN()})}, "NaN"},
	} {
		err := s.publisher(tt.o).Publish(t.Context(), tt.m)
		if !errors.Is(err, outbox.ErrMessage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := outbox.New(s.db, outbox.Options{}).Publish(t.Context(), order("1")); !errors.Is(err, outbox.ErrMessage) {
		t.Errorf("no source: %v", err)
	}
	if err := s.publisher(outbox.Options{}).Publish(t.Context(), order("1")); err == nil || errors.Is(err, outbox.ErrMessage) {
		t.Errorf("no table: %v", err)
	}
	for _, name := range []string{"a.b.c", "a-b", `a"b`, "1a", "a;b", "."} {
		if err := outbox.Create(t.Context(), s.db, name); err == nil {
			t.Errorf("a table called %s", name)
		}
	}
}

func TestSchema(t *testing.T) {
	for _, f := range []func(string) (string, error){outbox.PostgresSchema, outbox.SQLiteSchema} {
		if s, err := f("shop.box"); err != nil || !strings.Contains(s, `"shop"."box"`) {
			t.Errorf("%s, %v", s, err)
		}
		if _, err := f("shop box"); err == nil {
			t.Error("a name with a space is taken")
		}
	}
}
