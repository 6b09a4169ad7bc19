package dynamodb

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
)

// sums are checksums over the events of streams, each over the one of those before: as much as a shared table knows.
type sums map[event.Stream]uint64

func (s sums) add(r *event.Recorded) { s[r.Stream] = sumOf(s[r.Stream], &r.Event) }

func sumOf(before uint64, e *event.Event) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(before >> (8 * i))
	}
	_, _ = h.Write(b[:]) // it never fails
	_, _ = h.Write([]byte(e.Type))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(serverless.Payload(e)))
	return h.Sum64()
}

// verify compares the log's streams with those of the shared table. What that table has beyond them is not taken in yet
// and no fault.
func (h *shared) verify(ctx context.Context, revisions map[event.Stream]int64, want sums, fault func(name event.Stream, format string, args ...any)) error {
	var names []event.Stream
	for name := range want {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b event.Stream) int { return strings.Compare(a.String(), b.String()) })
	for part := range slices.Chunk(names, 100) {
		var ids []string
		for _, name := range part {
			ids = append(ids, name.ID)
		}
		heads, err := h.heads(ctx, unique(ids))
		if err != nil {
			return err
		}
		for _, name := range part {
			head, there := heads[name.ID]
			switch {
			case head.err != nil:
				fault(name, "%v", head.err)
				continue
			case !there:
				fault(name, "the shared table does not have the stream")
				continue
			case head.name != name:
				fault(name, "the shared table has the id as one of type %q", head.name.Type)
				continue
			case head.revision < revisions[name]:
				fault(name, "the log has %d events, the shared table's head says %d", revisions[name], head.revision)
			}
			sum, at := uint64(0), int64(0)
			for at < revisions[name] {
				events, err := h.behind(ctx, name, at)
				if errors.Is(err, eventstore.ErrCorrupt) {
					fault(name, "%v", err)
					break
				}
				if err != nil {
					return err
				}
				for i := range events {
					if at++; at <= revisions[name] {
						sum = sumOf(sum, &events[i])
					}
				}
			}
			if at >= revisions[name] && sum != want[name] {
				fault(name, "events of the log and of the shared table differ in type or payload")
			}
		}
	}
	return nil
}
