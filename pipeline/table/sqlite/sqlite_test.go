package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/sqlite"
	"github.com/leatdev/leat/pipeline/table/tabletest"
)

func openFile(t testing.TB, path string) *sqlite.File {
	t.Helper()
	f, err := sqlite.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestConformanceFile(t *testing.T) {
	tabletest.Run(t, tabletest.Features{Durable: true}, func(t *testing.T) tabletest.Backend {
		path := filepath.Join(t.TempDir(), "tables?#%.db")
		f := openFile(t, path)
		return tabletest.Backend{Store: f, Reopen: func() table.Store {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return openFile(t, path)
		}}
	})
}

// TestConformanceWithStore parks beside the tables, as an event store does.
func TestConformanceWithStore(t *testing.T) {
	tabletest.Run(t, tabletest.Features{Durable: true}, func(t *testing.T) tabletest.Backend {
		db := openDB(t)
		if _, err := db.Exec("CREATE TABLE parked (id INTEGER PRIMARY KEY, entry TEXT)"); err != nil {
			t.Fatal(err)
		}
		return tabletest.Backend{
			Store:  sqlite.New(db, writer(db), park),
			Reopen: func() table.Store { return sqlite.New(db, writer(db), park) },
			Parked: func() []poison.Entry {
				var entries []poison.Entry
				rows, err := db.Query("SELECT id, entry FROM parked ORDER BY id")
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				for rows.Next() {
					var e poison.Entry
					var text string
					var id int64
					if err := errors.Join(rows.Scan(&id, &text), json.Unmarshal([]byte(text), &e)); err != nil {
						t.Fatal(err)
					}
					e.ID = id
					entries = append(entries, e)
				}
				return entries
			},
		}
	})
}

func openDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "leat.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func writer(db *sql.DB) sqlite.WriteFunc {
	return func(ctx context.Context, fn func(sqlite.Conn) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}
}

func park(ctx context.Context, c sqlite.Conn, park []poison.Entry, unpark []int64) error {
	for _, id := range unpark {
		res, err := c.ExecContext(ctx, "DELETE FROM parked WHERE id=?", id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, table.ErrGone)
		}
	}
	for _, e := range park {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "INSERT INTO parked (entry) VALUES (?)", string(text)); err != nil {
			return err
		}
	}
	return nil
}
