package sqlite

import (
	"context"
	"database/sql"

	"github.com/leatdev/leat/pipeline/poison"
)

// Querier reads what is committed: a *sql.DB whose connections need not be able to write.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Conn is an open transaction: a *sql.Tx, or a *sql.Conn on which the caller has begun one.
type Conn interface {
	Querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// WriteFunc runs fn in a write transaction of its own (BEGIN IMMEDIATE) and commits it, or rolls back where fn fails.
// It gives fn's error so that errors.Is finds it. It is safe for concurrent use: writers wait for each other.
type WriteFunc func(ctx context.Context, fn func(Conn) error) error

// ParkFunc adds and removes parked entries in the transaction that it is given. An entry to remove that is not there
// is table.ErrGone.
type ParkFunc func(ctx context.Context, c Conn, park []poison.Entry, unpark []int64) error

var (
	_ Conn = (*sql.Tx)(nil)
	_ Conn = (*sql.Conn)(nil)
)
