package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// tally is what Verify knows of a stream: how far it goes, and sums over what the index must say of it.
type tally struct {
	revision, indexed int64 // at the end of the log, and of its indexed part
	revisions         uint64
}

func mix(a, b uint64) uint64 {
	h := (a ^ 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>31 ^ b) * 0x94d049bb133111eb
	return h ^ h>>29
}

// Verify implements eventstore.Store: SQLite's own check of the file, then the log from end to end, then its index
// against the log. It sees one state of the store, beside commits that go on. It holds about 150 bytes for each stream.
func (s *Store) Verify(ctx context.Context, report func(eventstore.Fault)) (v eventstore.Verified, err error) {
	fault := func(f eventstore.Fault) { v.Faults++; report(f) }
	err = s.read(ctx, func(c *conn) error {
		if _, err := c.exec("BEGIN"); err != nil {
			return err
		}
		defer func() { _, _ = c.exec("ROLLBACK") }()
		if err := verifyFile(ctx, c, fault); err != nil {
			return err
		}
		e, err := readEnd(ctx, c)
		switch {
		case errors.Is(err, eventstore.ErrCorrupt):
			fault(eventstore.Fault{What: err.Error()})
		case err != nil:
			return err
		}
		streams := map[event.Stream]*tally{}
		var ids uint64
		if v.Events, err = verifyLog(ctx, c, e, streams, &ids, fault); err != nil {
			return err
		}
		v.Streams = int64(len(streams))
		if err := verifyRevisions(ctx, c, e, streams, fault); err != nil {
			return err
		}
		return verifyIDs(ctx, c, e, ids, fault)
	})
	if errors.Is(err, eventstore.ErrCorrupt) { // so damaged that SQLite cannot read on
		fault(eventstore.Fault{What: err.Error()})
		err = nil
	}
	return v, err
}

func verifyFile(ctx context.Context, c *conn, fault func(eventstore.Fault)) error {
	return classify(c.each(ctx, "PRAGMA integrity_check(100)", func(row []driver.Value) (bool, error) {
		if what, _ := row[0].(string); what != "ok" {
			fault(eventstore.Fault{What: "the file: " + what})
		}
		return true, nil
	}))
}

func verifyLog(ctx context.Context, c *conn, e end, streams map[event.Stream]*tally, ids *uint64, fault func(eventstore.Fault)) (n int64, err error) {
	var enc encoder
	var last time.Time
	next := int64(1)
	err = classify(c.each(ctx, "SELECT "+columns+" FROM leat_events ORDER BY position", func(row []driver.Value) (bool, error) {
		position, _ := row[0].(int64)
		if position != next {
			fault(eventstore.Fault{Position: next, What: fmt.Sprintf("events %d to %d of the log are missing", next, position-1)})
		}
		next = position + 1
		n++
		var r event.Recorded
		var bad *rowError
		if err := enc.scan(row, &r); errors.As(err, &bad) {
			fault(eventstore.Fault{Stream: bad.stream, Position: bad.position, What: bad.what})
			return true, nil
		} else if err != nil {
			return false, err
		}
		t := streams[r.Stream]
		if t == nil {
			t = &tally{}
			streams[r.Stream] = t
		}
		if r.Revision != t.revision+1 {
			fault(eventstore.Fault{Stream: r.Stream, Position: position, What: fmt.Sprintf("revision %d comes after %d", r.Revision, t.revision)})
		}
		if r.Committed.Before(last) {
			fault(eventstore.Fault{Stream: r.Stream, Position: position, What: "the time of commit goes back"})
		}
		t.revision, last = r.Revision, r.Committed
		if position <= e.indexed {
			t.indexed = r.Revision
			t.revisions += mix(uint64(r.Revision), uint64(position))
			*ids += mix(hash(r.Stream, r.ID), uint64(position))
		}
		return true, nil
	}))
	if err == nil && next != e.head+1 {
		fault(eventstore.Fault{Position: next, What: fmt.Sprintf("the log ends at %d, its head says %d", next-1, e.head)})
	}
	return n, err
}

// verifyRevisions checks the heads of streams, and that their revisions add up to the same sums as in the log.
func verifyRevisions(ctx context.Context, c *conn, e end, streams map[event.Stream]*tally, fault func(eventstore.Fault)) error {
	heads := map[int64]*tally{}
	err := c.each(ctx, "SELECT key, type, id, revision FROM leat_streams", func(r []driver.Value) (bool, error) {
		key, _ := r[0].(int64)
		var name event.Stream
		name.Type, _ = r[1].(string)
		name.ID, _ = r[2].(string)
		revision, _ := r[3].(int64)
		t := streams[name]
		switch {
		case t == nil:
			fault(eventstore.Fault{Stream: name, What: "the stream has a head and no events"})
			return true, nil
		case revision < t.indexed || revision > t.revision:
			fault(eventstore.Fault{Stream: name, What: fmt.Sprintf("the head is at revision %d, the log at %d", revision, t.revision)})
		}
		heads[key] = t
		return true, nil
	})
	if err != nil {
		return classify(err)
	}
	unknown := 0
	err = c.each(ctx, "SELECT stream, first, positions FROM leat_revisions", func(r []driver.Value) (bool, error) {
		key, _ := r[0].(int64)
		first, _ := r[1].(int64)
		t := heads[key]
		if t == nil {
			unknown++
			return true, nil
		}
		return true, unpackRun(r[2], func(i, position int64) {
			if position <= e.indexed {
				t.revisions -= mix(uint64(first+i), uint64(position))
			}
		})
	})
	if err != nil {
		return classify(err)
	}
	if unknown > 0 {
		fault(eventstore.Fault{What: fmt.Sprintf("the index has %d runs of revisions of streams that have no head", unknown)})
	}
	for name, t := range streams {
		if t.revisions != 0 {
			fault(eventstore.Fault{Stream: name, What: "the index of its revisions does not fit the log"})
		}
	}
	return nil
}

// verifyIDs checks that the ids add up to the sum of those in the log, and that each segment's filter lets them pass.
func verifyIDs(ctx context.Context, c *conn, e end, sum uint64, fault func(eventstore.Fault)) error {
	var x ids
	if err := x.load(ctx, c); err != nil {
		return err
	}
	for _, s := range x.segments {
		row, err := c.one(ctx, "SELECT substr(entries, 17) FROM leat_ids WHERE segment = ? AND bucket = -1", s.base)
		if err != nil {
			return classify(err)
		}
		filter, _ := row[0].([]byte)
		entries, err := s.entries(c)
		if err != nil {
			return classify(err)
		}
		if n := len(filter); n < 64 || n&(n-1) != 0 || int64(len(entries)) != s.n {
			fault(eventstore.Fault{Position: s.base, What: fmt.Sprintf("the segment of event ids has %d entries, its head says %d, and a filter of %d bytes", len(entries), s.n, n)})
			continue
		}
		hidden := 0
		for _, entry := range entries {
			if entry.position <= e.indexed {
				sum -= mix(entry.hash, uint64(entry.position))
			}
			if !probe(entry.hash, filter, func(p *byte, bit byte) bool { return *p&bit != 0 }) {
				hidden++
			}
		}
		if hidden > 0 {
			fault(eventstore.Fault{Position: s.base, What: fmt.Sprintf("the filter of a segment of event ids hides %d of them", hidden)})
		}
	}
	if sum != 0 {
		fault(eventstore.Fault{What: "the index of event ids does not fit the log"})
	}
	return nil
}
