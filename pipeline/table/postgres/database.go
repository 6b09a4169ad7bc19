package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatdev/leat/pipeline/event"
)

// The bounds of what one session may do to the others. One that hangs in a transaction loses it, and with it what it
// has locked, after idleLimit.
const (
	lockLimit = 15 * time.Second
	idleLimit = 5 * time.Second
)

// ParseDSN reads a DSN, and sets what leat's sessions need: the schema that unqualified names mean, and time limits for
// locks (lock_timeout 15 s and idle_in_transaction_session_timeout 5 s, unless the DSN has others). Its error quotes nothing of the DSN: pgx blacks passwords out, but not in every text that it cannot read.
func ParseDSN(dsn, schema string) (*pgx.ConnConfig, error) {
	if dsn == "" {
		return nil, errors.New("postgres: the dsn is empty")
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("postgres: the dsn cannot be read: it is a URL (postgres://user:password@host:5432/database?sslmode=verify-full) or pairs (host=… user=… dbname=…)")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	set := func(name, value string) { c.RuntimeParams[name] = value }
	unless := func(name, value string) {
		if _, ok := c.RuntimeParams[name]; !ok {
			set(name, value)
		}
	}
	unless("application_name", "leat")
	unless("lock_timeout", fmt.Sprint(lockLimit.Milliseconds()))
	unless("idle_in_transaction_session_timeout", fmt.Sprint(idleLimit.Milliseconds()))
	set("client_encoding", "UTF8")
	set("search_path", quote(schema))
	// Nearly every query of ours has an index to go by. What the planner guesses of arrays, or believes of a table that
	// was empty when it last looked, must not lead it elsewhere.
	set("plan_cache_mode", "force_generic_plan")
	set("enable_seqscan", "off")
	set("jit", "off")
	return c, nil
}

// Durable is for a connection that was just made: it sees to it that a commit is on the disk when it is answered,
// whatever the database's or the role's settings say. What waits for more than that is left alone.
func Durable(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// Target names the database for people.
func Target(c *pgx.ConnConfig, schema string) string {
	return fmt.Sprintf("schema %s of %s:%d/%s", schema, c.Host, c.Port, c.Database)
}

// Outage tells states of the server or of the way to it, which pass or which its keeper mends, from faults of a
// statement.
func Outage(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return outageCode(e.Code)
	}
	var c *pgconn.ConnectError
	var n net.Error
	return err != nil && (errors.As(err, &c) || errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pgconn.ErrConnClosed))
}

func outageCode(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", "28", "53", "57", "58", "40": // connection, authorization, resources, operator, system, rollback
		return true
	}
	switch code {
	case "25006", // read-only: a standby
		"25P03", // idle in the transaction for too long
		"55P03", // a lock was not to be had
		"3D000", // no such database
		"42501": // not permitted
		return true
	}
	return false
}

// Database is a store in a PostgreSQL database of its own.
type Database struct {
	*Store
	pool *pgxpool.Pool
}

// Open opens tables in a schema ("": leat) of a database, which are made where they are missing. What is committed is
// on the server's disk. Nothing is parked there. An outage is event.Unavailable.
func Open(ctx context.Context, dsn, schema string) (*Database, error) {
	return open(ctx, dsn, schema, false)
}

// OpenReading opens them for reading alone: nothing is made, and the server refuses what would change anything. A schema
// that is not there has no tables.
func OpenReading(ctx context.Context, dsn, schema string) (*Database, error) {
	return open(ctx, dsn, schema, true)
}

func open(ctx context.Context, dsn, schema string, reading bool) (*Database, error) {
	if schema == "" {
		schema = "leat"
	}
	conf, err := ParseDSN(dsn, schema)
	if err != nil {
		return nil, err
	}
	if reading {
		conf.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, errors.New("postgres: the environment's PG* variables cannot be read")
	}
	pc.ConnConfig, pc.AfterConnect, pc.MaxConns = conf, Durable, 8
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: open %s: %w", Target(conf, schema), err)
	}
	d := &Database{pool: pool}
	if reading {
		err = pool.Ping(ctx)
	} else {
		err = d.prepare(ctx, schema)
	}
	if err != nil {
		pool.Close()
		if Outage(err) {
			err = event.Unavailable(0, err)
		}
		return nil, fmt.Errorf("postgres: open %s: %w", Target(conf, schema), err)
	}
	if d.Store = New(pool, d.transact, nil); reading {
		d.Store = New(pool, nil, nil)
	}
	return d, nil
}

// prepare makes the schema, unless it is there: CREATE SCHEMA wants a right also where there is nothing to create.
func (d *Database) prepare(ctx context.Context, schema string) error {
	var there bool
	if err := d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there); err != nil || there {
		return err
	}
	_, err := d.pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema))
	return err
}

// transact is a WriteFunc.
func (d *Database) transact(ctx context.Context, fn func(Conn) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error { return fn(tx) })
}

// Close waits for what is under way and closes the connections.
func (d *Database) Close() error { d.pool.Close(); return nil }
