package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/poison"
)

// Querier reads what is committed: a *pgxpool.Pool. Unqualified names must mean the schema of the tables.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Conn is an open transaction: a pgx.Tx, or a *pgx.Conn on which the caller has begun one.
type Conn interface {
	Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// WriteFunc runs fn in a transaction of its own and commits it, or rolls back where fn fails. It gives fn's error so
// that errors.Is finds it. It is safe for concurrent use.
type WriteFunc func(ctx context.Context, fn func(Conn) error) error

// ParkFunc adds and removes parked entries in the transaction that it is given. An entry to remove that is not there
// is table.ErrGone.
type ParkFunc func(ctx context.Context, c Conn, park []poison.Entry, unpark []int64) error

var (
	_ Conn = (pgx.Tx)(nil)
	_ Conn = (*pgx.Conn)(nil)
)
