package dynamodb

import (
	"context"
	"fmt"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// told is the revisions of streams that the log has told lately. A head that says less is not visible yet: a unit would be
// refused by it that nothing stands against, and a reader would see less than the one before. It is safe for concurrent
// use; the zero value knows none.
type told struct {
	mu           sync.Mutex
	late, before map[event.Stream]int64
}

// mostTold is how many streams are remembered at least, and half of how many at most.
const mostTold = 10_000

func (t *told) note(name event.Stream, revision int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.late) >= mostTold || t.late == nil {
		t.late, t.before = map[event.Stream]int64{}, t.late
	}
	t.late[name] = max(t.late[name], revision)
}

// noteItem notes what an item of the log tells.
func (t *told) noteItem(i item) {
	t.note(event.Stream{Type: unescape(text(i, "st")), ID: unescape(text(i, "si"))}, number(i, "r")+max(1, number(i, "n"))-1)
}

func (t *told) of(name event.Stream) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.late[name], t.before[name])
}

// head reads a stream's head, as new as the log has told; nil: there is no such stream.
func (s *Store) head(ctx context.Context, name event.Stream) (item, error) {
	for wait := s.settling(); ; {
		i, err := s.get(ctx, key(streamPK(name), headSK))
		if err != nil || number(i, "r") >= s.told.of(name) {
			return i, err
		}
		if !wait.again(ctx) {
			return nil, fmt.Errorf("%w: the head of stream %s does not say what the log says", eventstore.ErrUnavailable, name)
		}
	}
}
