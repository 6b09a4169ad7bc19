package eventstore

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// Updates is implemented by stores that find the streams of a type which changed lately without looking at every stream.
type Updates interface {
	// Updated gives the streams of a type whose last event was committed at since or later, in the order of those events.
	// Created is not filled in. It looks at no more than about most events of the log, from since on: where it would have
	// to go on behind them, it ends with ErrFar; a store that need not look at the log never does. A stream that gets an
	// event meanwhile may be missing. A store that shares a serverless-event-store's table gives the streams that lie in it,
	// from that table, whose times they have.
	Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[StreamInfo, error]
}

// ErrFar says that what is looked for lies further on in the log than was to be looked.
var ErrFar = errors.New("eventstore: too many events to look at")

// Walk is Updates.Updated for stores that give a stream's last event at once: it walks the log, and asks for each stream
// that it meets whether this is it.
func Walk(ctx context.Context, r Reader, typ string, since time.Time, most int64) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		n, heads := int64(0), map[event.Stream]int64{}
		for e, err := range r.ReadAll(ctx, ReadOptions{SinceTime: since}) {
			if err != nil {
				yield(StreamInfo{}, err)
				return
			}
			if n++; n > most {
				yield(StreamInfo{}, ErrFar)
				return
			}
			if e.Stream.Type != typ {
				continue
			}
			i := StreamInfo{Stream: e.Stream, Revision: e.Revision, Updated: e.Committed}
			if e.Revision < heads[e.Stream] {
				continue
			}
			last := int64(0)
			for h, err := range r.ReadStream(ctx, e.Stream, ReadOptions{Backwards: true, Max: 1}) {
				if err != nil {
					yield(StreamInfo{}, err)
					return
				}
				last = h.Revision
			}
			heads[event.Stream{Type: typ, ID: strings.Clone(e.Stream.ID)}] = last
			if last == i.Revision && !yield(i, nil) {
				return
			}
		}
	}
}
