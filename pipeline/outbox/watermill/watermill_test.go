package watermill_test

import (
	stdsql "database/sql"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/outbox"
	"github.com/leatdev/leat/pipeline/outbox/rows"
	"github.com/leatdev/leat/pipeline/outbox/watermill"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestPublisher publishes with watermill-sql's own publisher in transactions, one of which is rolled back.
func TestPublisher(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (box eventstore.Outbox, a sql.SchemaAdapter, begin func() (sql.ContextExecutor, func(bool) error)){
		"pgx": func(t *testing.T) (eventstore.Outbox, sql.SchemaAdapter, func() (sql.ContextExecutor, func(bool) error)) {
			server, schema := pgtest.Shared(t), pgtest.Schema()
			server.Exec(t, "", "CREATE SCHEMA "+schema)
			pool, err := pgxpool.New(t.Context(), server.DSN()+"&search_path="+schema)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			if err := outbox.Create(t.Context(), outbox.Postgres(pool), ""); err != nil {
				t.Fatal(err)
			}
			return rows.NewPostgres(pool, nil, rows.Table), watermill.Postgres(options), func() (sql.ContextExecutor, func(bool) error) {
				tx, err := pool.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return sql.TxFromPgx(tx), func(commit bool) error {
					if commit {
						return tx.Commit(t.Context())
					}
					return tx.Rollback(t.Context())
				}
			}
		},
		"sqlite": func(t *testing.T) (eventstore.Outbox, sql.SchemaAdapter, func() (sql.ContextExecutor, func(bool) error)) {
			db, err := stdsql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "shop.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			a := watermill.SQLite(options)
			queries, err := a.SchemaInitializingQueries(sql.SchemaInitializingQueriesParams{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), queries[0].Query); err != nil {
				t.Fatal(err)
			}
			return rows.NewSQLite(db, rows.Table, nil), a, func() (sql.ContextExecutor, func(bool) error) {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				return sql.TxFromStdSQL(tx), func(commit bool) error {
					if commit {
						return tx.Commit()
					}
					return tx.Rollback()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			box, adapter, begin := open(t)
			for i, commit := range []bool{false, true} {
				tx, end := begin()
				p, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: adapter}, nil)
				if err != nil {
					t.Fatal(err)
				}
				one := message.NewMessage("m-1", message.Payload(`{"n":1}`))
				one.Metadata = message.Metadata{"Correlation-ID": "c", "subject": "order/1"}
				two := message.NewMessage("m-2", message.Payload(`{"n":2}`))
				two.Metadata = message.Metadata{"time": "2026-01-01T00:00:00Z", "source": "other", "id": "ignored"}
				if err := p.Publish("OrderPlaced", one, two); err != nil {
					t.Fatal(err)
				}
				if err := p.Publish("OrderPlaced", message.NewMessage("m-3", message.Payload(`{`))); err == nil {
					t.Error("a payload that is no JSON is published")
				}
				if err := end(commit); err != nil {
					t.Fatal(i, err)
				}
			}
			found, err := box.ReadOutbox(t.Context(), nil, 100, math.MaxInt)
			if err != nil {
				t.Fatal(err)
			}
			type row struct{ ID, Source, Type, Subject, Correlation, Data, Time string }
			var got []row
			for _, r := range found {
				e := event.Event{Raw: r.Body}
				if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
					t.Fatal(err)
				}
				codec.FillMetadata(&e)
				got = append(got, row{e.ID, e.Source, e.Type, e.Subject, e.Meta("correlationid"), string(e.Data), e.Time.Format(time.RFC3339)})
			}
			want := []row{
				{"m-1", "shop", "OrderPlaced", "order/1", "c", `{"n":1}`, "2026-03-01T12:00:00Z"},
				{"m-2", "other", "OrderPlaced", "", "", `{"n":2}`, "2026-01-01T00:00:00Z"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

var options = watermill.Options{Source: "shop", Now: func() time.Time { return now }}

func TestRaw(t *testing.T) {
	a := watermill.SQLite(watermill.Options{Raw: true, Table: "shop.box"})
	q, err := a.InsertQuery(sql.InsertQueryParams{Topic: "x", Msgs: message.Messages{message.NewMessage("m", message.Payload("as it is"))}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"m", []byte("as it is")}, q.Args); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoSubscriber(t *testing.T) {
	a := watermill.Postgres(options)
	if _, err := a.SelectQuery(sql.SelectQueryParams{}); !errors.Is(err, watermill.ErrNoSubscriber) {
		t.Error(err)
	}
	if _, err := a.UnmarshalMessage(sql.UnmarshalMessageParams{}); !errors.Is(err, watermill.ErrNoSubscriber) {
		t.Error(err)
	}
	for _, m := range []*message.Message{
		{UUID: "", Payload: []byte("{}")},
		{UUID: "m", Payload: []byte("{}"), Metadata: message.Metadata{"source": ""}},
		{UUID: "m", Payload: []byte("{}"), Metadata: message.Metadata{"time": "yesterday"}},
	} {
		if _, err := a.InsertQuery(sql.InsertQueryParams{Topic: "x", Msgs: message.Messages{m}}); err == nil {
			t.Errorf("%+v is taken", m)
		}
	}
}
