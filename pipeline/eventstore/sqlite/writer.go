package sqlite

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/eventstore/queue"
	tables "github.com/leatdev/leat/pipeline/table/sqlite"
)

// request is a call that waits for the committer: units, or a job.
type request struct {
	queue.Commit
	// job runs in a savepoint; its error takes back what it did and is given to its caller alone.
	job func(c *conn) error
}

// submit waits until a request is answered.
func (s *Store) submit(r *request) error {
	if err := r.Ctx.Err(); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	return s.queue.Submit(r.Ctx, r)
}

// do runs a job in a transaction that it may share with others.
func (s *Store) do(ctx context.Context, job func(c *conn) error) error {
	return s.submit(&request{Commit: queue.Commit{Ctx: ctx}, job: job})
}

// writeTables is the tables' way to the writer.
func (s *Store) writeTables(ctx context.Context, fn func(tables.Conn) error) error {
	return s.do(ctx, func(c *conn) error { return fn(steady{c.sql}) })
}

// Commit implements eventstore.Log.
func (s *Store) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	for _, u := range units {
		u.Result = eventstore.Result{}
	}
	if len(units) == 0 {
		return s.ready(ctx)
	}
	s.still.RLock()
	defer s.still.RUnlock()
	return s.submit(&request{Commit: queue.Commit{Ctx: ctx, Units: units, Ordered: o.Ordered, Fence: o.Fence}})
}

// writer is the committer: it owns the one connection that writes.
type writer struct {
	s *Store
	c *conn

	gate  chan struct{} // taken by each transaction, and by the checkpointer when it needs a pause
	bytes int           // about what the batch under way writes
	enc   encoder

	head      int64
	committed time.Time
	broken    bool      // memory may differ from the file
	told      time.Time // when the log heard last that nothing can be written
	down      bool      // and has not heard yet that it goes again
}

// reload reads where the log ends, and the part of the index that is in memory.
func (w *writer) reload(ctx context.Context) error {
	e, err := readEnd(ctx, w.c)
	if err != nil {
		return err
	}
	x := newIndex()
	if err := x.recover(ctx, w.c, e.indexed, e.head); err != nil {
		return classify(err)
	}
	if w.s.logID == "" { // it never changes, and others read it
		w.s.logID = e.logID
	}
	w.s.index.replace(x)
	w.head, w.committed = e.head, e.committed
	w.s.ends.Publish(e.head, e.committed)
	w.broken = false
	return nil
}

// end is the row of leat_log.
type end struct {
	logID         string
	head, indexed int64
	committed     time.Time
}

func readEnd(ctx context.Context, c *conn) (e end, err error) {
	row, err := c.one(ctx, "SELECT log_id, head, committed, indexed, (SELECT coalesce(max(position), 0) FROM leat_events) FROM leat_log")
	if err != nil {
		return e, classify(err)
	}
	if row == nil {
		return e, fmt.Errorf("%w: the row of leat_log is gone", eventstore.ErrCorrupt)
	}
	e.logID, _ = row[0].(string)
	e.head, _ = row[1].(int64)
	us, _ := row[2].(int64)
	e.indexed, _ = row[3].(int64)
	last, _ := row[4].(int64)
	if last != e.head || e.indexed > e.head {
		return e, fmt.Errorf("%w: the log's last event is %d, its head says %d", eventstore.ErrCorrupt, last, e.head)
	}
	if e.head > 0 {
		e.committed = time.UnixMicro(us).UTC()
	}
	return e, nil
}

// room counts what goes into one transaction.
func (w *writer) room() func(*request) bool {
	runtime.Gosched() // callers who were just answered come back before the transaction starts
	units := 0
	w.bytes = 0
	return func(r *request) bool {
		units += len(r.Units) - r.Next + 1
		w.bytes += r.size()
		return units < queue.MaxUnits && w.bytes < queue.MaxBytes
	}
}

// size is about what the request's open units write.
func (r *request) size() int {
	n := 0
	for _, u := range r.Units[r.Next:] {
		n += queue.UnitSize(u)
		if n > queue.MaxBytes {
			break
		}
	}
	return n
}

