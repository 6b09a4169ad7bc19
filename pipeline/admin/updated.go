package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// updatedMost is how many events of the log are looked at for a page of streams before all streams of the type are looked
// at instead.
const updatedMost = 20_000

// updatedStreams gives a page of a type's streams, and one more where there is one: those updated at since or later and
// behind a place, in the order of their updates and, among those of one instant, of their ids. Streams whose id is no UUID
// are left out: no route of serverless-event-store answers for them, and one of them makes its client refuse the page.
//
// Stores have no index in that order, as it would be written with each append. Where the type has more streams than a
// page, the log itself is one: it is walked from the time on at which the page begins, as far as it has their last
// events close together. Else all streams of the type are looked at, and one page of them is held.
func updatedStreams(ctx context.Context, st eventstore.Store, t string, since time.Time, behind *place) ([]serverlessStream, error) {
	p := updatedPage{since: since, behind: behind}
	if behind == nil { // else there are more than a page
		if err := p.scan(ctx, st, eventstore.StreamsOptions{Type: t, Max: serverlessPage + 1}); err != nil {
			return nil, err
		}
		if p.seen <= serverlessPage {
			return p.streams, nil
		}
	}
	if u, ok := st.(eventstore.Updates); ok {
		p = updatedPage{since: since, behind: behind}
		err := p.walk(ctx, u, t)
		if !errors.Is(err, eventstore.ErrFar) {
			return p.streams, err
		}
	}
	p = updatedPage{since: since, behind: behind}
	return p.streams, p.scan(ctx, st, eventstore.StreamsOptions{Type: t})
}

// updatedPage collects a page of streams, and one more.
type updatedPage struct {
	since   time.Time
	behind  *place
	streams []serverlessStream
	seen    int // of those that were shown to it
}

func placeOf(s *serverlessStream) place { return place{s.UpdatedAt, s.StreamID} }

// add puts a stream into the page, if it belongs there.
func (p *updatedPage) add(i eventstore.StreamInfo) {
	p.seen++
	if id, err := uuid.Parse(i.Stream.ID); err != nil || id.String() != i.Stream.ID {
		return
	}
	s := serverlessStreamOf(i)
	at := placeOf(&s)
	if s.UpdatedAt.Before(p.since) || p.behind != nil && at.compare(*p.behind) <= 0 {
		return
	}
	if len(p.streams) > serverlessPage && at.compare(placeOf(&p.streams[serverlessPage])) >= 0 {
		return
	}
	where, _ := slices.BinarySearchFunc(p.streams, at, func(have serverlessStream, at place) int { return placeOf(&have).compare(at) })
	p.streams = slices.Insert(p.streams, where, s)
	p.streams = p.streams[:min(len(p.streams), serverlessPage+1)]
}

func (p *updatedPage) scan(ctx context.Context, st eventstore.Store, o eventstore.StreamsOptions) error {
	for i, err := range st.Streams(ctx, o) {
		if err != nil {
			return err
		}
		p.add(i)
	}
	return nil
}

// walk fills the page from the streams in the order of their updates. It is full when there is one behind it of another
// instant, as those of one instant come in any order.
func (p *updatedPage) walk(ctx context.Context, u eventstore.Updates, t string) error {
	from := p.since
	if p.behind != nil && p.behind.updated.After(from) {
		from = p.behind.updated
	}
	for i, err := range u.Updated(ctx, t, from, updatedMost) {
		if err != nil {
			return err
		}
		if len(p.streams) > serverlessPage && i.Updated.After(p.streams[serverlessPage].UpdatedAt) {
			return nil
		}
		p.add(i)
	}
	return nil
}
