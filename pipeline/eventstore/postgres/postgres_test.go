package postgres_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func openStore(t testing.TB, c postgres.Config) *postgres.Store {
	t.Helper()
	if c.DSN == "" {
		c.DSN = pgtest.Shared(t).DSN()
	}
	if c.Schema == "" {
		c.Schema = pgtest.Schema()
	}
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) { run(t) }

// TestStoreCopy runs the suite with every event going by COPY.
func TestStoreCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite again")
	}
	postgres.CopyFrom(t, 1)
	run(t)
}

// A schema takes a tenth of a second to make, and the suite opens hundreds of stores: those that were closed are
// emptied and used again.
type spare struct {
	schema string
	store  *postgres.Store
}

func run(t *testing.T) {
	var used []*spare
	storetest.Run(t, storetest.Features{Durable: true, PutOutbox: putOutbox}, func(t *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		var mine *spare
		for _, u := range used {
			if mine == nil && postgres.Closed(u.store) {
				mine = u
				empty(t, u.schema)
			}
		}
		if mine == nil {
			mine = &spare{schema: pgtest.Schema()}
			used = append(used, mine)
		}
		c := postgres.Config{DSN: pgtest.Shared(t).DSN(), Schema: mine.schema, Now: now}
		mine.store = openStore(t, c)
		return mine.store, func() eventstore.Store {
			if err := mine.store.Close(); err != nil {
				t.Fatal(err)
			}
			mine.store = openStore(t, c)
			return mine.store
		}
	})
}

// putOutbox writes to the outbox as another program does.
func putOutbox(t testing.TB, s eventstore.Store, body string) (id int64) {
	c := pgtest.Shared(t).Conn(t, "")
	err := c.QueryRow(t.Context(), "WITH told AS (SELECT pg_notify('leat_outbox', '')) INSERT INTO "+postgres.SchemaOf(s.(*postgres.Store))+".leat_outbox (event_id, body) SELECT 'e', $1 FROM told RETURNING id", []byte(body)).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// empty takes a store's content away, all but its log's id.
func empty(t *testing.T, schema string) {
	sql := "SET search_path = " + schema + `;
DROP VIEW IF EXISTS totals;
DROP TABLE IF EXISTS leat_totals_v1, leat_tables;`
	for _, table := range []string{"events", "streams", "inbox", "cursors", "relays", "leases", "parked", "outbox"} {
		sql += "DELETE FROM leat_" + table + ";"
	}
	pgtest.Shared(t).Exec(t, "", sql)
}

// TestLinearizable has two daemons on one log, whose sessions the server ends now and then.
func TestLinearizable(t *testing.T) {
	schema := pgtest.Schema()
	stores := []eventstore.Store{openStore(t, postgres.Config{Schema: schema}), openStore(t, postgres.Config{Schema: schema})}
	admin := pgtest.Shared(t).Conn(t, "")
	storetest.Linearizable(t, storetest.Linear{Stores: stores, Histories: 100, Break: func() {
		const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
		if _, err := admin.Exec(context.Background(), end); err != nil {
			t.Error(err)
		}
	}})
}
