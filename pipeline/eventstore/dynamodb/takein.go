package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
)

// What the Lambda has written is taken into the log by the committer, in transactions like all others: the condition on
// the stream's head in leat's table lets each revision in once and in its order, whoever brings it and however often.
// So nothing depends on who looks for it: the daemon that has the lease, an append to the stream, a read of it, or all
// at once.

// takeInUnits makes the units that take events behind a revision in, each small enough for a transaction.
func takeInUnits(name event.Stream, after int64, events []event.Event) (units []*eventstore.Unit) {
	const mostEvents, mostBytes = 200, 512 << 10
	for len(events) > 0 {
		n, size := 1, len(events[0].Data)
		for n < len(events) && n < mostEvents && size+len(events[n].Data) <= mostBytes {
			size += len(events[n].Data)
			n++
		}
		units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{
			Stream: name, Expect: eventstore.Revision(after), Origin: serverless.Origin, Events: events[:n:n],
		}}})
		events, after = events[n:], after+int64(n)
	}
	return units
}

// tries bounds how often a stream is looked at again because somebody else takes it in too.
const tries = 20

// takeIn brings a stream in as far as the shared table has it, through the committer, and says how many events it
// brought itself. It is safe for concurrent use.
func (h *shared) takeIn(ctx context.Context, name event.Stream, to int64) (brought int64, err error) {
	for try := 0; try < tries; {
		have, err := h.have(ctx, name)
		if err != nil || have >= to {
			return brought, err
		}
		events, err := h.behind(ctx, name, have)
		if err != nil {
			return brought, err
		}
		units := takeInUnits(name, have, events)
		if err := h.s.enqueue(ctx, &request{ctx: ctx, units: units, o: eventstore.CommitOptions{Ordered: true}, takeIn: true, done: make(chan struct{})}); err != nil {
			return brought, err
		}
		try++
		for _, u := range units {
			if u.Result.Status == eventstore.Done {
				brought += int64(len(u.Appends[0].Events))
				try = 0 // it goes on
			}
			if err := u.Result.Err; err != nil && !raced(err) {
				return brought, err
			}
		}
	}
	return brought, fmt.Errorf("%w: others were faster all the time", eventstore.ErrUnavailable)
}

// have gives the revision up to which leat's table has a stream.
func (h *shared) have(ctx context.Context, name event.Stream) (int64, error) {
	i, err := h.s.get(ctx, key(streamPK(name), headSK))
	return number(i, "r"), err
}

// current takes in what the shared table has of a stream, so that a reader sees what was written before it asked. A
// store that is open for reading alone shows what others have taken in.
func (h *shared) current(ctx context.Context, name event.Stream) error {
	if !h.names(name) || h.s.cfg.ReadOnly {
		return nil
	}
	heads, err := h.heads(ctx, []string{name.ID})
	if err != nil {
		return err
	}
	head, ok := heads[name.ID]
	if !ok || head.err != nil {
		return head.err
	}
	if head.name != name {
		return nil
	}
	_, err = h.takeIn(ctx, name, head.revision)
	return err
}

// bar is why nothing can be appended to a stream.
type bar struct {
	err error
	// always: also what expects the stream to exist is refused with err, and not with a conflict.
	always bool
}

