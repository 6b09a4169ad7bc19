package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/outbox/rows"
)

// application is SQLite's application_id of the file: "leat".
const application = 0x6c656174

// migrations make the schema, one step for each version. Each runs in a transaction of its own together with the row
// that notes it, so that a start that was killed goes on where it stopped. A step is never changed once it is released.
//
// The tables have a prefix because read models lie in the same file under the names that people gave them.
var migrations = []string{
	// leat_events is the log, and all that a commit must write for its events. A row names its stream in words, so that
	// readers need no other table. body is the event as it came; shape says where in it the payload
	// is (see row.go). leat_log_view shows the payload alone.
	//
	// leat_streams, leat_revisions and leat_ids are the log's index: complete up to leat_log.indexed, and perhaps
	// beyond. What is behind that is found again from the log when the store is opened (see index.go).
	`CREATE TABLE leat_events (
		position INTEGER PRIMARY KEY,
		stream_type TEXT NOT NULL, stream_id TEXT NOT NULL, revision INTEGER NOT NULL,
		type TEXT NOT NULL, origin TEXT NOT NULL, committed INTEGER NOT NULL,
		id TEXT NOT NULL, source TEXT, subject TEXT, time NOT NULL,
		crc INTEGER NOT NULL, shape INTEGER NOT NULL,
		metadata BLOB, body BLOB);
	CREATE TABLE leat_log (
		one INTEGER PRIMARY KEY CHECK (one = 1),
		log_id TEXT NOT NULL, head INTEGER NOT NULL, committed INTEGER NOT NULL, indexed INTEGER NOT NULL);
	CREATE TABLE leat_streams (
		key INTEGER PRIMARY KEY,
		type TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, first INTEGER NOT NULL, position INTEGER NOT NULL,
		created INTEGER NOT NULL, updated INTEGER NOT NULL,
		UNIQUE (type, id));
	CREATE TABLE leat_revisions (
		stream INTEGER NOT NULL, first INTEGER NOT NULL, positions BLOB NOT NULL,
		PRIMARY KEY (stream, first)) WITHOUT ROWID;
	CREATE TABLE leat_ids (
		segment INTEGER NOT NULL, bucket INTEGER NOT NULL, entries BLOB NOT NULL,
		PRIMARY KEY (segment, bucket)) WITHOUT ROWID;
	CREATE TABLE leat_inbox (
		pipeline TEXT NOT NULL, key TEXT NOT NULL, hash INTEGER NOT NULL, at INTEGER NOT NULL,
		PRIMARY KEY (pipeline, key)) WITHOUT ROWID;
	CREATE TABLE leat_cursors (
		pipeline TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
		PRIMARY KEY (pipeline, key)) WITHOUT ROWID;
	CREATE TABLE leat_relays (
		id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, definition TEXT NOT NULL,
		from_position INTEGER NOT NULL, was TEXT NOT NULL, position INTEGER NOT NULL, epoch INTEGER NOT NULL,
		created INTEGER NOT NULL, updated INTEGER NOT NULL, removed INTEGER NOT NULL, paused INTEGER NOT NULL) WITHOUT ROWID;
	CREATE TABLE leat_leases (
		name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
	CREATE TABLE leat_parked (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		pipeline TEXT NOT NULL, step TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL,
		reason TEXT NOT NULL, stack TEXT NOT NULL, attempts INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		trace_id TEXT NOT NULL, relay TEXT NOT NULL, stream_type TEXT NOT NULL, stream_id TEXT NOT NULL, position INTEGER NOT NULL,
		event_id TEXT NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL, envelope INTEGER NOT NULL, edited INTEGER NOT NULL,
		metadata BLOB, payload BLOB,
		UNIQUE (pipeline, step, key));
	CREATE VIEW leat_log_view AS SELECT position, stream_type || '/' || stream_id AS stream, revision, type, id, source, subject,
		origin, strftime('%Y-%m-%dT%H:%M:%fZ', committed / 1e6, 'unixepoch') AS committed,
		CAST(substr(body, (shape >> 8 & 0x7ffffff) + 1, shape >> 35 & 0x7ffffff) AS TEXT) AS data, CAST(metadata AS TEXT) AS metadata FROM leat_events;`,
	// leat_outbox is written by applications, in transactions of theirs; a commit to the log takes its rows away. No id is
	// given twice.
	rows.SQLiteSchema(rows.Table),
}

