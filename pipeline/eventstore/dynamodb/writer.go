package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// request is a call that waits for the committer.
type request struct {
	ctx   context.Context
	units []*eventstore.Unit
	o     eventstore.CommitOptions
	next  int // of units: those before it are answered
	// takeIn brings what the shared table has already.
	takeIn bool

	err   error
	state atomic.Int32 // waiting, taken or withdrawn
	done  chan struct{}
}

const (
	waiting int32 = iota
	taken
	withdrawn
)

// errUnknown says that the outcome of a commit could not be found out.
var errUnknown = errors.New("dynamodb: whether the commit went through is not known")

// Commit implements eventstore.Log.
func (s *Store) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	for _, u := range units {
		u.Result = eventstore.Result{}
	}
	if err := s.ready(ctx); err != nil || len(units) == 0 {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	s.still.RLock()
	defer s.still.RUnlock()
	return s.enqueue(ctx, &request{ctx: ctx, units: units, o: o, done: make(chan struct{})})
}

// enqueue has the committer serve a request.
func (s *Store) enqueue(ctx context.Context, r *request) error {
	select {
	case s.queue <- r:
	case <-s.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	case <-s.stopped:
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return eventstore.ErrClosed
		}
	}
	<-r.done
	return r.err
}

// writer is the committer.
type writer struct {
	s *Store
	// end is the log's end as the writer has seen it; streams holds as long as it is true.
	end     logEnd
	streams map[event.Stream]*stream
	places  int
	types   map[string]bool // of streams that are in the table's list
	race    race
	units   int // that one transaction takes; fewer while the table has no capacity for more
}

func newWriter(s *Store) *writer {
	return &writer{s: s, end: s.seen(), streams: map[event.Stream]*stream{}, types: map[string]bool{}, race: newRace(), units: most}
}

// maxPlaces bounds what is remembered of streams, about 64 MB.
const maxPlaces = 4 << 20

func (w *writer) forget() { w.streams, w.places = map[event.Stream]*stream{}, 0 }

// run serves the queue until the store is closed.
func (w *writer) run() {
	defer close(w.s.stopped)
	var left []*request
	for {
		if len(left) == 0 {
			select {
			case r := <-w.s.queue:
				left = append(left, r)
			case <-w.s.closing:
				w.finish(left)
				return
			}
		}
		if room := w.race.room(time.Now()); room > 0 {
			w.leave(room)
		}
		for more := true; more && len(left) < 4*most; {
			select {
			case r := <-w.s.queue:
				left = append(left, r)
			default:
				more = false
			}
		}
		batch := left[:0]
		for _, r := range left {
			if r.state.CompareAndSwap(waiting, taken) || r.state.Load() == taken {
				batch = append(batch, r)
			}
		}
		left = w.serve(batch)
		if w.s.closed() && len(left) > 0 {
			// What was begun is brought to its end; what waits in the queue is not.
			for len(left) > 0 && left[0].next > 0 {
				left = w.serve(left)
			}
			w.finish(left)
			return
		}
	}
}

// leave waits, unless the store is closed meanwhile.
func (w *writer) leave(room time.Duration) {
	t := time.NewTimer(room)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.s.closing:
	}
}

func (w *writer) finish(left []*request) {
	for _, r := range left {
		r.err = eventstore.ErrClosed
		close(r.done)
	}
	for {
		select {
		case r := <-w.s.queue:
			if r.state.CompareAndSwap(waiting, taken) {
				r.err = eventstore.ErrClosed
				close(r.done)
			}
		default:
			return
		}
	}
}

