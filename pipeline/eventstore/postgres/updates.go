package postgres

import (
	"context"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// selectUpdated gives the events of a piece of the log that are their stream's last. The subquery is a look into the index
// by stream and revision for each of them: as a join the planner might read all events for it.
const selectUpdated = `SELECT e.stream_type, e.stream_id, e.revision, e.committed FROM leat_events e
WHERE e.position BETWEEN $1 AND $2 AND e.stream_type = $3
AND (SELECT true FROM leat_events n WHERE n.stream = e.stream AND n.revision = e.revision + 1 LIMIT 1) IS NULL
ORDER BY e.position`

// updatedPiece is how many events one query of Updated looks at.
const updatedPiece = 2000

var _ eventstore.Updates = (*Store)(nil)

// Updated implements eventstore.Updates: it walks the log by pieces.
func (s *Store) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		end, err := s.head(ctx)
		low := int64(1)
		if err == nil && !since.IsZero() && end.Position > 0 {
			low, err = s.since(ctx, since, 1, end.Position)
		}
		if err != nil {
			yield(eventstore.StreamInfo{}, err)
			return
		}
		for begun := low; low <= end.Position; {
			if low-begun >= most {
				yield(eventstore.StreamInfo{}, eventstore.ErrFar)
				return
			}
			high := min(low+updatedPiece-1, end.Position, begun+most-1)
			var infos []eventstore.StreamInfo
			err := s.query(ctx, selectUpdated, []any{low, high, escape(typ)}, func(rows pgx.Rows) error {
				var i eventstore.StreamInfo
				var name event.Stream
				if err := rows.Scan(&name.Type, &name.ID, &i.Revision, &i.Updated); err != nil {
					return err
				}
				i.Stream, i.Updated = event.Stream{Type: unescape(name.Type), ID: unescape(name.ID)}, i.Updated.UTC()
				infos = append(infos, i)
				return nil
			})
			if err != nil {
				yield(eventstore.StreamInfo{}, err)
				return
			}
			for _, i := range infos {
				if !yield(i, nil) {
					return
				}
			}
			low = high + 1
		}
	}
}
