// Package eventstore is the contract of leat's event store, and the types that go over it.
//
// A store is one log: streams of events under one dense position, and beside it, in the same transactions, the state
// of the pipelines that use it: the inbox, cursors, relays with their checkpoints, leases, parked events and tables.
// The backends are in the folders below; storetest is the suite that each of them passes.
package eventstore

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Store is an event store. All of it is safe for concurrent use.
type Store interface {
	Log
	Relays
	Leases
	poison.Store

	// Cursor gives the place that a pipeline's source has committed under key, "" where none is.
	Cursor(ctx context.Context, pipeline, key string) (string, error)
	// Cursors gives all places of a pipeline.
	Cursors(ctx context.Context, pipeline string) (map[string]string, error)
	// Marks gives the inbox keys of a pipeline that start with prefix.
	Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[Mark, error]
	// PruneMarks removes a pipeline's inbox keys with that prefix, or those older than before where it is set, and
	// says how many there were.
	PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (int64, error)

	// Tables gives the read models in the store's own database.
	Tables() table.Store
	// Verify reads everything and checks density, gaps, heads and checksums; report is called with each fault.
	Verify(ctx context.Context, report func(Fault)) (Verified, error)
	// Close waits for commits under way, then lets go of the database.
	Close() error
}

// Reader is what reads events.
type Reader interface {
	// Head gives the log's end.
	Head(ctx context.Context) (Head, error)
	// ReadStream gives a stream's events. A stream that does not exist gives none.
	ReadStream(ctx context.Context, s event.Stream, o ReadOptions) iter.Seq2[*event.Recorded, error]
	// ReadAll gives the log's events in the order of their positions.
	ReadAll(ctx context.Context, o ReadOptions) iter.Seq2[*event.Recorded, error]
	// Streams lists streams in the order of type and id.
	Streams(ctx context.Context, o StreamsOptions) iter.Seq2[StreamInfo, error]
	// Subscribe gives pages of the log behind o.After, first those that exist, then those to come, until ctx ends.
	// A page without events still moves Through. Wake-up follows a commit in this process at once, a commit of
	// another within a second.
	Subscribe(ctx context.Context, o SubscribeOptions) iter.Seq2[Page, error]
}

// Log is what writes and reads events.
type Log interface {
	Reader
	// Commit writes units and fills in their Results. Each unit is atomic and is refused alone. Units of concurrent
	// callers share transactions (group commit). An error means that the outcome of every unit without a Result is
	// unknown (ErrUnavailable: not written): the same call may be repeated, ids make it idempotent.
	Commit(ctx context.Context, units []*Unit, o CommitOptions) error
}

// Head is the log's end.
type Head struct {
	// LogID names this log; a copy restored from a dump keeps it.
	LogID     string
	Position  int64
	Committed time.Time
}

// Unit is what commits together or not at all: usually all that one source event gives.
type Unit struct {
	Pipeline string
	Appends  []Append
	// Inbox marks the source event as seen; nil where the source has a cursor.
	Inbox *Mark
	// Cursor is the source's place once this unit is committed.
	Cursor *event.Cursor
	// Park are entries for events that failed, written instead of what they would have given.
	Park []poison.Entry
	// Unpark removes parked entries; one that is gone refuses the unit (ErrGone).
	Unpark []int64
	// Outbox are the rows of the store's own outbox (see Outbox) that this unit settles; they go with it, also where it is
	// a repeat. One that is gone refuses the unit (ErrGone), unless it is a repeat.
	Outbox []int64
	// Within runs in the transaction after the appends, with what was written: the inline projections. An error
	// refuses the unit. It may run more than once.
	Within func(ctx context.Context, tx table.Tx, written []event.Recorded) error

	// Result is filled in by Commit.
	Result Result
}

// Append writes events to one stream.
type Append struct {
	Stream event.Stream
	Expect Expect
	// Origin is kept with each event.
	Origin string
	// Events have their ids. Time may be zero: then the committer's clock is taken.
	Events []event.Event
	// By is the caller's own; no store looks at it.
	By any
}

// Mark is a source event's entry in the inbox.
type Mark struct {
	// Key is unique within the pipeline.
	Key string
	// Hash is over the payload: the same key with another hash is ErrIDReused. Zero is never compared.
	Hash uint64
}

// Status is what became of a unit.
type Status uint8

// The statuses.
const (
	Untried  Status = iota // behind a refused unit of an ordered commit
	Done                   // written
	Repeated               // everything in it was there already; nothing was written but the cursor and marks
	Refused                // nothing was written; Err says why
)