// serve commits what one transaction takes of a batch, answers those requests that are through, and gives the others.
func (w *writer) serve(batch []*request) (left []*request) {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.s.ctx), 3*w.s.cfg.Patience)
	defer cancel()
	ends, err := w.transact(ctx, batch)
	if err != nil {
		w.forget()
		w.s.log.Error("the event store could not write", "err", err)
		for _, r := range batch[:len(ends)] {
			for _, u := range r.units[r.next:] {
				u.Result = eventstore.Result{}
			}
			r.err = err
			close(r.done)
		}
		return batch[len(ends):]
	}
	for i, r := range batch {
		if i < len(ends) {
			if r.next = ends[i]; r.next >= len(r.units) {
				close(r.done)
				continue
			}
		}
		left = append(left, r)
	}
	return left
}

// transact runs what fits into one transaction, again where another writer was faster. Ends says how far each of the
// first requests is then, or which ones an error is for.
func (w *writer) transact(ctx context.Context, batch []*request) (ends []int, err error) {
	if w.race.looks(time.Now()) || w.s.seen().position > w.end.position {
		if _, err := w.catchUp(ctx); err != nil {
			return make([]int, 1), err
		}
	}
	for lost := 0; ; {
		d, err := w.draft(ctx, batch)
		if err != nil {
			return make([]int, max(1, min(len(batch), 1))), err
		}
		// A draft that appends is true if its condition holds. One that only refuses and repeats must see that nobody has
		// written since the streams were read.
		if d.nonce == "" && d.judged {
			moved, err := w.catchUp(ctx)
			if err != nil {
				return d.ends, err
			}
			if moved {
				continue
			}
		}
		if len(d.writes) == 0 {
			w.took(d)
			return d.ends, nil
		}
		units := 0
		for i, end := range d.ends {
			units += end - batch[i].next
		}
		attempt := ctx
		if units > 1 {
			attempt = context.WithValue(ctx, lessKey{}, true)
		}
		began := time.Now()
		err = w.s.transact(attempt, d.writes)
		switch {
		case err == nil:
			w.race.won(time.Since(began))
			w.units = min(w.units+max(1, w.units/8), most)
			w.took(d)
			return d.ends, nil
		case errors.Is(err, errLess):
			// A transaction takes its capacity at once: one that is more than the table has left is refused for ever, a smaller
			// one goes through.
			w.units = max(1, units/2)
			if !pause(ctx, firstWait) {
				return d.ends, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
			}
			continue
		case isCancelled(err):
			// Somebody else was faster, or it was this very transaction, whose answer was lost and whose token is forgotten.
			if there, ok := failed(err, 0); ok && d.nonce != "" && there != nil && text(there, "w") == d.nonce {
				w.took(d)
				return d.ends, nil
			}
			if fault := d.broken(err); fault != nil {
				return d.ends, fault
			}
			w.s.counts.lost()
			moved, err := w.catchUp(ctx)
			if err != nil {
				return d.ends, err
			}
			if lost++; !moved || lost > 2 {
				w.forget() // what is remembered may be what is wrong
			}
		case errors.Is(err, eventstore.ErrUnavailable):
			// Throttled all the time: surely not written. Without an answer: perhaps.
			return d.ends, w.resolve(ctx, d, err)
		default:
			return d.ends, err
		}
		if wait := w.race.lost(lost); wait > 0 && !pause(ctx, wait) || ctx.Err() != nil {
			return d.ends, fmt.Errorf("%w: other writers were faster all the time", eventstore.ErrUnavailable)
		}
	}
}

// resolve finds out what became of a transaction that got no answer.
func (w *writer) resolve(ctx context.Context, d *draft, cause error) error {
	if d.nonce == "" {
		return fmt.Errorf("%w: %w", errUnknown, cause)
	}
	i, err := w.s.get(ctx, key(logPK(bucket(d.first)), pad(d.first)))
	if err == nil && i != nil && text(i, "w") == d.nonce {
		w.took(d)
		return nil
	}
	if err == nil && i != nil {
		return cause // the place is another's: ours cannot come any more
	}
	return fmt.Errorf("%w: %w", errUnknown, cause)
}

