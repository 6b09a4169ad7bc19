package dynamodb

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Updates = (*Store)(nil)

// updatedPiece is how many events of a type Updated holds before it asks for their streams' heads, in one call.
const updatedPiece = 100

// Updated implements eventstore.Updates: it walks the log, which needs no index and costs no append anything, and asks the
// heads of the streams that it meets, a hundred in a call and each once, where their last event is.
//
// Where the store shares a table, the log's order is not that of the updates, as the Lambda's come later than they were
// made: what it gives is the order of that table's own index then.
func (s *Store) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		err := s.ready(ctx)
		if err == nil && typ != "" {
			if s.shared.names(event.Stream{Type: typ, ID: anyUUID}) {
				err = s.shared.updated(ctx, typ, since, yield)
			} else {
				err = s.updated(ctx, typ, since, most, yield)
			}
		}
		if err != nil {
			yield(eventstore.StreamInfo{}, s.reading(ctx, err))
		}
	}
}

func (s *Store) updated(ctx context.Context, typ string, since time.Time, most int64, yield func(eventstore.StreamInfo, error) bool) error {
	end, err := s.advanceEnd(ctx, s.seen())
	if err != nil {
		return err
	}
	low, high, err := s.bounds(ctx, eventstore.ReadOptions{SinceTime: since}, end.position)
	if err != nil || low > high {
		return err
	}
	far := high-low >= most
	high = min(high, low+most-1)
	last := map[event.Stream]int64{} // where the last event of a stream is
	var piece []eventstore.StreamInfo
	var positions []int64
	wanted := true
	flush := func() error {
		if err := s.lasts(ctx, piece, last); err != nil {
			return err
		}
		for n, i := range piece {
			if wanted = wanted && (last[i.Stream] != positions[n] || yield(i, nil)); !wanted {
				break
			}
		}
		piece, positions = piece[:0], positions[:0]
		return nil
	}
	err = s.read(ctx, low, high, up, func(r *event.Recorded) (bool, error) {
		if at, known := last[r.Stream]; r.Stream.Type == typ && (!known || at >= r.Position) {
			piece = append(piece, eventstore.StreamInfo{Stream: r.Stream, Revision: r.Revision, Updated: r.Committed})
			positions = append(positions, r.Position)
		}
		if len(piece) < updatedPiece {
			return true, nil
		}
		err := flush()
		return wanted, err
	})
	if err == nil && wanted {
		err = flush()
	}
	if err == nil && wanted && far {
		return eventstore.ErrFar
	}
	return err
}

// lasts notes the positions of the last events of streams that are not known yet. A head that says less than the log is
// not visible yet.
func (s *Store) lasts(ctx context.Context, infos []eventstore.StreamInfo, last map[event.Stream]int64) error {
	told := map[event.Stream]int64{} // by the log: their revisions
	for _, i := range infos {
		if _, known := last[i.Stream]; !known {
			told[i.Stream] = i.Revision
		}
	}
	for wait := s.settling(); len(told) > 0; {
		names := map[string]event.Stream{}
		var keys []item
		for name := range told {
			k := key(streamPK(name), headSK)
			names[text(k, pk)] = name
			keys = append(keys, k)
		}
		found, err := s.gets(ctx, keys)
		if err != nil {
			return err
		}
		for _, i := range found {
			if name := names[text(i, pk)]; number(i, "r") >= told[name] {
				last[name] = number(i, "p")
				delete(told, name)
			}
		}
		if len(told) > 0 && !wait.again(ctx) {
			return fmt.Errorf("%w: the heads of %d streams do not say what the log says", eventstore.ErrCorrupt, len(told))
		}
	}
	return nil
}

// anyUUID is an id that serverless-event-store could have given.
const anyUUID = "00000000-0000-4000-8000-000000000000"

// updated gives the streams of a type that lie in the shared table, in the order of their updates. The index has times as
// text without the zeros at its end, which sorts by seconds but not within one.
func (h *shared) updated(ctx context.Context, typ string, since time.Time, yield func(eventstore.StreamInfo, error) bool) error {
	limit := int32(pageEvents + 100)
	var second []eventstore.StreamInfo
	wanted := true
	flush := func() {
		slices.SortFunc(second, func(a, b eventstore.StreamInfo) int { return a.Updated.Compare(b.Updated) })
		for _, i := range second {
			if wanted = wanted && yield(i, nil); !wanted {
				return
			}
		}
		second = second[:0]
	}
	err := h.indexPages(ctx, &typ, since, &limit, func(items []item) (bool, error) {
		for _, i := range items {
			head, err := readSharedHead(i)
			if err != nil || !h.names(head.name) || head.updated.Before(since) {
				continue // the finder says it
			}
			if len(second) > 0 && !second[0].Updated.Truncate(time.Second).Equal(head.updated.Truncate(time.Second)) {
				if flush(); !wanted {
					return false, nil
				}
			}
			second = append(second, eventstore.StreamInfo{Stream: head.name, Revision: head.revision, Updated: head.updated.UTC()})
		}
		return true, nil
	})
	if err == nil && wanted {
		flush()
	}
	return err
}
