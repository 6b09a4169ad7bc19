package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
)

// Daemons that make the schema together are killed in the middle, by their end and by the server's: the next one goes
// on, and the schema is whole.
func TestMigrationIsGoneOnWith(t *testing.T) {
	dsn, schema := pgtest.Shared(t).DSN(), pgtest.Schema()
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	killed, whole := 0, 0
	for i := range 40 {
		var wg sync.WaitGroup
		results := make([]error, 2)
		for k := range results {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+3*i)*time.Millisecond)
				defer cancel()
				st, err := postgres.Open(ctx, postgres.Config{DSN: dsn, Schema: schema})
				if results[k] = err; err == nil {
					_ = st.Close()
				}
			})
		}
		if i%2 == 1 {
			// The backend that waits for the lock or holds it.
			_, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
			if err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		for _, err := range results {
			if err != nil {
				killed++
			} else {
				whole++
			}
		}
		if whole > 0 {
			break
		}
	}
	if killed == 0 {
		t.Error("nobody was killed: the test looks at the wrong thing")
	}
	st := openStore(t, postgres.Config{DSN: dsn, Schema: schema})
	fresh := openStore(t, postgres.Config{DSN: dsn, Schema: pgtest.Schema()})
	for _, s := range []*postgres.Store{st, fresh} {
		if h, err := s.Head(t.Context()); err != nil || h.LogID == "" {
			t.Errorf("%+v, %v", h, err)
		}
	}
	var logs, versions, expected int
	q := pgx.Identifier{schema}.Sanitize()
	if err := admin.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM "+q+".leat_log), (SELECT count(*) FROM "+q+".leat_schema), (SELECT max(version) FROM "+q+".leat_schema)").Scan(&logs, &versions, &expected); err != nil {
		t.Fatal(err)
	}
	if logs != 1 || versions != expected {
		t.Errorf("%d logs, %d steps noted of %d", logs, versions, expected)
	}
}
