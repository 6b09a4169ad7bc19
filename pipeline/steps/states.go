package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
)

// StateTable is a table in which a handler keeps the states of streams. The appends' own transactions write it.
type StateTable struct {
	name  string
	step  *handleStep
	owner string
	// now is the build that is written; it is replaced when the states are made anew.
	now atomic.Pointer[table.Def]
}

// unitState is a state that goes with an append.
type unitState struct {
	table *StateTable
	// def is the build that the handler has read: the state follows from what stood there.
	def    *table.Def
	stream event.Stream
	id     string // the event's
	state  *handlers.State
}

func (h *handleStep) openState(ctx context.Context, name string) error {
	def := &table.Def{Name: name, Version: 1, Key: []string{"stream"}, Columns: []table.Column{
		{Name: "stream", Type: table.Text}, {Name: "revision", Type: table.Integer}, {Name: "version", Type: table.Integer},
		{Name: "updated", Type: table.Timestamp}, {Name: "state", Type: table.JSON},
	}}
	if err := def.Validate(); err != nil {
		return err
	}
	t := &StateTable{name: name, step: h, owner: h.owner}
	t.now.Store(def)
	if err := t.Follow(ctx); err != nil {
		return err
	}
	if h.states == nil {
		h.states = map[string]*StateTable{}
	}
	h.states[name] = t
	return nil
}

// StateTables names the tables of states: as configurations say, and once the tree is open as the other handlers do.
func (t *Tree) StateTables() []string {
	var out []string
	for _, h := range t.handles {
		if k, ok := h.plugin.Config.(config.Keeping); ok {
			out = append(out, k.StateTables()...)
			continue
		}
		out = slices.AppendSeq(out, maps.Keys(h.states))
	}
	return out
}

// StateTable gives one of them once the tree is open, nil where there is none of that name.
func (t *Tree) StateTable(name string) *StateTable {
	for _, h := range t.handles {
		if s := h.states[name]; s != nil {
			return s
		}
	}
	return nil
}

// Owner is what the table belongs to: pipeline and step.
func (t *StateTable) Owner() string { return t.owner }

// Step is the name of the step whose handler keeps the states.
func (t *StateTable) Step() string { return t.step.name }

// Live is the build that is written now.
func (t *StateTable) Live() *table.Def { return t.now.Load() }

// Follow makes the table, or finds the build that is its live one.
func (t *StateTable) Follow(ctx context.Context) error {
	def := t.Live().Clone()
	info, err := t.step.env.Store.Tables().Ensure(ctx, &def, "states/1", t.owner, t.step.env.LogID)
	if err != nil {
		return fmt.Errorf("table %s: %w", def.Name, err)
	}
	def.Build = info.Def.Build
	t.now.Store(&def)
	return nil
}

// load gives a stream's state; the zero value where there is none.
func (t *StateTable) load(ctx context.Context, stream event.Stream) (handlers.Kept, error) {
	tables, key := t.step.env.Store.Tables(), []table.Row{{stream.String()}}
	rows, err := tables.Load(ctx, t.Live(), key)
	if errors.Is(err, table.ErrFenced) { // the states were made anew
		if err = t.Follow(ctx); err == nil {
			rows, err = tables.Load(ctx, t.Live(), key)
		}
	}
	if err != nil {
		return handlers.Kept{}, outageOf(err)
	}
	if len(rows) == 0 || rows[0] == nil {
		return handlers.Kept{}, nil
	}
	return t.kept(rows[0]), nil
}

// kept reads a row.
func (t *StateTable) kept(row table.Row) handlers.Kept {
	data, _ := row[4].(json.RawMessage)
	return handlers.Kept{State: handlers.State{Table: t.name, Version: int(whole(row[2])), Data: data}, Revision: whole(row[1])}
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

// builds gives those that are written now.
func (h *handleStep) builds() map[*StateTable]*table.Def {
	if len(h.states) == 0 {
		return nil
	}
	out := make(map[*StateTable]*table.Def, len(h.states))
	for _, t := range h.states {
		out[t] = t.Live()
	}
	return out
}

// keepState notes the state behind the event that is appended; it takes the place of an earlier one of the stream.
func (x *Exec) keepState(stream event.Stream, id string) {
	s := unitState{table: x.claim.table, def: x.claim.def, stream: stream, id: id, state: x.claim.state}
	for i := range x.states {
		if x.states[i].table == s.table && x.states[i].stream == stream {
			x.states[i] = s
			return
		}
	}
	x.states = append(x.states, s)
}

// States are what a unit's appends are to leave of their streams, for handlers that keep states.
type States []unitState

// Within writes the states in the transaction of the appends that were written. A *StaleStateError says that a handler has
// read what is no more.
func (l States) Within(ctx context.Context, tx table.Tx, written []event.Recorded) error {
	for i := range l {
		s := &l[i]
		at := slices.IndexFunc(written, func(e event.Recorded) bool { return e.ID == s.id && e.Stream == s.stream })
		if at < 0 {
			continue // it was there before: so is its state, or one behind it
		}
		e := &written[at]
		row, err := stateRow(s.def, s.stream, e.Revision, e.Committed, s.state)
		if err != nil {
			return err
		}
		if err := tx.Write(ctx, s.def, []table.Row{row}, nil); errors.Is(err, table.ErrFenced) {
			return &StaleStateError{Table: s.table, stream: s.stream}
		} else if err != nil {
			return fmt.Errorf("state of %s: %w", s.stream, err)
		}
	}
	return nil
}

// StaleStateError says that the states were made anew since the handler has read one.
type StaleStateError struct {
	Table  *StateTable
	stream event.Stream
}

func (e *StaleStateError) Error() string {
	return fmt.Sprintf("state of %s: the states were made anew meanwhile", e.stream)
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
