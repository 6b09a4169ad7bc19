// Package sqlite is leat's embedded event store: one SQLite file, leat.db, in a directory of its own.
//
// What Commit has answered is on the disk (synchronous=FULL, unless Durability is "relaxed"). Units of concurrent
// callers share transactions: while one is under way the others queue, and the next takes them all, so that the price
// of an fsync is shared by as many as wait for it. One process writes; others may read beside it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
	"github.com/leatdev/leat/pipeline/eventstore/queue"
	"github.com/leatdev/leat/pipeline/outbox/rows"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/sqlite"
)

// Config says where the store is and how it is opened.
type Config struct {
	// Dir is the data directory. It is made (0700) where it is missing, unless ReadOnly is set.
	Dir string
	// ReadOnly opens the store for reading, also beside a process that writes. It sees commits of that process within
	// a second, or at its next call.
	ReadOnly bool
	// Durability is "full" (the default) or "relaxed": then a power cut may take back the last commits that were
	// answered. A crash of the process takes back nothing either way.
	Durability string
	// Now is the committer's clock; nil: time.Now.
	Now func() time.Time
	// Logger is told what happens out of sight; nil: nobody is.
	Logger *slog.Logger
}

// File is the database's name in Config.Dir.
const File = "leat.db"

// Store is an event store in a SQLite file. It is safe for concurrent use.
type Store struct {
	cfg   Config
	now   func() time.Time
	log   *slog.Logger
	path  string
	logID string

	lock    *os.File
	writers *sql.DB // of the writer's connection alone
	readers *sql.DB
	checks  *sql.DB // of the checkpointer
	pool    chan *conn
	tables  *tables.Store
	outbox  *rows.SQLite

	index *index
	ends  live.Ends
	ring  live.Ring

	queue *queue.Queue[*request]
	// still is held for reading by who commits, for writing by who lets nobody append.
	still sync.RWMutex
	once  sync.Once
	err   error // of Close

	w      *writer
	check  *checkpointer
	follow refresher
}

var (
	_ eventstore.Store   = (*Store)(nil)
	_ eventstore.Swapper = (*Store)(nil)
)

const readers = 4

// Open opens the store, and makes it where there is none. Errors say what stands in the way: ErrLocked (another
// process writes), ErrCorrupt, ErrSchema (another program's file, or a newer leat's), ErrUnavailable (the directory
// cannot be written), fs.ErrNotExist (ReadOnly, and there is no store).
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	s := &Store{cfg: cfg, now: cfg.Now, log: cfg.Logger, path: filepath.Join(cfg.Dir, File), index: newIndex()}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Durability != "" && cfg.Durability != "full" && cfg.Durability != "relaxed" {
		return nil, fmt.Errorf("sqlite: durability is full or relaxed, not %q", cfg.Durability)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("sqlite: open %s: %w", s.path, err), s.letGo())
		}
	}()
	s.queue = queue.New[*request]()
	s.pool = make(chan *conn, readers)
	if cfg.ReadOnly {
		return s, s.openForReading(ctx)
	}
	return s, s.openForWriting(ctx)
}

func (s *Store) openForWriting(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	var err error
	if s.lock, err = lock(filepath.Join(s.cfg.Dir, "leat.lock")); err != nil {
		return err
	}
	if err := headerFits(s.path); err != nil {
		return err
	}
	// SQLite would make it readable for everybody; the WAL takes its mode from it.
	if f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	} else if err := f.Close(); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	sync := "full"
	if s.cfg.Durability == "relaxed" {
		sync = "normal"
	}
	// Pages of 8 KiB hold eleven events of 560 bytes where two of 4 KiB hold ten.
	s.writers = open(s.path, "rwc", "page_size(8192)", "synchronous("+sync+")", "wal_autocheckpoint(0)", "cache_size(-16384)", "trusted_schema(0)")
	s.writers.SetMaxOpenConns(1)
	c, err := newConn(ctx, s.writers)
	if err != nil {
		return err
	}
	s.w = &writer{s: s, c: c, gate: make(chan struct{}, 1)}
	if err := migrate(ctx, c.sql, s.now()); err != nil {
		return err
	}
	if err := s.w.reload(ctx); err != nil {
		return err
	}
	s.readers = open(s.path, "rw", "query_only(1)", "cache_size(-4096)", "trusted_schema(0)")
	s.readers.SetMaxOpenConns(2 * readers)
	s.readers.SetMaxIdleConns(2 * readers)
	s.checks = open(s.path, "rw", "wal_autocheckpoint(0)", "synchronous("+sync+")", "cache_size(-256)")
	s.checks.SetMaxOpenConns(1)
	s.check = newCheckpointer(s)
	s.tables = tables.New(s.readers, s.writeTables, s.parkFor)
	s.outbox = rows.NewSQLite(s.readers, rows.Table, s.writeRows)
	go s.queue.Run(s.w.room, s.w.serve, s.w.finish)
	go s.check.run()
	return nil
}

