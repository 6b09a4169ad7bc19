// Package plan decides what a commit writes: it holds the rules of expectations and idempotency, so that they are the
// same in every backend.
//
// A Draft is one transaction's worth of units. It evaluates them in order over what the database holds and what the
// units before them in the draft are going to write; a unit that is refused leaves no trace in it. The rules of
// idempotency are those of KurrentDB's IndexWriter.CheckCommit, with two differences: ids are looked up in the
// stream's whole history, not in a cache, and a known id must come with the same type and data.
package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// The limits that every backend holds.
const (
	MaxID    = 255      // bytes of an event's id, and of each part of a stream's name
	MaxEvent = 64 << 20 // bytes of an event's body
)

// Base is a stream as the database holds it; zeros where it does not exist.
type Base struct {
	Revision int64
	Position int64 // of the event at Revision
	// Ref is the backend's own handle.
	Ref any
}

// Known is an event that is there already.
type Known struct {
	Revision, Position int64
	ID, Type           string
	Data               []byte
}

// Database is what a draft asks, inside the writing transaction.
type Database interface {
	// Open finds a stream.
	Open(ctx context.Context, s event.Stream) (Base, error)
	// At gives the event of an existing stream at a revision that it has.
	At(ctx context.Context, s *Stream, revision int64) (Known, error)
	// Find looks an id up in the whole history of an existing stream.
	Find(ctx context.Context, s *Stream, id string) (Known, bool, error)
	// Mark looks a key up in the inbox.
	Mark(ctx context.Context, pipeline, key string) (hash uint64, known bool, err error)
	// Row looks a row of the outbox up.
	Row(ctx context.Context, id int64) (there bool, err error)
}

// Stream is a stream in a draft: its base and what the draft adds.
type Stream struct {
	Name event.Stream
	Base Base
	// Revision and Position are the head with everything that the draft has accepted so far.
	Revision, Position int64

	added []*Write
	ids   map[string]*Write // of added, once there are many
}

// Write is an event that the draft is going to write.
type Write struct {
	Stream             *Stream
	Event              *event.Event
	Origin             string
	Revision, Position int64
}

// Recorded gives the event as it will be read back; its memory is still the caller's.
func (w *Write) Recorded(committed time.Time) event.Recorded {
	return event.Recorded{
		Event: Normal(*w.Event, committed), Stream: w.Stream.Name, Revision: w.Revision, Position: w.Position,
		Committed: committed, Origin: w.Origin,
	}
}

// MarkID names an inbox entry over all pipelines.
type MarkID struct{ Pipeline, Key string }

// CursorID names a cursor over all pipelines.
type CursorID struct{ Pipeline, Key string }

// Draft is what a transaction is going to write. It is used by one goroutine.
type Draft struct {
	db        Database
	committed time.Time
	head      int64

	Writes []*Write
	// Marks and Cursors are by name: of several units that move a cursor the last one counts.
	Marks   map[MarkID]uint64
	Cursors map[CursorID]string
	// Rows of the outbox are to go.
	Rows map[int64]struct{}

	streams map[event.Stream]*Stream
	slab    []Write
}

// New starts a draft behind position head; committed is the commit's time.
func New(db Database, head int64, committed time.Time) *Draft {
	return &Draft{
		db: db, head: head, committed: committed,
		streams: map[event.Stream]*Stream{}, Marks: map[MarkID]uint64{}, Cursors: map[CursorID]string{}, Rows: map[int64]struct{}{},
	}
}

// Head is the position of the last event, with those of the draft.
func (d *Draft) Head() int64 { return d.head }

// Committed is the time that the draft's events get.
func (d *Draft) Committed() time.Time { return d.committed }

// Streams gives the streams that the draft writes to, in the order of their first event.
func (d *Draft) Streams() []*Stream {
	var out []*Stream
	for _, w := range d.Writes {
		if w.Revision == w.Stream.Base.Revision+1 {
			out = append(out, w.Stream)
		}
	}
	return out
}

// Refuse wraps an error with which an Effects hook refuses the unit; any other error fails the transaction.
func Refuse(err error) error { return &refusal{err} }