// draft is a transaction that is going to be tried.
type draft struct {
	plan    *plan.Draft
	known   *known
	judged  bool // streams were looked at
	writes  []types.TransactWriteItem
	streams map[event.Stream]*stream // as they are going to be
	types   []string
	ends    []int
	nonce   string // in the log's items; "" where there is none
	first   int64  // position

	shared  sharedWrites
	takenIn map[*event.Event]bool // what the shared table has already
	why     map[event.Stream]bar
}

// draft judges as many units as one transaction takes.
func (w *writer) draft(ctx context.Context, batch []*request) (*draft, error) {
	batch = batch[:len(batch):len(batch)]
	var counts []int
	var part int
	var k *known
	why := map[event.Stream]bar{}
	for again := true; again; {
		clear(why)
		counts, part = w.fits(batch)
		k = &known{w: w, marks: map[plan.MarkID]markState{}, rows: map[int64]bool{}}
		err := k.read(ctx, batch[:part], counts)
		if err != nil {
			return nil, err
		}
		if again, err = w.meet(ctx, batch[:part], counts, why); err != nil {
			return nil, err
		}
	}
	c := w.s.newChange()
	d := &draft{known: k, takenIn: map[*event.Event]bool{}, why: why, plan: plan.New(k, w.end.position, plan.Clock(w.s.now(), w.end.committed))}
	effects := func(unit context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error {
		restore := c.snapshot()
		gone, err := w.s.unpark(ctx, c, u.Unpark)
		switch {
		case err != nil || repeated:
			return err
		case gone:
			err = plan.Refuse(eventstore.ErrGone)
		default:
			if err = w.s.park(ctx, c, u.Park); err == nil && u.Within != nil {
				err = w.within(unit, c, u, written)
			}
		}
		if err != nil {
			restore()
		}
		return err
	}
	for i, r := range batch[:part] {
		if r.o.Fence != nil {
			var present eventstore.Lease
			if _, err := load(ctx, c, docKey{leaseDocs, r.o.Fence.Name}, &present); err != nil {
				return nil, err
			}
			if err := plan.CheckFence(present, r.o.Fence); err != nil {
				r.err = err
				for _, u := range r.units[r.next:] {
					u.Result = eventstore.Result{}
				}
				d.ends = append(d.ends, len(r.units))
				continue
			}
			c.check(docKey{leaseDocs, r.o.Fence.Name})
		}
		end := r.next + counts[i]
		at := r.next
		for ; at < end; at++ {
			u := r.units[at]
			d.judged = d.judged || len(u.Appends) > 0
			if r.takeIn {
				d.note(u)
			}
			if err := w.judge(ctx, d, u, effects); err != nil {
				return nil, err
			}
			if u.Result.Status == eventstore.Refused && r.o.Ordered {
				at = len(r.units)
				break
			}
		}
		d.ends = append(d.ends, min(at, len(r.units)))
	}
	return d, w.assemble(d, c)
}

// withinItems is how many rows a unit's own writes may be, with one item for each table that they are in.
const withinItems = 25

// within runs Unit.Within; a panic in it is the unit's fault, not the store's.
func (w *writer) within(ctx context.Context, c *change, u *eventstore.Unit, written []event.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = plan.Refuse(event.PoisonAs(event.CodePanic, fmt.Errorf("dynamodb: panic in the unit's own transaction: %v", p)))
		}
	}()
	before, checks := len(c.rows), c.checks()
	if err := u.Within(ctx, within{&Tables{w.s}, c}, written); err != nil {
		if errors.Is(err, eventstore.ErrUnavailable) {
			return err
		}
		return plan.Refuse(err)
	}
	checks = c.checks() - checks
	if n := len(c.rows) - before; n+checks > withinItems {
		return plan.Refuse(fmt.Errorf("%w: %d rows in the append's own transaction, which DynamoDB bounds; here %d may be: take inline away", eventstore.ErrTooLarge, n, withinItems-checks))
	}
	return nil
}

