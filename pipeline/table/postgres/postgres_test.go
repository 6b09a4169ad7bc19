package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/postgres"
	"github.com/leatdev/leat/pipeline/table/tabletest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func open(t testing.TB, schema string) *postgres.Database {
	t.Helper()
	d, err := postgres.Open(t.Context(), pgtest.Shared(t).DSN(), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformance(t *testing.T) {
	tabletest.Run(t, tabletest.Features{Durable: true}, func(t *testing.T) tabletest.Backend {
		schema := pgtest.Schema() + `?#%"`
		d := open(t, schema)
		return tabletest.Backend{Store: d, Reopen: func() table.Store {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, schema)
		}}
	})
}

// TestConformanceWithStore parks beside the tables, as an event store does.
func TestConformanceWithStore(t *testing.T) {
	tabletest.Run(t, tabletest.Features{Durable: true}, func(t *testing.T) tabletest.Backend {
		pool := openPool(t)
		if _, err := pool.Exec(t.Context(), "CREATE TABLE parked (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry text)"); err != nil {
			t.Fatal(err)
		}
		return tabletest.Backend{
			Store:  postgres.New(pool, writer(pool), park),
			Reopen: func() table.Store { return postgres.New(pool, writer(pool), park) },
			Parked: func() []poison.Entry {
				rows, err := pool.Query(context.Background(), "SELECT id, entry FROM parked ORDER BY id")
				if err != nil {
					t.Fatal(err)
				}
				entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e poison.Entry, err error) {
					var id int64
					var text string
					err = errors.Join(row.Scan(&id, &text), json.Unmarshal([]byte(text), &e))
					e.ID = id
					return e, err
				})
				if err != nil {
					t.Fatal(err)
				}
				return entries
			},
		}
	})
}

func openPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	schema := pgtest.Schema()
	pgtest.Shared(t).Exec(t, "", "CREATE SCHEMA "+schema)
	conf, err := pgxpool.ParseConfig(pgtest.Shared(t).DSN() + "&search_path=" + schema)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func writer(pool *pgxpool.Pool) postgres.WriteFunc {
	return func(ctx context.Context, fn func(postgres.Conn) error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return fn(tx) })
	}
}

func park(ctx context.Context, c postgres.Conn, park []poison.Entry, unpark []int64) error {
	for _, id := range unpark {
		tag, err := c.Exec(ctx, "DELETE FROM parked WHERE id = $1", id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return table.ErrGone
		}
	}
	for _, e := range park {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "INSERT INTO parked (entry) VALUES ($1)", string(text)); err != nil {
			return err
		}
	}
	return nil
}

// Opened for reading alone, nothing is made and nothing can be written.
func TestOpenReading(t *testing.T) {
	dsn, schema := pgtest.Shared(t).DSN(), pgtest.Schema()
	reading := func() *postgres.Database {
		d, err := postgres.OpenReading(t.Context(), dsn, schema)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	d := &table.Def{Name: "totals", Version: 1, Key: []string{"id"}, Columns: []table.Column{{Name: "id", Type: table.Text}}}
	early := reading()
	var unknown *table.UnknownError
	if _, _, err := early.Query(t.Context(), table.Query{Table: "totals"}); !errors.As(err, &unknown) {
		t.Errorf("before there is a schema: %v", err)
	}
	if _, err := early.Ensure(t.Context(), d, "d", "r", "l"); err == nil {
		t.Error("it makes a table")
	}
	w := open(t, schema)
	if _, err := w.Ensure(t.Context(), d, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{{"a"}}}); err != nil {
		t.Fatal(err)
	}
	_, rows, err := reading().Query(t.Context(), table.Query{Table: "totals"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for row, err := range rows {
		if n++; err != nil || row[0] != "a" {
			t.Error(row, err)
		}
	}
	if n != 1 {
		t.Errorf("%d rows", n)
	}
	if err := early.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{{"b"}}}); err == nil {
		t.Error("it writes")
	}
}
