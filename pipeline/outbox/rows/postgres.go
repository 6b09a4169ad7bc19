package rows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// PostgresSchema makes an outbox; table is quoted.
func PostgresSchema(table string) string {
	return "CREATE TABLE IF NOT EXISTS " + table + ` (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id text NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(),
  body bytea NOT NULL
)`
}

// Querier is a pool of connections, or one.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Postgres is an outbox in PostgreSQL. It is safe for concurrent use.
type Postgres struct {
	db      Querier
	connect func(ctx context.Context) (*pgx.Conn, error)
	table   string

	listening sync.Mutex
	c         *pgx.Conn
}

var _ eventstore.Outbox = (*Postgres)(nil)

// NewPostgres opens nothing. Connect makes the connection that listens for new rows; table is quoted.
func NewPostgres(db Querier, connect func(ctx context.Context) (*pgx.Conn, error), table string) *Postgres {
	return &Postgres{db: db, connect: connect, table: table}
}

// ReadOutbox implements eventstore.Outbox.
func (p *Postgres) ReadOutbox(ctx context.Context, but []int64, most, bytes int) (out []eventstore.OutboxRow, err error) {
	if but == nil {
		but = []int64{}
	}
	rows, err := p.db.Query(ctx, "SELECT id, written, body FROM "+p.table+" WHERE NOT (id = ANY ($1)) ORDER BY id LIMIT $2", but, most)
	if err != nil {
		return nil, fmt.Errorf("outbox: read: %w", err)
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		var r eventstore.OutboxRow
		if err := rows.Scan(&r.ID, &r.Written, &r.Body); err != nil {
			return nil, fmt.Errorf("outbox: read: %w", err)
		}
		if size += len(r.Body); len(out) > 0 && size > bytes {
			break
		}
		out = append(out, r)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("outbox: read: %w", err)
	}
	return out, nil
}

// DropOutbox implements eventstore.Outbox.
func (p *Postgres) DropOutbox(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := p.db.Exec(ctx, "DELETE FROM "+p.table+" WHERE id = ANY ($1)", ids); err != nil {
		return fmt.Errorf("outbox: drop: %w", err)
	}
	return nil
}

// WaitOutbox implements eventstore.Outbox. The first call returns at once: from then on every new row wakes one.
func (p *Postgres) WaitOutbox(ctx context.Context) error {
	p.listening.Lock()
	defer p.listening.Unlock()
	if p.c == nil || p.c.IsClosed() {
		c, err := p.connect(ctx)
		if err != nil {
			return fmt.Errorf("outbox: listen: %w", err)
		}
		if _, err := c.Exec(ctx, "LISTEN "+Channel); err != nil {
			shut(c)
			return fmt.Errorf("outbox: listen: %w", err)
		}
		p.c = c
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := p.c.WaitForNotification(wait)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil || (wait.Err() != nil && !p.c.IsClosed()):
		return nil
	}
	shut(p.c)
	p.c = nil
	return fmt.Errorf("outbox: listen: %w", err)
}

// Close ends the connection that listens.
func (p *Postgres) Close() {
	p.listening.Lock()
	defer p.listening.Unlock()
	if p.c != nil {
		shut(p.c)
		p.c = nil
	}
}

func shut(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}
