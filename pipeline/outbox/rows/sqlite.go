package rows

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// SQLiteSchema makes an outbox; table is quoted. AUTOINCREMENT, as no id may be given twice.
func SQLiteSchema(table string) string {
	return "CREATE TABLE IF NOT EXISTS " + table + ` (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL,
  written TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  body BLOB NOT NULL
)`
}

// look is how often a SQLite file is asked whether somebody has written: SQLite tells nobody by itself.
const look = 50 * time.Millisecond

// SQLite is an outbox in a SQLite file. It is safe for concurrent use.
type SQLite struct {
	db    *sql.DB
	table string
	write func(ctx context.Context, query string, args ...any) error

	seen int64 // data_version of c
	c    chan *sql.Conn
}

var _ eventstore.Outbox = (*SQLite)(nil)

// NewSQLite reads by db. Write runs a statement that writes; nil: on db. Table is quoted.
func NewSQLite(db *sql.DB, table string, write func(ctx context.Context, query string, args ...any) error) *SQLite {
	if write == nil {
		write = func(ctx context.Context, query string, args ...any) error {
			_, err := db.ExecContext(ctx, query, args...)
			return err
		}
	}
	s := &SQLite{db: db, table: table, write: write, seen: -1, c: make(chan *sql.Conn, 1)}
	s.c <- nil
	return s
}

// ReadOutbox implements eventstore.Outbox.
func (s *SQLite) ReadOutbox(ctx context.Context, but []int64, most, bytes int) (out []eventstore.OutboxRow, err error) {
	query := "SELECT id, written, body FROM " + s.table
	if len(but) > 0 {
		query += " WHERE id NOT IN (" + list(but) + ")"
	}
	rows, err := s.db.QueryContext(ctx, query+" ORDER BY id LIMIT ?", most)
	if err != nil {
		return nil, fmt.Errorf("outbox: read: %w", err)
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		var r eventstore.OutboxRow
		var written string
		if err := rows.Scan(&r.ID, &written, &r.Body); err != nil {
			return nil, fmt.Errorf("outbox: read: %w", err)
		}
		r.Written, _ = time.Parse(time.RFC3339Nano, written) // it is for people
		if size += len(r.Body); len(out) > 0 && size > bytes {
			break
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("outbox: read: %w", err)
	}
	return out, nil
}

// DropOutbox implements eventstore.Outbox.
func (s *SQLite) DropOutbox(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	if err := s.write(ctx, "DELETE FROM "+s.table+" WHERE id IN ("+list(ids)+")"); err != nil {
		return fmt.Errorf("outbox: drop: %w", err)
	}
	return nil
}

// WaitOutbox implements eventstore.Outbox.
func (s *SQLite) WaitOutbox(ctx context.Context) (err error) {
	var c *sql.Conn
	select {
	case c = <-s.c:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.c <- c }()
	if c == nil {
		if c, err = s.db.Conn(ctx); err != nil {
			return fmt.Errorf("outbox: watch: %w", err)
		}
		s.seen = -1
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		var version int64
		if err := c.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			_ = c.Close()
			c = nil
			return fmt.Errorf("outbox: watch: %w", err)
		}
		if version != s.seen {
			s.seen = version
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the connection that watches the file.
func (s *SQLite) Close() {
	if c := <-s.c; c != nil {
		_ = c.Close()
	}
	s.c <- nil
}

// list writes numbers down: SQLite bounds the count of arguments, not the length of a list.
func list(ids []int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, id)
	}
	return b.String()
}