func (s *Store) openForReading(ctx context.Context) error {
	if _, err := os.Stat(s.path); err != nil {
		return err
	}
	if err := headerFits(s.path); err != nil {
		return err
	}
	s.readers = open(s.path, "ro", "query_only(1)", "cache_size(-4096)", "trusted_schema(0)")
	err := s.readers.PingContext(ctx)
	if err == nil {
		_, err = schemaVersion(ctx, s.readers)
	}
	if _, wal := os.Stat(s.path + "-wal"); errors.Is(err, eventstore.ErrUnavailable) && errors.Is(wal, fs.ErrNotExist) {
		// At rest in a directory that cannot be written, where SQLite has no place for its shared memory.
		_ = s.readers.Close()
		s.readers = open(s.path, "ro&immutable=1", "query_only(1)", "trusted_schema(0)")
	}
	s.readers.SetMaxOpenConns(2 * readers)
	s.readers.SetMaxIdleConns(2 * readers)
	version, err := schemaVersion(ctx, s.readers)
	if err != nil {
		return err
	}
	if version == 0 {
		return fmt.Errorf("%w: it has no schema yet", ErrSchema)
	}
	s.tables = tables.New(s.readers, s.writeTables, s.parkFor)
	s.outbox = rows.NewSQLite(s.readers, rows.Table, s.writeRows)
	s.queue.Idle()
	return s.refresh(ctx)
}

// headerFits looks at an existing file before SQLite does, for an error that says what is wrong.
func headerFits(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	defer f.Close()
	head := make([]byte, 16)
	switch n, _ := f.Read(head); {
	case n == 0: // made and never written
		return nil
	case string(head[:n]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: it is no SQLite file", eventstore.ErrCorrupt)
	}
	return nil
}

func open(path, mode string, pragmas ...string) *sql.DB {
	q := "?mode=" + mode + "&_pragma=busy_timeout(10000)"
	for _, p := range pragmas {
		q += "&_pragma=" + p
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+q)
	if err != nil {
		panic(err) // the driver's name is wrong
	}
	return db
}

// Close waits for the commits under way, writes what the index still lacks, and lets go of the file. What waits in the
// queue gets ErrClosed.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.queue.Close()
		s.err = s.letGo()
		s.ends.Close()
	})
	return s.err
}

// letGo closes whatever is open.
func (s *Store) letGo() error {
	var errs []error
	for {
		select {
		case c := <-s.pool:
			errs = append(errs, c.close())
			continue
		default:
		}
		break
	}
	if s.outbox != nil {
		s.outbox.Close()
	}
	if s.check != nil {
		errs = append(errs, s.check.stop())
	}
	if s.w != nil && s.w.c != nil {
		errs = append(errs, s.w.c.close())
	}
	for _, db := range []*sql.DB{s.readers, s.checks, s.writers} { // the last one removes the WAL
		if db != nil {
			errs = append(errs, classify(db.Close()))
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // and with it the lock
	}
	return errors.Join(errs...)
}

// Head implements eventstore.Log.
func (s *Store) Head(ctx context.Context) (eventstore.Head, error) {
	if err := s.ready(ctx); err != nil {
		return eventstore.Head{}, err
	}
	h := s.ends.Newest()
	return eventstore.Head{LogID: s.logID, Position: h.Position, Committed: h.Committed}, nil
}

// ready is called before each read.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.Closed() {
		return eventstore.ErrClosed
	}
	if s.cfg.ReadOnly {
		return s.refresh(ctx)
	}
	return nil
}

// reader lends a connection for reading. It is given back by release.
func (s *Store) reader(ctx context.Context) (*conn, error) {
	select {
	case c := <-s.pool:
		return c, nil
	default:
		return newConn(ctx, s.readers)
	}
}

func (s *Store) release(c *conn) {
	if !s.queue.Closed() {
		select {
		case s.pool <- c:
			return
		default:
		}
	}
	_ = c.close()
}

// read runs fn on a connection for reading.
func (s *Store) read(ctx context.Context, fn func(c *conn) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer s.release(c)
	return classify(fn(c))
}

// Tables implements eventstore.Store.
func (s *Store) Tables() table.Store { return s.tables }
