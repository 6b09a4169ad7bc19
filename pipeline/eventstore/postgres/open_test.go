package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
)

// TestOpenRefuses: what stands in the way is said, and no password.
func TestOpenRefuses(t *testing.T) {
	server := pgtest.Shared(t)
	newer, latin := pgtest.Schema(), pgtest.Schema()
	server.Exec(t, "", postgres.Schema(newer)+"; INSERT INTO "+newer+".leat_schema (version) VALUES (99)")
	server.Exec(t, "", "CREATE DATABASE "+latin+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	for _, tt := range []struct {
		name string
		c    postgres.Config
		want error
		says string
	}{
		{"nobody listens", postgres.Config{DSN: "postgres://leat:s3cret@127.0.0.1:1/x"}, eventstore.ErrUnavailable, "127.0.0.1:1"},
		{"no such host", postgres.Config{DSN: "postgres://leat:s3cret@nowhere.invalid/x"}, eventstore.ErrUnavailable, "nowhere.invalid"},
		{"no such database", postgres.Config{DSN: server.Database("nope")}, eventstore.ErrUnavailable, "nope"},
		{"a bad port", postgres.Config{DSN: "postgres://leat:s3cret@localhost:s3cret/x"}, nil, "dsn"},
		{"no URL", postgres.Config{DSN: "postgres://leat:s3cret%zz@localhost/x"}, nil, "dsn"},
		{"pairs", postgres.Config{DSN: "host=localhost password=s3cret sslmode=s3cret"}, nil, "dsn"},
		{"nothing", postgres.Config{}, nil, "empty"},
		{"a newer schema", postgres.Config{DSN: server.DSN(), Schema: newer}, postgres.ErrSchema, "newer leat"},
		{"another encoding", postgres.Config{DSN: server.Database(latin)}, postgres.ErrSchema, "LATIN1"},
		{"read-only without a schema", postgres.Config{DSN: server.DSN(), Schema: "nope", ReadOnly: true}, postgres.ErrSchema, "version 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := postgres.Open(t.Context(), tt.c)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %v that says %q", err, tt.want, tt.says)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has the password in it: %v", err)
			}
		})
	}
}

// TestOpenTogether starts several daemons on a database that has no schema yet.
func TestOpenTogether(t *testing.T) {
	c := postgres.Config{DSN: pgtest.Shared(t).DSN(), Schema: pgtest.Schema()}
	var wg sync.WaitGroup
	ids := make([]string, 6)
	for i := range ids {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			h, err := s.Head(t.Context())
			if err != nil {
				t.Error(err)
			}
			ids[i] = h.LogID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("the log's ids are %q", ids)
		}
	}
}

// TestSchema makes the schema by hand, as `leat store init --print` shows it, under a role that may not do it itself.
func TestSchema(t *testing.T) {
	server, schema := pgtest.Shared(t), pgtest.Schema()
	server.Exec(t, "", postgres.Schema(schema))
	role := "role_" + schema
	server.Exec(t, "", `CREATE ROLE `+role+` LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC; GRANT USAGE ON SCHEMA `+schema+` TO `+role+`;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA `+schema+` TO `+role)
	s := openStore(t, postgres.Config{DSN: strings.Replace(server.DSN(), "leat:s3cret", role, 1), Schema: schema})
	commit(t, s, benchUnit(0, 3, 1))
	verify(t, s)
}