// serve commits a batch while the checkpointer waits, and answers all but a request that it gives back with units still
// open.
func (w *writer) serve(batch []*request) (left *request) {
	w.gate <- struct{}{}
	left = w.commit(batch)
	<-w.gate
	w.s.check.committed(w.bytes + 1024)
	return left
}

// finish writes the index, so that the next start has nothing to find again.
func (w *writer) finish() {
	if w.broken {
		return
	}
	for range 2 { // the frozen tail, then the present one
		if err := w.flushAll(); err != nil {
			w.s.log.Warn("the index could not be written, the next start reads it from the log", "err", err)
			return
		}
	}
}

func (w *writer) flushAll() error {
	x := w.s.index
	x.freeze(w.head, true)
	if x.frozen == nil {
		return nil
	}
	if _, err := w.c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	n, err := x.write(w.c, int(^uint(0)>>1))
	if err == nil {
		_, err = w.c.exec("COMMIT")
	}
	if err != nil {
		_, _ = w.c.exec("ROLLBACK")
		return err
	}
	x.mu.Lock()
	x.done(n)
	x.mu.Unlock()
	return nil
}

func (w *writer) commit(batch []*request) (left *request) {
	if w.broken {
		if err := w.mend(); err != nil {
			answer(batch, err)
			return nil
		}
	}
	left, err := w.transact(batch)
	if err != nil && isConstraint(err) && len(batch) > 1 {
		// One request breaks a rule of the schema: alone, it hurts nobody else.
		for _, r := range batch {
			for one := r; one != nil; {
				if one, err = w.transact([]*request{one}); err != nil {
					answer([]*request{r}, classify(err))
				}
			}
		}
		return nil
	}
	if err != nil {
		answer(batch, classify(err))
	}
	return left
}

func answer(batch []*request, err error) {
	for _, r := range batch {
		r.Fail(err)
	}
}

// mend brings memory and file together again after a failure that may have parted them.
func (w *writer) mend() error {
	_, _ = w.c.exec("ROLLBACK") // there is none, most of the time
	if err := w.reload(context.Background()); err != nil {
		return fmt.Errorf("%w: the store is read again after a failure: %w", eventstore.ErrUnavailable, err)
	}
	return nil
}

// tellEvery is how often the log hears of a store that cannot write: on a full disk small commits go through between
// large ones that do not.
const tellEvery = 10 * time.Second

// tell notes in the log that the store stopped writing, and that it began again if the log knows of the stop.
func (w *writer) tell(err error) {
	switch now := w.s.now(); {
	case err != nil && now.Sub(w.told) >= tellEvery:
		w.told, w.down = now, true
		w.s.log.Error("the event store cannot write", "err", classify(err))
	case err == nil && w.down:
		w.down = false
		w.s.log.Info("the event store writes again", "head", w.head)
	}
}

// transact runs a batch in one transaction. After an error nothing of it is there, or, where the commit itself failed,
// the file is read again before the next one.
func (w *writer) transact(batch []*request) (left *request, err error) {
	if _, err := w.c.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	x := w.s.index
	d := plan.New(database{w}, w.head, plan.Clock(w.s.now(), w.committed))
	ends := make([]int, len(batch)) // of each request: the units that are in this transaction
	jobs := make([]error, len(batch))
	wrote, slices, err := w.fill(d, batch, ends, jobs)
	if err == nil && wrote {
		_, err = w.c.exec("COMMIT")
		if err != nil {
			w.broken = true
		}
	}
	if err != nil || !wrote {
		if _, e := w.c.exec("ROLLBACK"); e != nil && err == nil {
			err, w.broken = e, true
		} else if e != nil {
			w.broken = true // SQLite had rolled back by itself, or cannot
		}
	}
	if err != nil {
		if w.broken {
			w.tell(err)
		}
		return nil, err
	}
	w.tell(nil)
	w.committedAll(d, x, slices)
	for i, r := range batch {
		if r.job != nil {
			r.Err = classify(jobs[i])
		} else if r.Next = ends[i]; r.Next < len(r.Units) {
			left = r
			continue
		}
		r.Answer()
	}
	return left, nil
}

