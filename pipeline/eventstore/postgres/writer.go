package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// writer is the committer. It owns the connection that appends.
//
// A transaction takes two round trips: one that takes the lock and then reads all that the units need to be judged by,
// one that writes and commits; between them COPY takes one for itself where there is more than a little to write. The
// lock is taken in a statement of its own, so that what comes behind it sees what was
// committed while it was waited for.
type writer struct {
	s *Store
	c *pgx.Conn // nil: none

	memory memory
	copies []byte // of COPY
}

func newWriter(s *Store) *writer { return &writer{s: s, memory: newMemory()} }

// attempts is how often a batch is tried that was surely not written.
const attempts = 3

// serve commits a batch and answers it, all but a request that it gives back with units still open.
func (w *writer) serve(batch []*request) (left *request) {
	var err error
	for range attempts {
		if left, err = w.transact(batch); err == nil {
			return left
		}
		if errors.Is(err, errUnknown) || !errors.Is(classify(err), eventstore.ErrUnavailable) || w.s.queue.Closed() {
			break
		}
		var refused *pgconn.ConnectError
		if errors.As(err, &refused) {
			break
		}
	}
	if isConstraint(err) && (len(batch) > 1 || batch[0].take > 1) {
		return w.apart(batch)
	}
	w.s.log.Error("the event store could not write", "err", err)
	answer(batch, classify(err))
	return nil
}

// apart commits units one by one, where one of them breaks a rule of the schema: alone, it hurts nobody else.
func (w *writer) apart(batch []*request) *request {
	for _, r := range batch {
		for one := r; one != nil; {
			one.take = 1
			next, err := w.transact([]*request{one})
			if err != nil {
				answer([]*request{r}, classify(err))
				break
			}
			one = next
		}
	}
	return nil
}

func (w *writer) connect() error {
	if w.c != nil && !w.c.IsClosed() {
		return nil
	}
	w.memory.forget()
	ctx, cancel := context.WithTimeout(w.s.ctx, roundTrip/3)
	defer cancel()
	c, err := w.s.connect(ctx)
	if err != nil {
		return err
	}
	w.c = c
	return nil
}

func (w *writer) disconnect() {
	if w.c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.c.Close(ctx)
	w.c = nil
}

// errUnknown says that the outcome of a commit could not be found out.
var errUnknown = errors.New("postgres: whether the commit went through is not known")

// transact runs a batch in one transaction. After an error nothing of it is there, unless it is errUnknown.
func (w *writer) transact(batch []*request) (left *request, err error) {
	if err := w.connect(); err != nil {
		return nil, err
	}
	// A deadline on the connection, as a context with one costs a goroutine for each message.
	ctx := context.Background()
	if err := w.c.PgConn().Conn().SetDeadline(time.Now().Add(2 * roundTrip)); err != nil {
		return nil, w.abandon(ctx, err)
	}
	known, err := w.lookup(ctx, batch)
	if err != nil {
		return nil, w.abandon(ctx, err)
	}
	d := plan.New(known, known.head, plan.Clock(w.s.now(), known.committed))
	beside, ended, err := w.fill(ctx, d, batch)
	if err != nil {
		return nil, w.abandon(ctx, err)
	}
	if d.Empty() && !beside {
		_ = w.abandon(ctx, nil)
	} else if err := w.commit(ctx, d, beside); err != nil {
		return nil, err
	}
	w.remember(d)
	for i, r := range batch {
		if r.Next = ended[i]; r.Next < len(r.Units) {
			left = r
			continue
		}
		r.Answer()
	}
	return left, nil
}

// abandon rolls back. Where that fails the connection is given up, and with it the server rolls back.
func (w *writer) abandon(ctx context.Context, cause error) error {
	if cause != nil {
		w.memory.forget()
	}
	if !w.c.IsClosed() {
		if _, err := w.c.Exec(ctx, "ROLLBACK"); err == nil {
			return cause
		}
	}
	w.disconnect()
	w.memory.forget()
	return cause
}

// fill judges a batch's units. Beside reports that something was written already, beside the draft.
func (w *writer) fill(ctx context.Context, d *plan.Draft, batch []*request) (beside bool, ended []int, err error) {
	effects := w.effects(ctx, &beside)
	ended = make([]int, len(batch))
	for i, r := range batch {
		end := r.Next + r.take
		if r.Err = nil; r.Fence != nil {
			if r.Err, err = w.fenced(ctx, r.Fence); err != nil {
				return false, nil, err
			}
			if r.Err != nil {
				ended[i] = len(r.Units)
				continue
			}
		}
		for ended[i] = r.Next; ended[i] < end; ended[i]++ {
			u := r.Units[ended[i]]
			if err := d.Add(context.WithoutCancel(r.Ctx), u, effects); err != nil {
				return false, nil, err
			}
			if u.Result.Status == eventstore.Refused && r.Ordered {
				ended[i] = len(r.Units)
				break
			}
		}
	}
	return beside, ended, nil
}

