package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// conn is one connection, used below database/sql: a statement through it costs some microseconds less, which is most
// of what an insert costs. It is used by one goroutine at a time.
//
// The *sql.Conn stays pinned for as long as the conn lives, so that nobody else gets the driver's connection; it is
// what tables use inside the writer's transactions.
type conn struct {
	sql    *sql.Conn
	driver driver.Conn
	stmts  map[string]*stmt
}

func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, classify(err)
	}
	out := &conn{sql: c, stmts: map[string]*stmt{}}
	if err := c.Raw(func(d any) error { out.driver = d.(driver.Conn); return nil }); err != nil {
		return nil, errors.Join(classify(err), c.Close())
	}
	return out, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.s.Close()
	}
	c.stmts = nil
	return c.sql.Close()
}

// stmtCache bounds the statements that a connection keeps prepared; queries with filters have texts of their own.
const stmtCache = 64

// stmt is a prepared statement with its arguments' memory.
type stmt struct {
	s    driver.Stmt
	args []driver.NamedValue
	row  []driver.Value
}

func (c *conn) prepare(query string) (*stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= stmtCache {
		for q, s := range c.stmts {
			_ = s.s.Close()
			delete(c.stmts, q)
			break
		}
	}
	d, err := c.driver.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: prepare: %w", classify(err))
	}
	s := &stmt{s: d}
	c.stmts[query] = s
	return s, nil
}

func (s *stmt) bind(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// exec runs a statement and says how many rows it changed. Arguments are the driver's types: int64, string, []byte,
// nil. It cannot be interrupted: an interrupted write rolls the whole transaction back.
func (c *conn) exec(query string, args ...any) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.s.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// each runs a query and calls fn with each row until it says false. The row's slice is used again.
func (c *conn) each(ctx context.Context, query string, fn func(row []driver.Value) (bool, error), args ...any) (err error) {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.s.(driver.StmtQueryContext).QueryContext(ctx, s.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if n := len(rows.Columns()); len(s.row) != n {
		s.row = make([]driver.Value, n)
	}
	for {
		switch err := rows.Next(s.row); {
		case errors.Is(err, io.EOF):
			return ctx.Err()
		case err != nil:
			return err
		}
		if more, err := fn(s.row); err != nil || !more {
			return err
		}
	}
}

// one gives the first row of a query, nil where there is none.
func (c *conn) one(ctx context.Context, query string, args ...any) (row []driver.Value, err error) {
	err = c.each(ctx, query, func(r []driver.Value) (bool, error) { row = r; return false, nil }, args...)
	return row, err
}
