package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/outbox/rows"
)

// migrations make the schema, one step for each version. Each runs in a transaction of its own together with the row
// that notes it, so that a start that was killed goes on where it stopped. A step is never changed once it is released.
//
// The tables have a prefix because read models lie in the same schema under the names that people gave them. Nothing
// that an append writes is ever updated or deleted: the log leaves no dead rows behind, however long some other
// transaction holds its snapshot.
var migrations = []string{
	// leat_log has one row: whoever locks it may append. It is never updated; where the log ends, its last event says.
	//
	// A stream's key is the position of its first event; its revision is that of its last one. In leat_events body is
	// the event as it came, with the payload at data_at; where the payload is no part of it, it lies behind (see shape
	// in row.go). leat_log_view shows the payload alone.
	`CREATE TABLE leat_log (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  log_id text NOT NULL
);
CREATE TABLE leat_streams (
  key bigint PRIMARY KEY,
  type text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  UNIQUE (type, id)
);
CREATE TABLE leat_events (
  position bigint PRIMARY KEY,
  stream bigint NOT NULL,
  revision bigint NOT NULL,
  id_hash bigint NOT NULL,
  committed timestamptz NOT NULL,
  time timestamptz NOT NULL,
  crc integer NOT NULL,
  shape integer NOT NULL,
  data_at integer NOT NULL,
  data_len integer NOT NULL,
  stream_type text COLLATE "C" NOT NULL,
  stream_id text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  origin text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  metadata bytea,
  body bytea
);
CREATE UNIQUE INDEX leat_events_revision ON leat_events (stream, revision);
CREATE INDEX leat_events_id ON leat_events (stream, id_hash);
CREATE TABLE leat_inbox (
  pipeline text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  hash bigint NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (pipeline, key)
);
CREATE TABLE leat_cursors (
  pipeline text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (pipeline, key)
) WITH (fillfactor = 50);
CREATE TABLE leat_relays (
  id text COLLATE "C" PRIMARY KEY,
  pipeline text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  target text NOT NULL,
  definition text NOT NULL,
  from_position bigint NOT NULL,
  was text NOT NULL,
  position bigint NOT NULL,
  epoch bigint NOT NULL,
  created timestamptz NOT NULL,
  updated timestamptz NOT NULL,
  removed boolean NOT NULL,
  paused boolean NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE leat_leases (
  name text COLLATE "C" PRIMARY KEY,
  owner text NOT NULL,
  epoch bigint NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE leat_parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pipeline text COLLATE "C" NOT NULL,
  step text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  state text NOT NULL,
  code text NOT NULL,
  reason text NOT NULL,
  stack text NOT NULL,
  attempts bigint NOT NULL,
  first timestamptz NOT NULL,
  last timestamptz NOT NULL,
  trace_id text NOT NULL,
  relay text NOT NULL,
  stream_type text COLLATE "C" NOT NULL,
  stream_id text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  event_id text NOT NULL,
  type text NOT NULL,
  source text NOT NULL,
  envelope smallint NOT NULL,
  edited boolean NOT NULL,
  metadata bytea,
  payload bytea,
  UNIQUE (pipeline, step, key)
);
CREATE VIEW leat_log_view AS
  SELECT position, stream_type || '/' || stream_id AS stream, revision, type, id, source, subject, time, origin, committed,
    substr(body, data_at + 1, data_len) AS data, metadata
  FROM leat_events;
`,
	// Who runs which pipeline, and the order in which its definitions came.
	`CREATE TABLE leat_definitions (
  pipeline text COLLATE "C" NOT NULL,
  definition text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  PRIMARY KEY (pipeline, definition)
);
CREATE TABLE leat_replicas (
  pipeline text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL,
  definition text COLLATE "C" NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (pipeline, owner)
) WITH (fillfactor = 50);
`,
	// leat_outbox is written by applications, in transactions of theirs; a commit to the log takes its rows away.
	rows.PostgresSchema(rows.Table) + ";\n",
}

