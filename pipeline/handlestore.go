package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// handleStore is what handlers may read: the pipeline's store, with what the unit in hand and those before it in its batch
// have given so far on top.
type handleStore struct {
	pipe *pipe
	step *handleStep
}

var _ handlers.Store = handleStore{}

func (p *pipe) handleStore(step string) handlers.Store {
	for _, h := range p.plan.handles {
		if h.name == step {
			return handleStore{p, h}
		}
	}
	return nil
}

// unitView is what is not committed yet and stands before an event. It is of no use to a call that was left behind: what it
// looks at goes on without that call.
type unitView struct {
	mu      sync.Mutex
	over    bool
	appends []eventstore.Append
	ahead   []pending
}

type unitKey struct{}

var errLeftBehind = errors.New("pipeline: the call is over")

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
	for i := range v.ahead {
		if d := &v.ahead[i]; d.b.Outcome(d.i) == event.Pending {
			take(d.unit.Appends)
		}
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
	s.pipe.reads.Store(true)
	return func(yield func(*event.Recorded, error) bool) {
		view, _ := ctx.Value(unitKey{}).(*unitView)
		ahead, err := view.events(stream)
		if err != nil {
			yield(nil, err)
			return
		}
		if len(ahead) == 0 {
			for e, err := range s.pipe.store.ReadStream(ctx, stream, o) {
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
	for e, err := range s.pipe.store.ReadStream(ctx, stream, eventstore.ReadOptions{Backwards: true, Max: 1}) {
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
		pending[i] = event.Recorded{Event: ahead[i], Stream: stream, Revision: head + int64(i) + 1, Committed: s.pipe.now()}
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
		for e, err := range s.pipe.store.ReadStream(ctx, stream, read) {
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
	in, err := s.pipe.tablesOf(q.Table)
	if err != nil {
		return table.Def{}, nil, err
	}
	return in.Query(ctx, q)
}

// stateTable is a table in which a handler keeps the states of streams.
type stateTable struct {
	owner string
	// now is the build that is written; it is replaced when the states are made anew.
	now atomic.Pointer[table.Def]
}

// unitState is a state that goes with an append.
type unitState struct {
	table *stateTable
	// def is the build that the handler has read: the state follows from what stood there.
	def    *table.Def
	stream event.Stream
	id     string // the event's
	state  *handlers.State
}

func (p *pipe) openState(ctx context.Context, h *handleStep, name string) error {
	def := &table.Def{Name: name, Version: 1, Key: []string{"stream"}, Columns: []table.Column{
		{Name: "stream", Type: table.Text}, {Name: "revision", Type: table.Integer}, {Name: "version", Type: table.Integer},
		{Name: "updated", Type: table.Timestamp}, {Name: "state", Type: table.JSON},
	}}
	if err := def.Validate(); err != nil {
		return err
	}
	t := &stateTable{owner: p.cfg.Name + "/" + h.name}
	t.now.Store(def)
	if err := p.followState(ctx, t); err != nil {
		return err
	}
	if h.states == nil {
		h.states = map[string]*stateTable{}
	}
	h.states[name] = t
	return nil
}

// followState makes a table of states, or finds the build that is its live one.
func (p *pipe) followState(ctx context.Context, t *stateTable) error {
	def := t.now.Load().Clone()
	info, err := p.store.Tables().Ensure(ctx, &def, "states/1", t.owner, p.head.LogID)
	if err != nil {
		return fmt.Errorf("table %s: %w", def.Name, err)
	}
	def.Build = info.Def.Build
	t.now.Store(&def)
	return nil
}

// builds gives those that are written now.
func (h *handleStep) builds() map[*stateTable]*table.Def {
	if len(h.states) == 0 {
		return nil
	}
	out := make(map[*stateTable]*table.Def, len(h.states))
	for _, t := range h.states {
		out[t] = t.now.Load()
	}
	return out
}

// State implements handlers.Store.
func (s handleStore) State(ctx context.Context, name string, stream event.Stream) (handlers.Kept, error) {
	t := s.step.states[name]
	if t == nil {
		return handlers.Kept{}, fmt.Errorf("pipeline: the handler has not named the table %q", name)
	}
	rows, err := s.pipe.store.Tables().Load(ctx, t.now.Load(), []table.Row{{stream.String()}})
	if errors.Is(err, table.ErrFenced) { // the states were made anew
		if err = s.pipe.followState(ctx, t); err == nil {
			rows, err = s.pipe.store.Tables().Load(ctx, t.now.Load(), []table.Row{{stream.String()}})
		}
	}
	if err != nil {
		return handlers.Kept{}, outageOf(err)
	}
	if len(rows) == 0 || rows[0] == nil {
		return handlers.Kept{}, nil
	}
	return keptIn(name, rows[0]), nil
}

// keptIn reads a row of a table of states.
func keptIn(name string, row table.Row) handlers.Kept {
	data, _ := row[4].(json.RawMessage)
	return handlers.Kept{State: handlers.State{Table: name, Version: int(whole(row[2])), Data: data}, Revision: whole(row[1])}
}

func whole(v table.Value) int64 {
	d, ok := v.(*apd.Decimal)
	if !ok {
		return 0
	}
	n, err := d.Int64()
	if err != nil {
		return 0
	}
	return n
}

// keepState notes the state behind the event that is appended; it takes the place of an earlier one of the stream.
func (x *exec) keepState(stream event.Stream, id string) {
	s := unitState{table: x.claim.table, def: x.claim.def, stream: stream, id: id, state: x.claim.state}
	for i := range x.states {
		if x.states[i].table == s.table && x.states[i].stream == stream {
			x.states[i] = s
			return
		}
	}
	x.states = append(x.states, s)
}

// withStates gives what a unit does in its transaction beside its appends: the inline projections, and its states.
func (p *pipe) withStates(states []unitState) func(context.Context, table.Tx, []event.Recorded) error {
	if len(states) == 0 {
		return p.within
	}
	return func(ctx context.Context, tx table.Tx, written []event.Recorded) error {
		if p.within != nil {
			if err := p.within(ctx, tx, written); err != nil {
				return err
			}
		}
		for i := range states {
			s := &states[i]
			at := slices.IndexFunc(written, func(e event.Recorded) bool { return e.ID == s.id && e.Stream == s.stream })
			if at < 0 {
				continue // it was there before: so is its state, or one behind it
			}
			row, err := s.row(&written[at])
			if err != nil {
				return err
			}
			if err := tx.Write(ctx, s.def, []table.Row{row}, nil); errors.Is(err, table.ErrFenced) {
				return &staleStateError{table: s.table, stream: s.stream}
			} else if err != nil {
				return fmt.Errorf("state of %s: %w", s.stream, err)
			}
		}
		return nil
	}
}

// staleStateError says that the states were made anew since the handler has read one.
type staleStateError struct {
	table  *stateTable
	stream event.Stream
}

func (e *staleStateError) Error() string {
	return fmt.Sprintf("state of %s: the states were made anew meanwhile", e.stream)
}

func (s *unitState) row(e *event.Recorded) (table.Row, error) {
	return stateRow(s.def, s.stream, e.Revision, e.Committed, s.state)
}

func stateRow(d *table.Def, stream event.Stream, revision int64, at time.Time, s *handlers.State) (table.Row, error) {
	row := table.Row{stream.String(), apd.New(revision, 0), apd.New(int64(s.Version), 0), at, json.RawMessage(s.Data)}
	for i := range row {
		var err error
		if row[i], err = table.Canonical(row[i]); err != nil {
			return nil, event.PoisonAs(event.CodeHandler, fmt.Errorf("state of %s: %s: %w", stream, d.Columns[i].Name, err))
		}
	}
	return row, nil
}