// TestSettings: the sessions that write are durable and bounded, whatever the role's settings are.
func TestSettings(t *testing.T) {
	server, role := pgtest.Shared(t), "careless_"+pgtest.Schema()
	server.Exec(t, "", "CREATE ROLE "+role+" LOGIN SUPERUSER; ALTER ROLE "+role+" SET synchronous_commit = off; ALTER ROLE "+role+" SET default_transaction_isolation = serializable")
	s := openStore(t, postgres.Config{DSN: strings.Replace(server.DSN(), "leat:s3cret", role, 1)})
	for name, want := range map[string]string{"synchronous_commit": "on", "idle_in_transaction_session_timeout": "5s", "lock_timeout": "15s"} {
		if got := postgres.Setting(t, s, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	commit(t, s, benchUnit(0, 3, 1), benchUnit(1, 3, 1))
	verify(t, s)
}

func TestReadOnly(t *testing.T) {
	s := openStore(t, postgres.Config{})
	commit(t, s, benchUnit(0, 3, 1))
	r := openStore(t, postgres.Config{Schema: postgres.SchemaOf(s), ReadOnly: true})
	u := benchUnit(9, 1, 1)
	if err := r.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); !errors.Is(err, eventstore.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	if _, err := r.Acquire(t.Context(), "l", "me", time.Second); !errors.Is(err, eventstore.ErrReadOnly) {
		t.Errorf("acquire: %v", err)
	}
	commit(t, s, u)
	if h, err := r.Head(t.Context()); err != nil || h.Position != 4 {
		t.Errorf("head %+v, %v", h, err)
	}
	verify(t, r)
}

// TestRestore dumps a log with what stands beside it, and restores it into another database: it is the same log.
func TestRestore(t *testing.T) {
	server := pgtest.Shared(t)
	schema := pgtest.Schema()
	s := openStore(t, postgres.Config{Schema: schema})
	for i := range 20 {
		commit(t, s, benchUnit(i, 10, 7))
	}
	if _, err := s.SetRelays(t.Context(), "p", []eventstore.RelaySpec{{ID: "r", Kind: "forward"}}); err != nil {
		t.Fatal(err)
	}
	l, err := s.Acquire(t.Context(), "r", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AdvanceRelay(t.Context(), eventstore.Advance{Relay: "r", Epoch: l.Epoch, To: 150}); err != nil {
		t.Fatal(err)
	}
	database := "restored_" + schema
	server.Exec(t, "", "CREATE DATABASE "+database)
	server.Tool(t, server.Tool(t, "", "pg_dump", "-n", schema, "postgres"), "psql", "-v", "ON_ERROR_STOP=1", "-q", database)

	r := openStore(t, postgres.Config{DSN: server.Database(database), Schema: schema})
	a, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, b); d != "" || a.Position != 200 {
		t.Errorf("the head differs (-dumped +restored):\n%s", d)
	}
	if err := r.AdvanceRelay(t.Context(), eventstore.Advance{Relay: "r", Epoch: l.Epoch, From: 150, To: 200}); err != nil {
		t.Errorf("the checkpoint and the lease go on: %v", err)
	}
	for next, err := range r.Subscribe(t.Context(), eventstore.SubscribeOptions{After: 150}) {
		if err != nil || next.Events[0].Position != 151 {
			t.Errorf("behind the checkpoint comes %+v, %v", next, err)
		}
		break
	}
	commit(t, r, benchUnit(20, 10, 7))
	verify(t, r)
}

// TestDamage changes what nobody may change.
func TestDamage(t *testing.T) {
	server := pgtest.Shared(t)
	for name, sql := range map[string]string{
		"a body":        "UPDATE leat_events SET body = body || ' ' WHERE position = 3",
		"an event gone": "DELETE FROM leat_events WHERE position = 3",
		"the end gone":  "INSERT INTO leat_relays VALUES ('r', 'p', '', '', '', 0, '', 6, 0, now(), now(), false, false); DELETE FROM leat_events WHERE position = 6",
		"a stream gone": "DELETE FROM leat_streams WHERE key = 2",
		"a stream more": "INSERT INTO leat_streams VALUES (4, 'x', 'y')",
		"a hash":        "UPDATE leat_events SET id_hash = 1 WHERE position = 4",
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, postgres.Config{})
			for i := range 6 {
				commit(t, s, benchUnit(i, 1, 2))
			}
			verify(t, s)
			server.Exec(t, "", "SET search_path = "+postgres.SchemaOf(s)+"; "+sql)
			faults := 0
			if v, err := s.Verify(t.Context(), func(eventstore.Fault) { faults++ }); err != nil || faults == 0 || v.Faults != int64(faults) {
				t.Errorf("%d faults, %+v, %v", faults, v, err)
			}
		})
	}
}

// TestNames keeps names that PostgreSQL's text cannot hold, and keys that its indexes cannot.
func TestNames(t *testing.T) {
	s := openStore(t, postgres.Config{})
	names := []event.Stream{{Type: "a\x00", ID: "\xff\xfe"}, {Type: "a\x1a00", ID: "é"}, {Type: "a", ID: strings.Repeat("x", 1000)}}
	for _, n := range names {
		u := &eventstore.Unit{Pipeline: "p\x00", Inbox: &eventstore.Mark{Key: strings.Repeat("k", 5000) + n.ID}, Appends: []eventstore.Append{{Stream: n, Events: []event.Event{{ID: "\x00\xff\x1a", Type: "\xff"}}}}}
		commit(t, s, u)
		if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Repeated {
			t.Errorf("again: %v, %+v", err, u.Result)
		}
		for r, err := range s.ReadStream(t.Context(), n, eventstore.ReadOptions{}) {
			if err != nil || r.Stream != n || r.ID != "\x00\xff\x1a" || r.Type != "\xff" {
				t.Errorf("%+v, %v", r, err)
			}
		}
	}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "a", ID: strings.Repeat("\x00", 1000)}, Events: []event.Event{{ID: "1"}}}}}
	if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || !errors.Is(u.Result.Err, eventstore.ErrTooLarge) {
		t.Errorf("%v, %+v", err, u.Result)
	}
	verify(t, s)
}

// TestPlugin opens the store as the YAML does.
func TestPlugin(t *testing.T) {
	p := config.Plugin{Name: "postgres", Config: postgres.Settings{DSN: config.NewSecret(pgtest.Shared(t).DSN()), Schema: pgtest.Schema()}}
	s, err := eventstore.Open(t.Context(), p, eventstore.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Acquire(t.Context(), "l", "me", time.Minute)
	if err != nil || time.Until(l.Until) > 2*time.Minute {
		t.Errorf("a lease by the database's clock: %+v, %v", l, err)
	}
}
