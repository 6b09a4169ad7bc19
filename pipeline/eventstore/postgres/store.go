// Package postgres is leat's event store in a PostgreSQL database (15 or newer), in a schema of its own. Several
// daemons may append to one log at the same time.
//
// What Commit has answered is on the server's disk. Units of concurrent callers of one process share transactions; the
// transactions of all processes take turns by the lock on one row, so that positions are dense and whoever sees an
// event sees all before it. Nothing that is in memory is believed until the log's head, read under the lock, has shown
// that nobody else has written meanwhile.
//
// The store needs sessions of its own: a pooler that hands out single transactions must not stand between.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
	"github.com/leatdev/leat/pipeline/eventstore/queue"
	"github.com/leatdev/leat/pipeline/outbox/rows"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

// Config says where the store is and how it is opened.
type Config struct {
	// DSN names the database: a URL or key=value pairs, as libpq takes them.
	DSN string
	// Schema is the schema that holds everything, "leat" where it is empty. It is made where it is missing.
	Schema string
	// Connections bounds those for reading and for the state of relays, besides one that appends and one that listens;
	// 0: 8.
	Connections int
	// ReadOnly opens the store for reading alone; nothing is made or changed.
	ReadOnly bool
	// Now is the clock of commits and leases; nil: this machine's for commits, the database's for leases.
	Now func() time.Time
	// Logger is told what happens out of sight; nil: nobody is.
	Logger *slog.Logger
}

// Store is an event store in PostgreSQL. It is safe for concurrent use.
type Store struct {
	cfg    Config
	now    func() time.Time
	log    *slog.Logger
	conf   *pgx.ConnConfig
	logID  string
	tables *tables.Store
	pool   *pgxpool.Pool
	outbox *rows.Postgres

	ends   live.Ends
	ring   live.Ring
	blocks blocks

	wanted chan struct{} // wakes listen
	queue  *queue.Queue[*request]
	once   sync.Once

	ctx    context.Context // of what runs in the background; it ends with Close
	cancel context.CancelFunc
	back   sync.WaitGroup
}

var (
	_ eventstore.Store   = (*Store)(nil)
	_ eventstore.Swapper = (*Store)(nil)
)

// Open opens the store, and makes its schema where it is missing. Errors say what stands in the way: ErrUnavailable
// (the server cannot be reached or does not let us in), ErrSchema (a newer leat's, or another encoding). None of them
// has a password in it.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if cfg.Schema == "" {
		cfg.Schema = "leat"
	}
	if cfg.Connections <= 0 {
		cfg.Connections = 8
	}
	s := &Store{
		cfg: cfg, now: cfg.Now, log: cfg.Logger,
		wanted: make(chan struct{}, 1), queue: queue.New[*request](),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.conf, err = tables.ParseDSN(cfg.DSN, cfg.Schema); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.cancel()
			if s.pool != nil {
				s.pool.Close()
			}
			err = fmt.Errorf("postgres: open %s: %w", tables.Target(s.conf, cfg.Schema), err)
		}
	}()
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, errors.New("the environment's PG* variables cannot be read")
	}
	pc.ConnConfig = s.conf.Copy()
	pc.AfterConnect = tables.Durable
	if cfg.ReadOnly {
		pc.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pc.MaxConns, pc.MinConns = int32(cfg.Connections), 0
	pc.HealthCheckPeriod = 30 * time.Second
	if s.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, classify(err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	write := s.writeTables
	if cfg.ReadOnly {
		write = nil
	}
	s.tables = tables.New(s.pool, write, s.parkFor)
	s.outbox = rows.NewPostgres(s.pool, s.connect, rows.Table)
	s.back.Go(s.listen)
	if cfg.ReadOnly {
		s.queue.Idle()
	} else {
		w := newWriter(s)
		go s.queue.Run(room, w.serve, w.disconnect)
	}
	return s, nil
}

// prepare looks at the database, and brings its schema to this program's version.
func (s *Store) prepare(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return classify(err)
	}
	defer c.Release()
	if s.cfg.ReadOnly {
		err = checkSchema(ctx, c.Conn(), s.cfg.Schema)
	} else {
		err = migrate(ctx, c.Conn(), s.cfg.Schema)
	}
	if err != nil {
		return classify(err)
	}
	if err := c.QueryRow(ctx, "SELECT log_id FROM leat_log").Scan(&s.logID); err != nil {
		return classify(err)
	}
	h, err := readHead(ctx, c.Conn())
	if err != nil {
		return err
	}
	s.ends.Publish(h.Position, h.Committed)
	return nil
}

// Close waits for the commit under way and closes the connections. What waits in the queue gets ErrClosed.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.queue.Close()
		s.cancel()
		s.back.Wait()
		s.outbox.Close()
		s.pool.Close()
		s.ends.Close()
	})
	return nil
}

// ready is called before each read.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.Closed() {
		return eventstore.ErrClosed
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const selectHead = "SELECT position, committed FROM leat_events ORDER BY position DESC LIMIT 1"

func readHead(ctx context.Context, q querier) (h eventstore.Head, err error) {
	err = q.QueryRow(ctx, selectHead).Scan(&h.Position, &h.Committed)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, nil
	}
	h.Committed = h.Committed.UTC()
	return h, classify(err)
}

// head reads the log's end from the database: other processes write too.
func (s *Store) head(ctx context.Context) (eventstore.Head, error) {
	if err := s.ready(ctx); err != nil {
		return eventstore.Head{}, err
	}
	var h eventstore.Head
	err := s.query(ctx, selectHead, nil, func(rows pgx.Rows) error { return rows.Scan(&h.Position, &h.Committed) })
	if err != nil {
		return h, err
	}
	if h.Position > 0 {
		h.Committed = h.Committed.UTC()
	}
	s.ends.Publish(h.Position, h.Committed)
	return h, nil
}

// reading gives an error of a read its meaning.
func (s *Store) reading(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.queue.Closed():
		return eventstore.ErrClosed
	}
	return classify(err)
}

// Head implements eventstore.Log.
func (s *Store) Head(ctx context.Context) (eventstore.Head, error) {
	h, err := s.head(ctx)
	h.LogID = s.logID
	return h, err
}

// Tables implements eventstore.Store.
func (s *Store) Tables() table.Store { return s.tables }