// judge adds a unit, unless it is larger than any transaction.
func (w *writer) judge(ctx context.Context, d *draft, u *eventstore.Unit, effects plan.Effects) error {
	var large error
	if d.taken(u) {
		large = unfit(u)
	} else if large = tooLarge(u); large == nil && w.s.shared != nil {
		if large = w.s.shared.refuse(u); large == nil {
			large = d.forbidden(u)
		}
	}
	if large == nil {
		return d.plan.Add(ctx, u, effects)
	}
	u.Result = eventstore.Result{Status: eventstore.Refused, Err: large}
	return nil
}

// took takes a committed draft into memory and wakes those who wait for it.
func (w *writer) took(d *draft) {
	for name, st := range d.streams {
		if old := w.streams[name]; old != nil {
			w.places -= len(old.tail) + len(old.older)
		}
		w.streams[name] = st
		w.places += len(st.tail) + len(st.older)
		w.s.told.note(name, st.revision) // where the answer was lost, it may not be visible yet
	}
	for _, t := range d.types {
		w.types[t] = true
	}
	if w.places > maxPlaces {
		w.forget()
	}
	if len(d.plan.Writes) == 0 {
		return
	}
	w.end.position, w.end.committed = d.plan.Head(), d.plan.Committed()
	w.s.ends.Publish(w.end.position, w.end.committed)
}

// room bounds the items beside the log's that an append adds to a transaction: the stream's head, once; the item of its
// places, where the head is going to be full, or nobody knows; its type, where it may be the first.
func (w *writer) room(name event.Stream, events int, streams map[event.Stream]int, kinds map[string]bool) (n int) {
	before, seen := streams[name]
	streams[name] = before + events
	known := w.streams[name]
	tail := tailPlaces
	if known != nil {
		tail = len(known.tail)
	}
	if !seen {
		n++
	}
	if tail+before+events > tailPlaces && (!seen || tail+before <= tailPlaces) {
		n++
	}
	if !w.types[name.Type] && !kinds[name.Type] && (known == nil || known.revision == 0) {
		kinds[name.Type] = true
		n++
	}
	return n
}

// cost bounds the items of a transaction that a unit takes, without those for its streams.
func cost(u *eventstore.Unit) int {
	n := 6*len(u.Park) + 3*len(u.Unpark) + len(u.Outbox)
	for i := range u.Appends {
		n += min(len(u.Appends[i].Events), 40)
	}
	if u.Inbox != nil {
		n++
	}
	if u.Cursor != nil {
		n++
	}
	if u.Within != nil {
		n += withinItems
	}
	return n
}

// weightOf is about the bytes that a unit writes.
func weightOf(u *eventstore.Unit) int {
	n := 500
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			e := &u.Appends[i].Events[j]
			n += (len(e.Raw)+len(e.Data)+len(e.Metadata)+400)*4/3 + 200
		}
	}
	for i := range u.Park {
		n += min(len(u.Park[i].Payload), inlinePayload)*2 + len(u.Park[i].Stack) + len(u.Park[i].Reason) + 1000
	}
	return n
}

// transactBytes bounds a transaction; the service takes 4 MB.
const transactBytes = 3800 << 10

