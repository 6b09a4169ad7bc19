// Package watermill lets applications that publish with watermill-sql's publisher write into an outbox: in the
// transaction that they give it, as they are used to.
//
//	publisher, err := sql.NewPublisher(sql.TxFromPgx(tx), sql.PublisherConfig{
//		SchemaAdapter: watermill.Postgres(watermill.Options{Source: "shop.orders"}),
//	}, logger)
//	err = publisher.Publish("OrderPlaced", message.NewMessage(id, payload))
//
// Only its publisher is used. Its subscribers hold one transaction open for a message, and take away what was never
// handed out when they stop in the middle of a batch (v4.1.2, queue_offsets_adapter_postgresql.go:42); leat's `outbox`
// source reads the rows instead.
package watermill

import (
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/outbox/rows"
)

// Options are a schema's.
type Options struct {
	// Source is the events' source. A message's metadata "source" goes before it.
	Source string
	// Table is the outbox, table or schema.table; "": leat_outbox.
	Table string
	// Raw writes payloads as they are: they are events in an envelope already (EventBridge's, CloudEvents').
	Raw bool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Postgres is a schema for an outbox in PostgreSQL.
func Postgres(o Options) sql.SchemaAdapter {
	return &schema{o: o, create: rows.PostgresSchema, insert: rows.InsertPostgres}
}

// SQLite is a schema for an outbox in a SQLite file.
func SQLite(o Options) sql.SchemaAdapter {
	return &schema{o: o, create: rows.SQLiteSchema, insert: rows.InsertSQLite}
}

type schema struct {
	o      Options
	create func(table string) string
	insert func(table string, ids []string, bodies [][]byte) (string, []any)
}

// InsertQuery implements sql.SchemaAdapter. A message becomes a CloudEvent: its UUID is the id, the topic the type, its
// payload, which must be JSON, the data; metadata becomes extension attributes, in lower case as those are, and
// "subject" and "time" (RFC 3339) what they say.
func (s *schema) InsertQuery(p sql.InsertQueryParams) (sql.Query, error) {
	table, err := rows.Quote(s.o.Table)
	if err != nil {
		return sql.Query{}, err
	}
	ids, bodies := make([]string, len(p.Msgs)), make([][]byte, len(p.Msgs))
	for i, m := range p.Msgs {
		ids[i] = m.UUID
		if bodies[i] = m.Payload; s.o.Raw {
			continue
		}
		if bodies[i], err = s.body(p.Topic, m); err != nil {
			return sql.Query{}, fmt.Errorf("outbox: message %s: %w", m.UUID, err)
		}
	}
	query, args := s.insert(table, ids, bodies)
	return sql.Query{Query: query, Args: args}, nil
}

func (s *schema) body(topic string, m *message.Message) ([]byte, error) {
	now := s.o.Now
	if now == nil {
		now = time.Now
	}
	e := map[string]any{
		"specversion": "1.0", "id": m.UUID, "source": s.o.Source, "type": topic, "time": now().UTC().Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "data": json.RawMessage(m.Payload),
	}
	for k, v := range m.Metadata {
		name := attribute(k)
		if slices.Contains([]string{"specversion", "id", "datacontenttype", "data"}, name) {
			continue
		}
		e[name] = v
	}
	switch {
	case m.UUID == "":
		return nil, errors.New("it has no UUID")
	case e["source"] == "":
		return nil, errors.New("it has no source: set Options.Source")
	case !json.Valid(m.Payload):
		return nil, errors.New("its payload is no JSON")
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); err != nil {
		return nil, fmt.Errorf("its time is none: %w", err)
	}
	return json.Marshal(e)
}

// attribute makes a name of metadata one of CloudEvents: lower-case letters and digits.
func attribute(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, name)
}

// SchemaInitializingQueries implements sql.SchemaAdapter: it makes the outbox where it is missing.
func (s *schema) SchemaInitializingQueries(sql.SchemaInitializingQueriesParams) ([]sql.Query, error) {
	table, err := rows.Quote(s.o.Table)
	return []sql.Query{{Query: s.create(table)}}, err
}

// ErrNoSubscriber says that leat reads the outbox.
var ErrNoSubscriber = errors.New("outbox: leat's outbox source reads the outbox; watermill-sql only writes it")

// SelectQuery implements sql.SchemaAdapter by refusing.
func (s *schema) SelectQuery(sql.SelectQueryParams) (sql.Query, error) {
	return sql.Query{}, ErrNoSubscriber
}

// UnmarshalMessage implements sql.SchemaAdapter by refusing.
func (s *schema) UnmarshalMessage(sql.UnmarshalMessageParams) (sql.Row, error) {
	return sql.Row{}, ErrNoSubscriber
}

// SubscribeIsolationLevel implements sql.SchemaAdapter.
func (s *schema) SubscribeIsolationLevel() stdsql.IsolationLevel { return stdsql.LevelDefault }