// meet looks the streams of a batch up in the shared table, and takes in what leat does not have yet. It reports true
// where it did: then what was read before is old. Why notes what no append to a stream may do.
func (w *writer) meet(ctx context.Context, batch []*request, counts []int, why map[event.Stream]bar) (bool, error) {
	h := w.s.shared
	if h == nil {
		return false, nil
	}
	asked := map[event.Stream]bool{}
	var ids []string
	for n, r := range batch {
		if r.takeIn {
			continue
		}
		for _, u := range r.units[r.next : r.next+counts[n]] {
			for i := range u.Appends {
				if name := u.Appends[i].Stream; h.names(name) && !asked[name] {
					asked[name] = true
					ids = append(ids, name.ID)
				}
			}
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	heads, err := h.heads(ctx, unique(ids))
	if err != nil {
		return false, err
	}
	brought := false
	for name := range asked {
		head, there := heads[name.ID]
		for wait := h.settle(name); w.ahead(name, head) && wait.again(ctx); {
			// Leat's own head may be visible before the Lambda's, which the same transaction wrote.
			now, err := h.heads(ctx, []string{name.ID})
			if err != nil {
				return false, err
			}
			head, there = now[name.ID]
		}
		if w.ahead(name, head) {
			h.broken.Store(name, time.Now())
		}
		have := int64(0)
		if st := w.streams[name]; st != nil {
			have = st.revision
		}
		switch {
		case head.err != nil:
			why[name] = bar{err: head.err, always: true}
		case there && head.name != name && have == 0:
			why[name] = bar{err: errOtherType(name.ID, head.name.Type)}
		case !there && have > 0, there && head.name != name, there && head.revision < have:
			// Leat's head was read first, and never is ahead.
			why[name] = bar{always: true, err: fmt.Errorf("%w: leat has %d events of stream %s, the shared table has %d: it was restored, somebody deleted there, or leat had the stream before it shared the table", eventstore.ErrCorrupt, have, name, head.revision)}
		case there && head.revision > have:
			switch err := w.bring(ctx, name, have, head.revision); {
			case err == nil:
				brought = true
			case errors.Is(err, eventstore.ErrCorrupt), errors.Is(err, eventstore.ErrTooLarge):
				why[name] = bar{err: err, always: true} // the stream's fault, not its neighbours'
			default:
				return false, err
			}
		}
	}
	return brought, nil
}

// ahead reports a stream of which leat has more than the shared table.
func (w *writer) ahead(name event.Stream, head sharedHead) bool {
	st := w.streams[name]
	return st != nil && head.err == nil && (head.name == name || head.name.ID == "") && head.revision < st.revision
}

func errOtherType(id, typ string) error {
	return fmt.Errorf("eventstore: stream id %s is one of type %q already: in a table of serverless-event-store an id is one of all types", id, typ)
}

// bring takes a stream in from within the committer.
func (w *writer) bring(ctx context.Context, name event.Stream, after, to int64) error {
	for after < to {
		events, err := w.s.shared.behind(ctx, name, after)
		if err != nil {
			return err
		}
		r := &request{ctx: ctx, units: takeInUnits(name, after, events), o: eventstore.CommitOptions{Ordered: true}, takeIn: true}
		for r.next < len(r.units) {
			ends, err := w.transact(ctx, []*request{r})
			if err != nil {
				return err
			}
			r.next = ends[0]
		}
		for _, u := range r.units {
			if err := u.Result.Err; err != nil && raced(err) {
				return nil // the caller looks again
			} else if err != nil {
				return err
			}
		}
		after += int64(len(events))
	}
	return nil
}

// raced reports an error of those who bring what others have brought meanwhile.
func raced(err error) bool {
	var c *eventstore.ConflictError
	return errors.As(err, &c) || errors.Is(err, eventstore.ErrIdempotency)
}

// forbidden refuses a unit for what meet has noted, and for an id that another stream of the draft has.
func (d *draft) forbidden(u *eventstore.Unit) error {
	own := map[string]string{}
	for i := range u.Appends {
		a := &u.Appends[i]
		if !serverless.Names(a.Stream) || len(a.Events) == 0 {
			continue
		}
		if b := d.why[a.Stream]; b.err != nil && (b.always || a.Expect.Met(0)) {
			return b.err
		}
		if t, ok := own[a.Stream.ID]; ok && t != a.Stream.Type {
			return errOtherType(a.Stream.ID, t)
		}
		own[a.Stream.ID] = a.Stream.Type
	}
	for _, w := range d.plan.Writes {
		if t, ok := own[w.Stream.Name.ID]; ok && t != w.Stream.Name.Type && serverless.Names(w.Stream.Name) {
			return errOtherType(w.Stream.Name.ID, w.Stream.Name.Type)
		}
	}
	return nil
}

// note keeps what a request brings in, which is not written into the shared table again.
func (d *draft) note(u *eventstore.Unit) {
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			d.takenIn[&u.Appends[i].Events[j]] = true
		}
	}
}

func unique(ids []string) (out []string) {
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// taken reports a unit that note has seen.
func (d *draft) taken(u *eventstore.Unit) bool {
	return len(u.Appends) > 0 && len(u.Appends[0].Events) > 0 && d.takenIn[&u.Appends[0].Events[0]]
}
