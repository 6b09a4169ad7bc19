package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
)

func openStore(t testing.TB, c sqlite.Config) *sqlite.Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := sqlite.Open(t.Context(), c)
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

func TestStore(t *testing.T) { run(t, "full") }

// TestStoreShortTail runs the suite with an index that is written to its tables all the time, so that everything is
// found in each of the places where it may be.
func TestStoreShortTail(t *testing.T) {
	sqlite.ShortTail(t.Cleanup)
	run(t, "relaxed")
}

// putOutbox writes to the outbox as another program does.
func putOutbox(t testing.TB, s eventstore.Store, body string) (id int64) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(sqlite.Dir(s.(*sqlite.Store)), sqlite.File)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "INSERT INTO leat_outbox (event_id, body) VALUES ('e', ?) RETURNING id", []byte(body)).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func run(t *testing.T, durability string) {
	storetest.Run(t, storetest.Features{Durable: true, NoReplicas: true, PutOutbox: putOutbox}, func(t *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		c := sqlite.Config{Dir: t.TempDir(), Now: now, Durability: durability}
		s := openStore(t, c)
		return s, func() eventstore.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, c)
			return s
		}
	})
}

func TestLinearizable(t *testing.T) {
	s := openStore(t, sqlite.Config{})
	storetest.Linearizable(t, storetest.Linear{Stores: []eventstore.Store{s}, Histories: 150})
}