// fits says how many units of each request one transaction takes, at least one of all.
func (w *writer) fits(batch []*request) (counts []int, part int) {
	items, bytes, total := 0, 0, 0
	cursors := map[plan.CursorID]bool{}
	streams, kinds := map[event.Stream]int{}, map[string]bool{}
	for _, r := range batch {
		n := 0
		if r.o.Fence != nil {
			items++
		}
		for _, u := range r.units[r.next:] {
			c, b := cost(u), weightOf(u)
			if !r.takeIn {
				c, b = c+w.s.shared.items(u), b+w.s.shared.bytes(u)
			}
			if u.Cursor != nil {
				id := plan.CursorID{Pipeline: u.Pipeline, Key: u.Cursor.Key}
				if cursors[id] {
					c--
				}
				cursors[id] = true
			}
			for i := range u.Appends {
				c += w.room(u.Appends[i].Stream, len(u.Appends[i].Events), streams, kinds)
			}
			if total > 0 && (total >= w.units || items+c > most || bytes+b > transactBytes) {
				if n > 0 {
					counts = append(counts, n)
				}
				return counts, len(counts)
			}
			items, bytes, n, total = items+c, bytes+b, n+1, total+1
		}
		counts = append(counts, n)
	}
	return counts, len(counts)
}

// assemble makes the transaction's items. The first is that of the log's next position: its condition is the one that
// tells of other writers.
func (w *writer) assemble(d *draft, c *change) error {
	table := &w.s.cfg.Table
	committed := d.plan.Committed()
	docs := c.writes()
	if ws := d.plan.Writes; len(ws) > 0 {
		d.nonce, d.first, d.streams = w.race.nonce(), ws[0].Position, map[event.Stream]*stream{}
		heads := map[event.Stream]int64{} // the revision that stands there
		places := map[event.Stream][]place{}
		written := map[event.Stream]*span{}
		// What is left of the hundred for the log's items, when all else has its room.
		room := most - len(docs) - len(d.plan.Marks) - len(d.plan.Cursors) - len(d.plan.Rows)
		streams, kinds := map[event.Stream]int{}, map[string]bool{}
		for _, e := range ws {
			room -= w.room(e.Stream.Name, 1, streams, kinds)
		}
		w.s.shared.writes(d)
		room -= len(d.shared.writes)
		for _, group := range groups(ws, room) {
			i, err := logItem(group, committed, d.nonce)
			if err != nil {
				return err
			}
			d.writes = append(d.writes, types.TransactWriteItem{Put: &types.Put{
				TableName: table, Item: i, ConditionExpression: ptr("attribute_not_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}})
			for _, e := range group {
				name := e.Stream.Name
				heads[name] = e.Stream.Base.Revision
				at := committed
				if d.takenIn[e.Event] {
					at = e.Event.Time
				}
				if written[name] == nil {
					written[name] = &span{first: at}
				}
				written[name].last = at
				places[name] = append(places[name], place{e.Position, group[0].Position, hashID(e.Event.ID)})
			}
		}
		for name, ps := range places {
			st := w.grown(name, ps, written[name])
			if len(st.tail) > tailPlaces {
				i := key(streamPK(name), pad(st.from))
				i["k"] = bin(appendPlaces(nil, st.tail))
				d.writes = append(d.writes, types.TransactWriteItem{Put: &types.Put{TableName: table, Item: i}})
				if st.complete {
					st.older = append(st.older[:len(st.older):len(st.older)], st.tail...)
				}
				st.from, st.tail = st.revision+1, nil
			}
			put := &types.Put{TableName: table, Item: st.item(name), ConditionExpression: ptr("attribute_not_exists(pk)")}
			if r := heads[name]; r > 0 {
				put.ConditionExpression, put.ExpressionAttributeValues = ptr("r = :r"), item{":r": num(r)}
			} else if !w.types[name.Type] {
				d.types = append(d.types, name.Type)
				w.types[name.Type] = true // once in a transaction
				d.writes = append(d.writes, types.TransactWriteItem{Put: &types.Put{TableName: table, Item: key("T", "k"+escape(name.Type))}})
			}
			d.writes = append(d.writes, types.TransactWriteItem{Put: put})
			d.streams[name] = st
		}
		for _, t := range d.types {
			delete(w.types, t)
		}
	}
	for id, h := range d.plan.Marks {
		if d.known.marks[id].known {
			continue
		}
		i := key(markPK(id.Pipeline), markSK(id.Key))
		i["h"], i["c"] = num(int64(h)), num(committed.UnixMicro())
		if name := text(i, sk); name != "k"+escape(id.Key) {
			i["key"] = str(escape(id.Key))
		}
		d.writes = append(d.writes, types.TransactWriteItem{Put: &types.Put{
			TableName: table, Item: i, ConditionExpression: ptr("attribute_not_exists(pk)"),
		}})
	}
	for id, value := range d.plan.Cursors {
		i := key(cursorPK(id.Pipeline), "k"+escape(id.Key))
		i["v"] = str(escape(value))
		d.writes = append(d.writes, types.TransactWriteItem{Put: &types.Put{TableName: table, Item: i}})
	}
	for id := range maps.Keys(d.plan.Rows) {
		d.writes = append(d.writes, types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: key(outboxPK, pad(id)), ConditionExpression: ptr("attribute_exists(pk)")}})
	}
	d.writes = append(d.writes, docs...)
	d.shared.base = len(d.writes)
	d.writes = append(d.writes, d.shared.writes...)
	if len(d.writes) > most {
		return fmt.Errorf("dynamodb: a transaction of %d items", len(d.writes))
	}
	return nil
}

// span is when a stream's events in a transaction were written.
type span struct{ first, last time.Time }

// grown gives a stream with places added to its tail.
func (w *writer) grown(name event.Stream, ps []place, at *span) *stream {
	st := &stream{from: 1, complete: true, created: at.first}
	if old := w.streams[name]; old != nil && old.revision > 0 {
		copied := *old
		st = &copied
		st.tail = append(st.tail[:len(st.tail):len(st.tail)], ps...)
	} else {
		st.tail = ps
	}
	st.revision += int64(len(ps))
	st.position, st.updated = ps[len(ps)-1].position, at.last
	return st
}

// groups cuts writes into items: one each while there is room, else neighbours of one stream together.
func groups(ws []*plan.Write, room int) [][]*plan.Write {
	var out [][]*plan.Write
	crowded := len(ws) > room
	size := 0
	for i, w := range ws {
		n := packed(w)
		if crowded && i > 0 && w.Stream == ws[i-1].Stream && w.Origin == ws[i-1].Origin && bucket(w.Position) == bucket(ws[i-1].Position) && size+n < maxItem {
			out[len(out)-1] = append(out[len(out)-1], w)
			size += n
			continue
		}
		out = append(out, []*plan.Write{w})
		size = n
	}
	return out
}

// tooLarge refuses a unit that no transaction takes, in words.
func tooLarge(u *eventstore.Unit) error {
	items := cost(u)
	streams := map[event.Stream]bool{}
	for i := range u.Appends {
		if name := u.Appends[i].Stream; !streams[name] {
			streams[name] = true
			items += 3 // its head, its places, its type
		}
	}
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			e := &u.Appends[i].Events[j]
			n := max(len(e.Raw), len(e.Data)) + len(e.Metadata) + 1024
			if _, view := e.DataAt(); len(e.Raw) > 0 && len(e.Data) > 0 && !view && !e.Changed {
				n += min(len(e.Raw), len(e.Data))
			}
			if n > maxItem {
				return fmt.Errorf("%w: event %s has %d bytes; an item of DynamoDB holds 400 KB", eventstore.ErrTooLarge, e.ID, n-1024)
			}
		}
	}
	if bytes := weightOf(u); bytes > transactBytes {
		return fmt.Errorf("%w: the unit has about %d bytes; a transaction of DynamoDB holds 4 MB", eventstore.ErrTooLarge, bytes)
	}
	if items > most {
		own := 0
		if u.Within != nil {
			own = withinItems
		}
		return fmt.Errorf("%w: the unit takes about %d items (%d streams, %d parked events, %d rows of its own); a transaction of DynamoDB holds %d", eventstore.ErrTooLarge, items, len(streams), len(u.Park), own, most)
	}
	return nil
}