// migrate brings the schema to this program's version.
func migrate(ctx context.Context, c *sql.Conn, now time.Time) error {
	version, err := schemaVersion(ctx, c)
	if err != nil {
		return err
	}
	if version == 0 {
		if err := isFresh(ctx, c); err != nil {
			return err
		}
	}
	// Only now, so that a file of somebody else is as it was.
	if _, err := c.ExecContext(ctx, "PRAGMA journal_mode = wal"); err != nil {
		return classify(err)
	}
	for v := version; v < len(migrations); v++ {
		if err := step(ctx, c, v, now); err != nil {
			return fmt.Errorf("sqlite: bring the schema to version %d: %w", v+1, classify(err))
		}
	}
	return nil
}

// Schema gives the statements that make the schema from nothing, for those who let nobody but themselves run them; what
// Open finds made, it does not make. The log's id is made anew with each call.
func Schema() string {
	var b strings.Builder
	b.WriteString("PRAGMA journal_mode = wal;\nBEGIN IMMEDIATE;\n")
	fmt.Fprintf(&b, createVersions+";\n", application)
	now := time.Now().UTC().Format(time.RFC3339)
	for v, m := range migrations {
		b.WriteString(strings.TrimSuffix(m, ";") + ";\n")
		if v == 0 {
			fmt.Fprintf(&b, "INSERT INTO leat_log VALUES (1, '%s', 0, 0, 0);\n", uuid.NewString())
		}
		fmt.Fprintf(&b, "INSERT INTO leat_schema VALUES (%d, '%s');\n", v+1, now)
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

const createVersions = "CREATE TABLE leat_schema (version INTEGER PRIMARY KEY, applied TEXT NOT NULL); PRAGMA application_id = %d"

func step(ctx context.Context, c *sql.Conn, v int, now time.Time) (err error) {
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = c.ExecContext(ctx, "ROLLBACK")
		}
	}()
	if v == 0 {
		if _, err := c.ExecContext(ctx, fmt.Sprintf(createVersions, application)); err != nil {
			return err
		}
	}
	if _, err := c.ExecContext(ctx, migrations[v]); err != nil {
		return err
	}
	if v == 0 {
		if _, err := c.ExecContext(ctx, "INSERT INTO leat_log VALUES (1, ?, 0, 0, 0)", uuid.NewString()); err != nil {
			return err
		}
	}
	if _, err := c.ExecContext(ctx, "INSERT INTO leat_schema VALUES (?, ?)", v+1, now.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "COMMIT")
	return err
}

// schemaVersion gives the version of the file's schema, 0 where it has none; one that is newer than this program is
// refused.
func schemaVersion(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (int, error) {
	var n, version int
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'leat_schema'").Scan(&n); err != nil {
		return 0, classify(err)
	}
	if n == 0 {
		return 0, nil
	}
	if err := q.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM leat_schema").Scan(&version); err != nil {
		return 0, classify(err)
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("%w: its schema is version %d, this program knows version %d: use a newer leat", ErrSchema, version, len(migrations))
	}
	return version, nil
}

// isFresh refuses a database that is somebody else's.
func isFresh(ctx context.Context, c *sql.Conn) error {
	var n int
	if err := c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return classify(err)
	}
	if n > 0 {
		return fmt.Errorf("%w: it is a SQLite database of another program (%d tables and indexes, none of them leat's)", ErrSchema, n)
	}
	return nil
}

// ErrSchema says that the file holds something else than this program can use; nothing was changed in it.
var ErrSchema = errors.New("sqlite: this is no event store for this program")