type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Effects applies what a unit does beside its appends: it parks, unparks and runs Within. It takes back what it did
// when it fails. Where repeated is set, the unit's appends are there already: then only Unpark is left to do, and an
// entry that is gone is no fault.
type Effects func(ctx context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error

// Add evaluates u, fills in its Result, and takes what it writes into the draft unless it is refused. An error means
// that the database failed; the draft is then of no use any more.
func (d *Draft) Add(ctx context.Context, u *eventstore.Unit, effects Effects) error {
	u.Result = eventstore.Result{}
	start := len(d.Writes)
	res, err := d.evaluate(ctx, u)
	var rows []int64
	if err == nil {
		rows, err = d.rows(ctx, u, res.Status == eventstore.Repeated)
	}
	if err == nil && needsEffects(u, res.Status) {
		var written []event.Recorded
		if u.Within != nil {
			for _, w := range d.Writes[start:] {
				written = append(written, w.Recorded(d.committed))
			}
		}
		err = effects(ctx, u, written, res.Status == eventstore.Repeated)
	}
	if err != nil {
		d.undo(start)
		var r *refusal
		if !errors.As(err, &r) {
			return err
		}
		u.Result = eventstore.Result{Status: eventstore.Refused, Err: r.err}
		return nil
	}
	for _, id := range rows {
		d.Rows[id] = struct{}{}
	}
	if u.Inbox != nil {
		d.Marks[MarkID{u.Pipeline, u.Inbox.Key}] = u.Inbox.Hash
	}
	if u.Cursor != nil {
		d.Cursors[CursorID{u.Pipeline, u.Cursor.Key}] = u.Cursor.Value
	}
	u.Result = res
	return nil
}

func needsEffects(u *eventstore.Unit, s eventstore.Status) bool {
	if s == eventstore.Repeated {
		return len(u.Unpark) > 0 && u.Inbox == nil
	}
	return len(u.Park) > 0 || len(u.Unpark) > 0 || u.Within != nil
}

// undo takes back the writes from start on.
func (d *Draft) undo(start int) {
	for i := len(d.Writes) - 1; i >= start; i-- {
		w := d.Writes[i]
		s := w.Stream
		delete(s.ids, w.Event.ID)
		s.added = s.added[:len(s.added)-1]
		s.Revision, s.Position = s.Base.Revision, s.Base.Position
		if n := len(s.added); n > 0 {
			s.Revision, s.Position = s.added[n-1].Revision, s.added[n-1].Position
		}
	}
	d.head -= int64(len(d.Writes) - start)
	d.Writes = d.Writes[:start]
}

func (d *Draft) evaluate(ctx context.Context, u *eventstore.Unit) (eventstore.Result, error) {
	res := eventstore.Result{Status: eventstore.Done}
	seen, err := d.seen(ctx, u)
	if err != nil {
		return res, err
	}
	if len(u.Appends) > 0 {
		res.Written = make([]eventstore.Written, len(u.Appends))
	}
	if seen {
		res.Status = eventstore.Repeated
		for i := range u.Appends {
			if res.Written[i], err = d.original(ctx, &u.Appends[i]); err != nil {
				return res, err
			}
		}
		return res, nil
	}
	repeated, fresh := 0, 0
	for i := range u.Appends {
		a := &u.Appends[i]
		w, err := d.append(ctx, a)
		if err != nil {
			return res, err
		}
		res.Written[i] = w
		switch {
		case w.Repeated:
			repeated++
		case len(a.Events) > 0:
			fresh++
		}
	}
	if repeated > 0 && fresh == 0 {
		res.Status = eventstore.Repeated
	}
	return res, nil
}

// rows gives the rows of the outbox that go with the unit. They must be there, once, unless it is a repeat.
func (d *Draft) rows(ctx context.Context, u *eventstore.Unit, repeated bool) ([]int64, error) {
	var rows []int64
	for _, id := range u.Outbox {
		_, gone := d.Rows[id]
		if !gone {
			there, err := d.db.Row(ctx, id)
			if err != nil {
				return nil, err
			}
			gone = !there
		}
		switch {
		case !gone:
			rows = append(rows, id)
		case !repeated:
			return nil, Refuse(fmt.Errorf("%w: row %d of the outbox", eventstore.ErrGone, id))
		}
	}
	return rows, nil
}

// Empty reports whether the draft writes nothing.
func (d *Draft) Empty() bool {
	return len(d.Writes)+len(d.Marks)+len(d.Cursors)+len(d.Rows) == 0
}

// seen looks the unit's mark up.
func (d *Draft) seen(ctx context.Context, u *eventstore.Unit) (bool, error) {
	if u.Inbox == nil {
		return false, nil
	}
	hash, known := d.Marks[MarkID{u.Pipeline, u.Inbox.Key}]
	if !known {
		var err error
		if hash, known, err = d.db.Mark(ctx, u.Pipeline, u.Inbox.Key); err != nil {
			return false, err
		}
	}
	if known && hash != u.Inbox.Hash && hash != 0 && u.Inbox.Hash != 0 {
		return false, Refuse(fmt.Errorf("%w: inbox key %q of pipeline %q", eventstore.ErrIDReused, u.Inbox.Key, u.Pipeline))
	}
	return known, nil
}

// original finds the numbers of an append whose unit is known by its mark; what it wrote then may have been other
// events, so that zeros are no fault.
func (d *Draft) original(ctx context.Context, a *eventstore.Append) (eventstore.Written, error) {
	w := eventstore.Written{Repeated: true}
	s, err := d.open(ctx, a.Stream)
	if err != nil || s.Revision == 0 {
		return w, err
	}
	for i := range a.Events {
		k, ok, err := d.find(ctx, s, a.Events[i].ID)
		if err != nil {
			return w, err
		}
		if ok {
			w = span(w, k)
		}
	}
	return w, nil
}

func span(w eventstore.Written, k Known) eventstore.Written {
	if w.First == 0 || k.Revision < w.First {
		w.First = k.Revision
	}
	if k.Revision > w.Last {
		w.Last, w.Position = k.Revision, k.Position
	}
	w.Repeated = true
	return w
}

func (d *Draft) open(ctx context.Context, name event.Stream) (*Stream, error) {
	if s, ok := d.streams[name]; ok {
		return s, nil
	}
	b, err := d.db.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	s := &Stream{Name: name, Base: b, Revision: b.Revision, Position: b.Position}
	d.streams[name] = s
	return s, nil
}

func check(a *eventstore.Append) error {
	if a.Stream.Type == "" || a.Stream.ID == "" {
		return Refuse(fmt.Errorf("eventstore: an append needs a stream type and id, not %q", a.Stream.String()))
	}
	if len(a.Stream.Type) > MaxID || len(a.Stream.ID) > 4*MaxID {
		return Refuse(fmt.Errorf("%w: the stream's name has %d bytes", eventstore.ErrTooLarge, len(a.Stream.Type)+len(a.Stream.ID)))
	}
	for i := range a.Events {
		e := &a.Events[i]
		switch size := len(e.Raw) + len(e.Metadata); {
		case e.ID == "":
			return Refuse(fmt.Errorf("eventstore: event %d for stream %s has no id", i, a.Stream))
		case len(e.ID) > MaxID:
			return Refuse(fmt.Errorf("%w: an event id of %d bytes, at most %d", eventstore.ErrTooLarge, len(e.ID), MaxID))
		case size > MaxEvent || len(e.Data) > MaxEvent:
			return Refuse(fmt.Errorf("%w: event %s has %d bytes, at most %d", eventstore.ErrTooLarge, e.ID, max(size, len(e.Data)), MaxEvent))
		}
	}
	return nil
}

func (d *Draft) append(ctx context.Context, a *eventstore.Append) (eventstore.Written, error) {
	if err := check(a); err != nil {
		return eventstore.Written{}, err
	}
	s, err := d.open(ctx, a.Stream)
	if err != nil {
		return eventstore.Written{}, err
	}
	if !a.Expect.Met(s.Revision) {
		exact, ok := a.Expect.Exact()
		if !ok || exact > s.Revision || len(a.Events) == 0 {
			return eventstore.Written{}, conflict(s, a)
		}
		return d.behind(ctx, s, a, exact)
	}
	if s.Revision > 0 {
		if w, known, err := d.repeat(ctx, s, a); err != nil || known {
			return w, err
		}
	}
	for i := range a.Events {
		if d.reused(s, &a.Events[i]) {
			return eventstore.Written{}, Refuse(fmt.Errorf("%w: %s comes twice in one append to %s", eventstore.ErrIdempotency, a.Events[i].ID, s.Name))
		}
		d.write(s, &a.Events[i], a.Origin)
	}
	return eventstore.Written{First: min(s.Revision, s.Revision-int64(len(a.Events))+1), Last: s.Revision, Position: s.Position}, nil
}

// reused reports an id that the draft has added to the stream since repeat looked.
func (d *Draft) reused(s *Stream, e *event.Event) bool {
	_, ok := s.find(e.ID)
	return ok
}

func conflict(s *Stream, a *eventstore.Append) error {
	return Refuse(&eventstore.ConflictError{Stream: s.Name, Expected: a.Expect, Actual: s.Revision})
}

// behind compares an append that expects an earlier revision with what is there from then on.
func (d *Draft) behind(ctx context.Context, s *Stream, a *eventstore.Append, exact int64) (eventstore.Written, error) {
	var w eventstore.Written
	for i := range a.Events {
		e, rev := &a.Events[i], exact+int64(i)+1
		var k Known
		if rev <= s.Revision {
			var err error
			if k, err = d.at(ctx, s, rev); err != nil {
				return w, err
			}
		}
		if rev > s.Revision || k.ID != e.ID {
			if i == 0 {
				return w, conflict(s, a)
			}
			return w, Refuse(partial(s, e))
		}
		if !same(k, e) {
			return w, Refuse(otherContent(s, e))
		}
		w = span(w, k)
	}
	return w, nil
}

// repeat looks the ids of an append up that could be written: all of them known makes it a repeat.
func (d *Draft) repeat(ctx context.Context, s *Stream, a *eventstore.Append) (eventstore.Written, bool, error) {
	var w eventstore.Written
	known, missing := 0, 0
	for i := range a.Events {
		e := &a.Events[i]
		k, ok, err := d.find(ctx, s, e.ID)
		if err != nil {
			return w, false, err
		}
		if !ok {
			missing = i
			continue
		}
		if !same(k, e) {
			return w, false, Refuse(otherContent(s, e))
		}
		known++
		w = span(w, k)
	}
	if known > 0 && known < len(a.Events) {
		return w, false, Refuse(partial(s, &a.Events[missing]))
	}
	return w, known > 0, nil
}

func partial(s *Stream, e *event.Event) error {
	return fmt.Errorf("%w: %s is not in %s", eventstore.ErrIdempotency, e.ID, s.Name)
}

func otherContent(s *Stream, e *event.Event) error {
	return fmt.Errorf("%w: event %s in %s", eventstore.ErrIDReused, e.ID, s.Name)
}

func same(k Known, e *event.Event) bool { return k.Type == e.Type && bytes.Equal(k.Data, e.Data) }

func (d *Draft) at(ctx context.Context, s *Stream, revision int64) (Known, error) {
	if revision > s.Base.Revision {
		return s.added[revision-s.Base.Revision-1].known(), nil
	}
	return d.db.At(ctx, s, revision)
}

func (d *Draft) find(ctx context.Context, s *Stream, id string) (Known, bool, error) {
	if w, ok := s.find(id); ok {
		return w.known(), true, nil
	}
	if s.Base.Revision == 0 {
		return Known{}, false, nil
	}
	return d.db.Find(ctx, s, id)
}

func (w *Write) known() Known {
	return Known{Revision: w.Revision, Position: w.Position, ID: w.Event.ID, Type: w.Event.Type, Data: w.Event.Data}
}

// few is how many added events are searched one by one before a map is worth its memory.
const few = 8

func (s *Stream) find(id string) (*Write, bool) {
	if s.ids != nil {
		w, ok := s.ids[id]
		return w, ok
	}
	for _, w := range s.added {
		if w.Event.ID == id {
			return w, true
		}
	}
	return nil, false
}

func (d *Draft) write(s *Stream, e *event.Event, origin string) {
	d.head++
	s.Revision++
	s.Position = d.head
	if len(d.slab) == cap(d.slab) {
		d.slab = make([]Write, 0, 256) // the old one stays alive through its pointers
	}
	d.slab = append(d.slab, Write{Stream: s, Event: e, Origin: origin, Revision: s.Revision, Position: d.head})
	w := &d.slab[len(d.slab)-1]
	s.added = append(s.added, w)
	if s.ids != nil {
		s.ids[e.ID] = w
	} else if len(s.added) > few {
		s.ids = make(map[string]*Write, 4*few)
		for _, w := range s.added {
			s.ids[w.Event.ID] = w
		}
	}
	d.Writes = append(d.Writes, w)
}