// Result is what became of a unit.
type Result struct {
	Status Status
	// Err is set where Status is Refused: a *ConflictError, ErrIDReused, ErrIdempotency, ErrGone, ErrTooLarge, or
	// what Within returned.
	Err error
	// Written has an entry for each Append, in order. A repeated append has its original numbers.
	Written []Written
}

// Written is where an append ended up.
type Written struct {
	// First and Last are revisions, Position is that of the event at Last. An append of no events has the stream's
	// present revision.
	First, Last int64
	Position    int64
	Repeated    bool
}

// CommitOptions say how units of one call stand to each other.
type CommitOptions struct {
	// Ordered stops at the first unit that is refused; those behind it stay Untried, and no cursor moves past it.
	Ordered bool
	// Fence is the lease under which the call is made: where another has taken it, the call fails with ErrFenced and
	// nothing more of it is written. Nobody can take it while the transaction is under way.
	Fence *Lease
}

// ReadOptions select and bound a read. The zero value reads everything, forwards.
type ReadOptions struct {
	// From is the first revision (ReadStream) or position (ReadAll) to give, inclusive; 0: the first, or when
	// Backwards the last. To is the last one, inclusive; 0: no bound.
	From, To  int64
	Max       int64 // 0: no bound
	Backwards bool
	Filter    Filter
	// SinceTime skips events committed before it.
	SinceTime time.Time
}

// Filter selects events; empty fields select all.
type Filter struct {
	StreamTypes []string
	Types       []string
	Origins     []string
}

// Selects reports whether an event passes: a list that is empty lets all pass.
func (f *Filter) Selects(r *event.Recorded) bool {
	return (len(f.StreamTypes) == 0 || slices.Contains(f.StreamTypes, r.Stream.Type)) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, r.Type)) &&
		(len(f.Origins) == 0 || slices.Contains(f.Origins, r.Origin))
}

// SubscribeOptions say where and how to follow the log.
type SubscribeOptions struct {
	After  int64
	Filter Filter
	// MaxEvents and MaxBytes bound a page; zero: 1000 and 4 MiB.
	MaxEvents int
	MaxBytes  int
}

// Page is a piece of the log.
type Page struct {
	Events []event.Recorded
	// Through is the position up to which the page is complete, past events that the filter left out.
	Through int64
	// Head is the log's end as the page was read.
	Head int64
}

// StreamsOptions select and bound a list of streams.
type StreamsOptions struct {
	Type   string
	Prefix string // of the id
	After  event.Stream
	Max    int64
}

// StreamInfo is a stream's head.
type StreamInfo struct {
	Stream   event.Stream
	Revision int64
	Created  time.Time
	Updated  time.Time
}

// Fault is one thing that Verify found.
type Fault struct {
	Stream   event.Stream
	Position int64
	What     string
}

// Verified counts what Verify read.
type Verified struct {
	Events  int64
	Streams int64
	Faults  int64
}

// Errors of units and stores.
var (
	// ErrIDReused: a known key or event id came with other content.
	ErrIDReused = errors.New("eventstore: the id was used before with other content")
	// ErrIdempotency: some of an append's ids are in the stream and some are not.
	ErrIdempotency = errors.New("eventstore: some of these events are in the stream already, others are not")
	// ErrGone: a parked entry, or a row of the outbox, was taken away meanwhile.
	ErrGone = errors.New("eventstore: the entry is gone")
	// ErrTooLarge: beyond the store's limits.
	ErrTooLarge = errors.New("eventstore: too large")
	// ErrFenced: another owner holds the lease with a higher epoch, or the checkpoint stands elsewhere.
	ErrFenced = errors.New("eventstore: another owner has taken over")
	// ErrHeld: somebody else holds the lease.
	ErrHeld = errors.New("eventstore: the lease is held")
	// ErrLocked: another process has the store open for writing.
	ErrLocked = errors.New("eventstore: another process has the store open")
	// ErrReadOnly: the store was opened for reading.
	ErrReadOnly = errors.New("eventstore: the store is open for reading only")
	// ErrUnavailable: the database cannot write at present (disk full, connection lost before the commit); nothing
	// was written and the call may be repeated.
	ErrUnavailable = errors.New("eventstore: the database cannot write at present")
	// ErrCorrupt: the database is damaged.
	ErrCorrupt = errors.New("eventstore: the database is damaged")
	// ErrClosed: after Close.
	ErrClosed = errors.New("eventstore: closed")
)