// fenced reports whether a call's lease is another's by now. Until the transaction ends nobody can take it: so whoever
// takes it sees what was committed under it.
func (w *writer) fenced(ctx context.Context, fence *eventstore.Lease) (refused, err error) {
	var l eventstore.Lease
	err = w.c.QueryRow(ctx, "SELECT owner, epoch FROM leat_leases WHERE name = $1 FOR SHARE", escape(fence.Name)).Scan(&l.Owner, &l.Epoch)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	l.Owner = unescape(l.Owner)
	return plan.CheckFence(l, fence), nil
}

// commit is the second round trip.
func (w *writer) commit(ctx context.Context, d *plan.Draft, beside bool) error {
	b := &pgx.Batch{}
	if err := w.write(ctx, b, d); err != nil {
		return w.abandon(ctx, err)
	}
	if len(d.Writes) > 0 {
		b.Queue("SELECT pg_notify($1, $2)", channel, fmt.Sprintf("%s %d %d", w.s.logID, d.Head(), d.Committed().UnixMicro()))
	}
	var tag pgconn.CommandTag
	b.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error { tag = t; return nil })
	err := w.c.SendBatch(ctx, b).Close()
	switch {
	case err == nil && tag.String() == "COMMIT":
		return nil
	case err == nil:
		err = fmt.Errorf("%w: the server rolled back (%s)", eventstore.ErrUnavailable, tag)
	}
	if !w.c.IsClosed() && !fatal(err) {
		return w.abandon(ctx, err) // a statement before the COMMIT failed
	}
	w.s.log.Warn("the connection was lost at a commit; its outcome is asked for", "err", err)
	return w.resolve(d, beside, err)
}

// fatal tells an error with which the server ended the session from that of a statement.
func fatal(err error) bool {
	var e *pgconn.PgError
	return !errors.As(err, &e) || e.Severity == "FATAL" || e.Severity == "PANIC" || e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
}

// resolve finds out what became of a transaction whose connection was lost at its commit: nil where it is committed,
// the cause, as ErrUnavailable, where it is not.
//
// The server's own word (pg_xact_status) is not asked for: after a crash it gives out the numbers of transactions again
// whose traces it has lost.
func (w *writer) resolve(d *plan.Draft, beside bool, cause error) error {
	w.disconnect()
	w.memory.forget()
	ctx, cancel := context.WithTimeout(context.Background(), roundTrip/3)
	defer cancel()
	var last error
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		there, sure, err := w.ask(ctx, d)
		switch {
		case err != nil:
			last = err
		case beside && !sure:
			return fmt.Errorf("%w: %w", errUnknown, cause)
		case there:
			return nil
		default:
			return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, cause)
		}
		select { // the server is starting again, or the lost session is still at its commit
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		case <-w.s.queue.Closing():
		}
		return fmt.Errorf("%w: %w", errUnknown, errors.Join(cause, last))
	}
}

// ask takes the lock, which the lost session has let go of only when it is through, and looks for what the draft would
// have written: its last event, which is sure, or, where it has none, all of its marks and cursors, which say nothing of
// what else was to be done.
func (w *writer) ask(ctx context.Context, d *plan.Draft) (there, sure bool, err error) {
	if err := w.connect(); err != nil {
		return false, false, err
	}
	tx, err := w.c.Begin(ctx)
	if err != nil {
		w.disconnect()
		return false, false, err
	}
	defer func() {
		if e := tx.Rollback(ctx); e != nil {
			w.disconnect()
		}
	}()
	var id string
	if err := tx.QueryRow(ctx, lockLog).Scan(&id); err != nil {
		return false, false, err
	}
	if n := len(d.Writes); n > 0 {
		var r row
		e := d.Writes[n-1]
		r.set(e, d.Committed(), e.Stream.Base.Ref.(*stream).key)
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM leat_events WHERE position = $1 AND stream = $2 AND revision = $3 AND id_hash = $4 AND crc = $5)",
			r.position, r.stream, r.revision, r.idHash, r.crc).Scan(&there)
		return there, true, err
	}
	there = len(d.Marks)+len(d.Cursors) > 0
	for m := range d.Marks {
		var one bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM leat_inbox WHERE pipeline = $1 AND key = $2)", escape(m.Pipeline), markKey(m.Key)).Scan(&one); err != nil {
			return false, false, err
		}
		there = there && one
	}
	for c, value := range d.Cursors {
		var one bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM leat_cursors WHERE pipeline = $1 AND key = $2 AND value = $3)", escape(c.Pipeline), escape(c.Key), escape(value)).Scan(&one); err != nil {
			return false, false, err
		}
		there = there && one
	}
	return there, false, nil
}

// remember takes a committed draft into memory and wakes those who wait for it.
func (w *writer) remember(d *plan.Draft) {
	w.memory.committed(d)
	if len(d.Writes) == 0 {
		return
	}
	w.s.ring.Put(d)
	w.s.ends.Publish(d.Head(), d.Committed())
}
