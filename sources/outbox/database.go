package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/outbox/rows"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

// connections bounds those to an application's database.
const connections = 4

func openPostgres(ctx context.Context, c Config) (box, error) {
	table, err := quoted(c.Table)
	if err != nil {
		return box{}, err
	}
	conf, err := tables.ParseDSN(c.Postgres.DSN.Reveal(), "")
	if err != nil {
		return box{}, err
	}
	delete(conf.RuntimeParams, "search_path") // the application's own
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return box{}, errors.New("outbox: the environment's PG* variables cannot be read")
	}
	pc.ConnConfig, pc.MaxConns = conf.Copy(), connections
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return box{}, fmt.Errorf("outbox: %w", err)
	}
	if err := preparePostgres(ctx, pool, table, c.Create); err != nil {
		pool.Close()
		return box{}, err
	}
	p := rows.NewPostgres(pool, func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, conf.Copy()) }, table)
	return box{p, func() { p.Close(); pool.Close() }}, nil
}

func preparePostgres(ctx context.Context, pool *pgxpool.Pool, table string, create bool) error {
	var there bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&there); err != nil {
		return unreachable(err)
	}
	switch {
	case there:
		return nil
	case !create:
		return missing(table, rows.PostgresSchema(table))
	}
	if _, err := pool.Exec(ctx, rows.PostgresSchema(table)); err != nil {
		return fmt.Errorf("outbox: make the table %s: %w; as its owner run: %s", table, err, rows.PostgresSchema(table))
	}
	return nil
}

func openSQLite(ctx context.Context, c Config) (box, error) {
	table, err := quoted(c.Table)
	if err != nil {
		return box{}, err
	}
	if _, err := os.Stat(c.SQLite.Path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			// SQLite would make an empty file, and a path that is misspelt would be silent for ever.
			return box{}, unreachable(fmt.Errorf("%s is not there: it is the application's to make", c.SQLite.Path))
		}
		return box{}, unreachable(err)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: c.SQLite.Path}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return box{}, fmt.Errorf("outbox: %w", err)
	}
	db.SetMaxOpenConns(connections)
	if err := prepareSQLite(ctx, db, table, c.Create); err != nil {
		return box{}, errors.Join(err, db.Close())
	}
	s := rows.NewSQLite(db, table, nil)
	return box{s, func() { s.Close(); _ = db.Close() }}, nil
}

func prepareSQLite(ctx context.Context, db *sql.DB, table string, create bool) error {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	switch {
	case err == nil:
		return nil
	case !create:
		return fmt.Errorf("%w (%w)", missing(table, rows.SQLiteSchema(table)), err)
	}
	if _, err := db.ExecContext(ctx, rows.SQLiteSchema(table)); err != nil {
		return fmt.Errorf("outbox: make the table %s: %w", table, err)
	}
	return nil
}

func missing(table, schema string) error {
	return fmt.Errorf("outbox: there is no table %s; make it by: %s", table, schema)
}

func unreachable(err error) error {
	return event.Unavailable(0, fmt.Errorf("outbox: %w", err))
}