// fill does a batch's work between BEGIN and COMMIT.
func (w *writer) fill(d *plan.Draft, batch []*request, ends []int, jobs []error) (wrote bool, slices int, err error) {
	units, bytes := 0, 0
	effects := func(ctx context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error {
		wrote = true
		return w.effects(ctx, u, written, repeated)
	}
	for i, r := range batch {
		if r.job != nil {
			wrote = true
			var lost error
			if jobs[i], lost = w.savepoint(func() error { return r.job(w.c) }); lost != nil {
				return false, 0, lost
			}
			continue
		}
		if r.Err = nil; r.Fence != nil {
			l, err := lease(w.c, r.Fence.Name)
			if err != nil {
				return false, 0, err
			}
			if r.Err = plan.CheckFence(l, r.Fence); r.Err != nil {
				ends[i] = len(r.Units)
				continue
			}
		}
		ctx := context.WithoutCancel(r.Ctx)
		for ends[i] = r.Next; ends[i] < len(r.Units); ends[i]++ {
			u := r.Units[ends[i]]
			if i == len(batch)-1 && units > 0 && (units >= queue.MaxUnits || bytes >= queue.MaxBytes) {
				break
			}
			if err := d.Add(ctx, u, effects); err != nil {
				return false, 0, err
			}
			units++
			bytes += queue.UnitSize(u)
			if u.Result.Status == eventstore.Refused && r.Ordered {
				ends[i] = len(r.Units)
				break
			}
		}
	}
	if d.Empty() {
		return wrote, 0, nil
	}
	if err := w.write(d); err != nil {
		return false, 0, err
	}
	slices, err = w.s.index.write(w.c, sliceStreams)
	return true, slices, err
}

// write puts down what the draft has collected.
func (w *writer) write(d *plan.Draft) error {
	for _, e := range d.Writes {
		if _, err := w.c.exec(insertEvent, w.enc.row(e, d.Committed())...); err != nil {
			return err
		}
	}
	for id, hash := range d.Marks {
		if _, err := w.c.exec("INSERT INTO leat_inbox VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", id.Pipeline, id.Key, int64(hash), d.Committed().UnixMicro()); err != nil {
			return err
		}
	}
	for id, value := range d.Cursors {
		if _, err := w.c.exec("INSERT INTO leat_cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", id.Pipeline, id.Key, value); err != nil {
			return err
		}
	}
	for id := range d.Rows {
		if _, err := w.c.exec("DELETE FROM leat_outbox WHERE id = ?", id); err != nil {
			return err
		}
	}
	if len(d.Writes) == 0 {
		return nil
	}
	_, err := w.c.exec("UPDATE leat_log SET head = ?, committed = ?", d.Head(), d.Committed().UnixMicro())
	return err
}

// committedAll takes a committed draft into memory and wakes those who wait for it.
func (w *writer) committedAll(d *plan.Draft, x *index, slices int) {
	x.mu.Lock()
	x.done(slices)
	for _, e := range d.Writes {
		x.add(e.Stream.Base.Ref.(*head), e.Position, d.Committed().UnixMicro(), e.Event.ID)
	}
	x.freeze(d.Head(), false)
	x.mu.Unlock()
	if len(d.Writes) == 0 {
		return
	}
	w.head, w.committed = d.Head(), d.Committed()
	w.s.ring.Put(d)
	w.s.ends.Publish(w.head, w.committed)
}

// savepoint runs fn so that its error takes back what it did. Where even that fails, the transaction is lost.
func (w *writer) savepoint(fn func() error) (err, lost error) {
	if _, err := w.c.exec("SAVEPOINT leat"); err != nil {
		return nil, err
	}
	if err = fn(); err != nil {
		if _, lost = w.c.exec("ROLLBACK TO leat"); lost != nil {
			if outage(err) {
				lost = err // SQLite has rolled back by itself, for this reason
			}
			return err, fmt.Errorf("sqlite: the transaction is lost: %w", lost)
		}
	}
	_, lost = w.c.exec("RELEASE leat")
	return err, lost
}
