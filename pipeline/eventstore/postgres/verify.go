package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// tally is what Verify knows of a stream.
type tally struct {
	key, revision int64
	listed        bool
}

// Verify implements eventstore.Store: the log from end to end with its checksums, then the list of streams against the
// log. It holds no snapshot: what is committed is never changed, and what comes meanwhile is left out. It holds about
// 100 bytes for each stream.
func (s *Store) Verify(ctx context.Context, report func(eventstore.Fault)) (v eventstore.Verified, err error) {
	fault := func(f eventstore.Fault) { v.Faults++; report(f) }
	end, err := s.head(ctx)
	if err != nil {
		return v, err
	}
	streams := map[event.Stream]*tally{}
	pages, last := newPager(0), time.Time{}
	next := int64(1)
	for next <= end.Position {
		high := min(next+int64(pages.rows)-1, end.Position)
		n, bytes := 0, 0
		query, args := selectLog(span{low: next, high: high})
		err := s.rows(ctx, query, args, func(r *row) error {
			n++
			v.Events++
			bytes += r.size()
			if r.position != next {
				fault(eventstore.Fault{Position: next, What: fmt.Sprintf("events %d to %d of the log are missing", next, r.position-1)})
			}
			next = r.position + 1
			verifyRow(r, streams, &last, fault)
			return nil
		})
		if err != nil {
			return v, err
		}
		if next <= high {
			fault(eventstore.Fault{Position: next, What: fmt.Sprintf("events %d to %d of the log are missing", next, high)})
			next = high + 1
		}
		pages.saw(n, bytes)
	}
	v.Streams = int64(len(streams))
	// Where the log ends, its last event says: that events are gone behind it shows in what has read them.
	relays, err := s.ListRelays(ctx, "")
	if err != nil {
		return v, err
	}
	for _, r := range relays {
		if now, err := s.head(ctx); err != nil {
			return v, err
		} else if r.Position > now.Position {
			fault(eventstore.Fault{Position: now.Position + 1, What: fmt.Sprintf("relay %s has read up to %d, the log ends at %d", r.ID, r.Position, now.Position)})
		}
	}
	return v, s.verifyStreams(ctx, end.Position, streams, fault)
}

func verifyRow(r *row, streams map[event.Stream]*tally, last *time.Time, fault func(eventstore.Fault)) {
	if r.damaged != nil {
		fault(eventstore.Fault{Stream: r.damaged.stream, Position: r.damaged.position, What: r.damaged.what})
		return
	}
	e := r.event()
	wrong := func(format string, args ...any) {
		fault(eventstore.Fault{Stream: e.Stream, Position: e.Position, What: fmt.Sprintf(format, args...)})
	}
	t := streams[e.Stream]
	if t == nil {
		t = &tally{key: r.position}
		streams[event.Stream{Type: string([]byte(e.Stream.Type)), ID: string([]byte(e.Stream.ID))}] = t // not a view into the page
	}
	if r.stream != t.key {
		wrong("its stream has the key %d, it has %d", t.key, r.stream)
	}
	if e.Revision != t.revision+1 {
		wrong("revision %d follows %d", e.Revision, t.revision)
	}
	t.revision = e.Revision
	if r.idHash != idHash(e.ID) {
		wrong("its id is not found by its hash")
	}
	if e.Committed.Before(*last) {
		wrong("it was committed at %s, before the event in front of it", e.Committed)
	}
	*last = e.Committed
}

// verifyStreams compares the list of streams with what the log has of them.
func (s *Store) verifyStreams(ctx context.Context, end int64, streams map[event.Stream]*tally, fault func(eventstore.Fault)) error {
	const page = 10_000
	for after := int64(0); ; {
		n := 0
		err := s.query(ctx, "SELECT key, type, id FROM leat_streams WHERE key > $1 AND key <= $2 ORDER BY key LIMIT $3", []any{after, end, page}, func(rows pgx.Rows) error {
			var name event.Stream
			if err := rows.Scan(&after, &name.Type, &name.ID); err != nil {
				return err
			}
			n++
			name.Type, name.ID = unescape(name.Type), unescape(name.ID)
			t := streams[name]
			switch {
			case t == nil:
				fault(eventstore.Fault{Stream: name, What: "the list of streams has it, the log does not"})
			case t.key != after:
				fault(eventstore.Fault{Stream: name, What: fmt.Sprintf("the list of streams has it under the key %d, the log under %d", after, t.key)})
			default:
				t.listed = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n < page {
			break
		}
	}
	for name, t := range streams {
		if !t.listed {
			fault(eventstore.Fault{Stream: name, What: "the list of streams does not have it"})
		}
	}
	return nil
}