// Schema gives the statements that make the schema from nothing, for those who let nobody but themselves run DDL; what
// Open finds made, it does not make. They run in one transaction. The log's id is made anew with each call.
func Schema(schema string) string {
	if schema == "" {
		schema = "leat"
	}
	var b strings.Builder
	q := quote(schema)
	fmt.Fprintf(&b, "BEGIN;\nCREATE SCHEMA IF NOT EXISTS %s;\nSET LOCAL search_path = %s;\n", q, q)
	b.WriteString(createVersions + ";\n")
	for v, m := range migrations {
		b.WriteString(m)
		if v == 0 {
			fmt.Fprintf(&b, "INSERT INTO leat_log (log_id) VALUES ('%s');\n", uuid.NewString())
		}
		fmt.Fprintf(&b, "INSERT INTO leat_schema (version) VALUES (%d);\n", v+1)
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

const createVersions = "CREATE TABLE leat_schema (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"

// quote makes a name an identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// checkServer refuses what cannot keep the store's promises.
func checkServer(ctx context.Context, q querier) error {
	var encoding string
	var version int
	if err := q.QueryRow(ctx, "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int").Scan(&encoding, &version); err != nil {
		return err
	}
	if encoding != "UTF8" && encoding != "SQL_ASCII" {
		return fmt.Errorf("%w: the database's encoding is %s, it must be UTF8", ErrSchema, encoding)
	}
	if version < 150000 {
		return fmt.Errorf("%w: the server is PostgreSQL %d, at least 15 is needed", ErrSchema, version/10000)
	}
	return nil
}

// schemaVersion gives the version of the schema, 0 where it is not there; one that is newer than this program is refused.
func schemaVersion(ctx context.Context, q querier, schema string) (version int, err error) {
	// Not to_regclass: what it has once not found, it does not find behind a lock that was waited for.
	var there bool
	if err := q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'leat_schema')", schema).Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM leat_schema").Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("%w: its schema is version %d, this program knows version %d: use a newer leat", ErrSchema, version, len(migrations))
	}
	return version, nil
}

// checkSchema is for a store that is opened for reading.
func checkSchema(ctx context.Context, c *pgx.Conn, schema string) error {
	if err := checkServer(ctx, c); err != nil {
		return err
	}
	version, err := schemaVersion(ctx, c, schema)
	if err == nil && version < len(migrations) {
		err = fmt.Errorf("%w: its schema is version %d, this program needs version %d; a daemon that writes brings it there", ErrSchema, version, len(migrations))
	}
	return err
}

// migrate brings the schema to this program's version. Of several daemons that start together one does it, and the
// others wait.
func migrate(ctx context.Context, c *pgx.Conn, schema string) error {
	if err := checkServer(ctx, c); err != nil {
		return err
	}
	for {
		version, err := schemaVersion(ctx, c, schema)
		if err != nil || version == len(migrations) {
			return err
		}
		if err := step(ctx, c, schema); err != nil {
			return fmt.Errorf("bring the schema from version %d to %d: %w", version, version+1, err)
		}
	}
}

// step makes one step, unless somebody else has made it while we waited for the lock.
func step(ctx context.Context, c *pgx.Conn, schema string) (err error) {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
		}
	}()
	// The key is by the schema's name, so that stores in one database do not wait for each other.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(1818583412, hashtext($1))", schema); err != nil {
		return err
	}
	v, err := schemaVersion(ctx, tx, schema)
	if err != nil {
		return err
	}
	if v == len(migrations) {
		return tx.Commit(ctx)
	}
	if v == 0 {
		// Not IF NOT EXISTS, which wants the right to create schemas where there is nothing to create.
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there); err != nil {
			return err
		}
		if !there {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quote(schema)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, createVersions); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, migrations[v], pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	if v == 0 {
		if _, err := tx.Exec(ctx, "INSERT INTO leat_log (log_id) VALUES ($1)", uuid.NewString()); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "INSERT INTO leat_schema (version) VALUES ($1)", v+1); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
