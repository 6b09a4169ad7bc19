package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
	"github.com/leatdev/leat/pipeline/metric"
	"github.com/leatdev/leat/pipeline/table"
)

// Config says where the store is and how it is opened.
type Config struct {
	// Client makes the calls. They are repeated here and not in the SDK.
	Client *aws.DynamoDB
	// Table is the table's name.
	Table string
	// Shared is a serverless-event-store's table that the store shares with its Lambda; nil: there is none.
	Shared *SharedTable
	// Create makes the table where it is missing; else that is an error.
	Create bool
	// ReadCapacity and WriteCapacity are those of a table that is made; zeros: on demand.
	ReadCapacity, WriteCapacity int64
	// ReadOnly opens the store for reading alone.
	ReadOnly bool
	// Patience is how long a call is tried again while the service throttles or does not answer; 0: 20 s.
	Patience time.Duration
	// Poll is how often the log is asked for commits of other processes while anybody follows it; 0: a second.
	Poll time.Duration
	// Now is the clock of commits and leases; nil: time.Now.
	Now func() time.Time
	// Logger is told what happens out of sight; nil: nobody is.
	Logger *slog.Logger
	// Used is told of the capacity units that calls have consumed; nil: nobody is.
	Used func(operation string, units float64)
	// Metrics takes the store's numbers; nil: nobody asks for them.
	Metrics metric.Series
	// Close is called last.
	Close func()
}

// Store is an event store in a DynamoDB table. It is safe for concurrent use.
type Store struct {
	cfg   Config
	now   func() time.Time
	log   *slog.Logger
	logID string
	// shared is nil where there is no shared table.
	shared *shared

	counts counts
	ends   live.Ends
	follow atomic.Int64 // those who follow the log
	told   told

	// still is held for reading by who commits, for writing by who waits for a moment without commits.
	still   sync.RWMutex
	queue   chan *request
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	back    sync.WaitGroup

	control sync.Mutex // one change of documents at a time in this process
}

var (
	_ eventstore.Store    = (*Store)(nil)
	_ eventstore.Replicas = (*Store)(nil)
	_ eventstore.Outbox   = (*Store)(nil)
	_ eventstore.Sharing  = (*Store)(nil)
	_ eventstore.Swapper  = (*Store)(nil)
)

// logEnd is the log's end as far as somebody has seen it.
type logEnd struct {
	position  int64
	committed time.Time
}

// seen gives the end that this process has seen.
func (s *Store) seen() logEnd {
	e := s.ends.Newest()
	return logEnd{e.Position, e.Committed}
}

// Open opens the store.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if cfg.Table == "" {
		return nil, errors.New("dynamodb: the table has no name")
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 20 * time.Second
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	s := &Store{cfg: cfg, now: cfg.Now, log: cfg.Logger, queue: make(chan *request, 256), closing: make(chan struct{}), stopped: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics != nil {
		s.counts.show(cfg.Metrics)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.cancel()
			err = fmt.Errorf("dynamodb: open table %s: %w", cfg.Table, err)
		}
	}()
	if t := cfg.Shared; t != nil {
		s.shared = &shared{s: s, table: t.Table, poll: t.Poll, finder: newFinder(), stopped: make(chan struct{})}
		if s.shared.poll <= 0 {
			s.shared.poll = time.Second
		}
		if err := s.shared.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	e, err := s.findEnd(ctx)
	if err != nil {
		return nil, err
	}
	s.ends.Publish(e.position, e.committed)
	if cfg.ReadOnly {
		close(s.stopped)
	} else {
		go newWriter(s).run()
	}
	s.back.Go(s.watch)
	if s.shared != nil && !cfg.ReadOnly {
		var find context.Context
		find, s.shared.stop = context.WithCancel(s.ctx)
		go s.shared.run(find)
	}
	return s, nil
}

// Close waits for the commit under way. What waits in the queue gets ErrClosed.
func (s *Store) Close() error {
	s.once.Do(func() {
		if s.shared != nil && s.shared.stop != nil {
			s.shared.stop()
			<-s.shared.stopped
		}
		close(s.closing)
		<-s.stopped
		s.cancel()
		s.back.Wait()
		s.ends.Close()
		if s.cfg.Close != nil {
			s.cfg.Close()
		}
	})
	return nil
}

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// ready is called before each call.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed() {
		return eventstore.ErrClosed
	}
	return nil
}

func (s *Store) writable(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	return nil
}

// Head implements eventstore.Log.
func (s *Store) Head(ctx context.Context) (eventstore.Head, error) {
	if err := s.ready(ctx); err != nil {
		return eventstore.Head{}, err
	}
	e, err := s.advanceEnd(ctx, s.seen())
	if err != nil {
		return eventstore.Head{}, s.reading(ctx, err)
	}
	s.ends.Publish(e.position, e.committed)
	return eventstore.Head{LogID: s.logID, Position: e.position, Committed: e.committed}, nil
}

// reading gives an error of a read its meaning.
func (s *Store) reading(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.closed():
		return eventstore.ErrClosed
	}
	return err
}

// Tables implements eventstore.Store.
func (s *Store) Tables() table.Store { return &Tables{s} }
