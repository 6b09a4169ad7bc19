package steps

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// handleStore is what handlers may read: the pipeline's store, with what the unit in hand and those before it in its batch
// have given so far on top.
type handleStore struct {
	env  *Env
	step *handleStep
}

var _ handlers.Store = handleStore{}

// unitView is what is not committed yet and stands before an event. It is of no use to a call that was left behind: what it
// looks at goes on without that call.
type unitView struct {
	mu      sync.Mutex
	over    bool
	appends []eventstore.Append
	ahead   iter.Seq[[]eventstore.Append]
}

type unitKey struct{}

var errLeftBehind = errors.New("steps: the call is over")

// events gives those of a stream, in their order; they have no revisions yet.
func (v *unitView) events(s event.Stream) ([]event.Event, error) {
	if v == nil {
		return nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, errLeftBehind
	}
	var out []event.Event
	take := func(appends []eventstore.Append) {
		for i := range appends {
			if appends[i].Stream == s {
				out = append(out, appends[i].Events...)
			}
		}
	}
	if v.ahead != nil {
		v.ahead(func(appends []eventstore.Append) bool { take(appends); return true })
	}
	take(v.appends)
	return out, nil
}

func (v *unitView) end() {
	v.mu.Lock()
	v.over, v.appends, v.ahead = true, nil, nil
	v.mu.Unlock()
}

// ReadStream implements handlers.Store.
func (s handleStore) ReadStream(ctx context.Context, stream event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	s.env.Reads.Store(true)
	return func(yield func(*event.Recorded, error) bool) {
		view, _ := ctx.Value(unitKey{}).(*unitView)
		ahead, err := view.events(stream)
		if err != nil {
			yield(nil, err)
			return
		}
		if len(ahead) == 0 {
			for e, err := range s.env.Store.ReadStream(ctx, stream, o) {
				if !yield(e, outageOf(err)) || err != nil {
					return
				}
			}
			return
		}
		s.overlaid(ctx, stream, o, ahead, yield)
	}
}

// overlaid reads a stream as it will be: what is committed, and behind it what is not yet.
func (s handleStore) overlaid(ctx context.Context, stream event.Stream, o eventstore.ReadOptions, ahead []event.Event, yield func(*event.Recorded, error) bool) {
	var head int64
	for e, err := range s.env.Store.ReadStream(ctx, stream, eventstore.ReadOptions{Backwards: true, Max: 1}) {
		if err != nil {
			yield(nil, outageOf(err))
			return
		}
		head = e.Revision
	}
	given := int64(0)
	// give yields one event where the options want it; false ends the read.
	give := func(e *event.Recorded) bool {
		wanted := (len(o.Filter.Types) == 0 || slices.Contains(o.Filter.Types, e.Type)) &&
			(len(o.Filter.StreamTypes) == 0 || slices.Contains(o.Filter.StreamTypes, e.Stream.Type)) &&
			(len(o.Filter.Origins) == 0 || slices.Contains(o.Filter.Origins, e.Origin))
		low, high := o.From, o.To
		if o.Backwards {
			low, high = o.To, o.From
		}
		if !wanted || e.Revision < low || (high > 0 && e.Revision > high) {
			return true
		}
		given++
		return yield(e, nil) && (o.Max == 0 || given < o.Max)
	}
	pending := make([]event.Recorded, len(ahead))
	for i := range ahead {
		pending[i] = event.Recorded{Event: ahead[i], Stream: stream, Revision: head + int64(i) + 1, Committed: s.env.Now()}
	}
	if o.Backwards {
		for i := range slices.Backward(pending) {
			if !give(&pending[i]) {
				return
			}
		}
	}
	if o.From > head && !o.Backwards {
		head = 0 // nothing of what is committed is wanted
	}
	if head > 0 {
		read := eventstore.ReadOptions{Backwards: o.Backwards, From: 1, To: head, Filter: o.Filter}
		if o.Backwards {
			read.From, read.To = head, 1
		} else if o.From > 0 {
			read.From = o.From
		}
		for e, err := range s.env.Store.ReadStream(ctx, stream, read) {
			if err != nil {
				yield(nil, outageOf(err))
				return
			}
			if !give(e) {
				return
			}
		}
	}
	if !o.Backwards {
		for i := range pending {
			if !give(&pending[i]) {
				return
			}
		}
	}
}

// outageOf makes a store that cannot be read nobody's fault.
func outageOf(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return event.Unavailable(0, err)
}

// Query implements handlers.Store.
func (s handleStore) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	in, err := s.env.Tables(q.Table)
	if err != nil {
		return table.Def{}, nil, err
	}
	return in.Query(ctx, q)
}

// State implements handlers.Store.
func (s handleStore) State(ctx context.Context, name string, stream event.Stream) (handlers.Kept, error) {
	t := s.step.states[name]
	if t == nil {
		return handlers.Kept{}, fmt.Errorf("steps: the handler has not named the table %q", name)
	}
	return t.load(ctx, stream)
}
