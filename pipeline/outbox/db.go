package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/outbox/rows"
)

// DB is a database with an outbox, or a transaction in one: see Postgres, PostgresSQL and SQLite.
type DB interface {
	insert(ctx context.Context, table string, ids []string, bodies [][]byte) error
	create(ctx context.Context, table string) error
}

// PgxConn is what pgx's pools, connections and transactions have in common.
type PgxConn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// SQLConn is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type SQLConn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Postgres is PostgreSQL by pgx: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
func Postgres(c PgxConn) DB {
	return postgres{func(ctx context.Context, query string, args ...any) error {
		_, err := c.Exec(ctx, query, args...)
		return err
	}}
}

// PostgresSQL is PostgreSQL by database/sql: a *sql.DB, *sql.Conn or *sql.Tx, of whatever driver.
func PostgresSQL(c SQLConn) DB {
	return postgres{func(ctx context.Context, query string, args ...any) error {
		_, err := c.ExecContext(ctx, query, args...)
		return err
	}}
}

// SQLite is a SQLite file by database/sql: a *sql.DB, *sql.Conn or *sql.Tx, of whatever driver.
func SQLite(c SQLConn) DB { return sqlite{c} }

// Create makes the outbox where it is missing.
func Create(ctx context.Context, db DB, table string) error {
	q, err := rows.Quote(table)
	if err != nil {
		return err
	}
	if err := db.create(ctx, q); err != nil {
		return fmt.Errorf("outbox: create: %w", err)
	}
	return nil
}

// PostgresSchema gives the statement that makes the outbox in PostgreSQL, for migrations; table as in Options.
func PostgresSchema(table string) (string, error) {
	q, err := rows.Quote(table)
	return rows.PostgresSchema(q), err
}

// SQLiteSchema gives the statement that makes the outbox in a SQLite file, for migrations; table as in Options.
func SQLiteSchema(table string) (string, error) {
	q, err := rows.Quote(table)
	return rows.SQLiteSchema(q), err
}

// MaxBatch is how many events one call takes: they are one statement, so that they are all written or none.
const MaxBatch = 10_000

type postgres struct {
	exec func(ctx context.Context, query string, args ...any) error
}

func (p postgres) insert(ctx context.Context, table string, ids []string, bodies [][]byte) error {
	query, args := rows.InsertPostgres(table, ids, bodies)
	return p.exec(ctx, query, args...)
}

func (p postgres) create(ctx context.Context, table string) error {
	return p.exec(ctx, rows.PostgresSchema(table))
}

type sqlite struct{ c SQLConn }

func (s sqlite) insert(ctx context.Context, table string, ids []string, bodies [][]byte) error {
	query, args := rows.InsertSQLite(table, ids, bodies)
	_, err := s.c.ExecContext(ctx, query, args...)
	return err
}

func (s sqlite) create(ctx context.Context, table string) error {
	_, err := s.c.ExecContext(ctx, rows.SQLiteSchema(table))
	return err
}
