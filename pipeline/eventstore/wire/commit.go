package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

var errDataAt = errors.New("data_at and data_size lie outside raw")

// AppendTo is what an atomic append over several streams writes to one of them.
type AppendTo struct {
	Stream string  `json:"stream" doc:"type/id" example:"order/o-1"`
	Expect Expect  `json:"expect,omitempty" doc:"any, no_stream, stream_exists, or the revision of its last event (a number, or as text); default: any"`
	Events []Event `json:"events" doc:"at least type; id makes a repeat harmless"`
}

// AppendAll is an atomic append: all of it is written, or nothing.
type AppendAll struct {
	Appends []AppendTo `json:"appends"`
}

// AppendedAll says where each append ended up, in order.
type AppendedAll struct {
	Appended []Appended `json:"appended"`
}

// Unit gives the unit of an atomic append. Events without an id get a fresh one.
func (a *AppendAll) Unit() (*eventstore.Unit, error) {
	if len(a.Appends) == 0 {
		return nil, errors.New("there are no appends")
	}
	out := &eventstore.Unit{}
	for i := range a.Appends {
		in := &a.Appends[i]
		s, err := event.ParseStream(in.Stream)
		if err != nil {
			return nil, fmt.Errorf("append %d: %w", i+1, err)
		}
		u, err := UnitOf(s, Append{Expect: in.Expect, Events: in.Events})
		if err != nil {
			return nil, fmt.Errorf("append %d: %w", i+1, err)
		}
		out.Appends = append(out.Appends, u.Appends...)
	}
	return out, nil
}

// Commit is eventstore.Log.Commit as it is written.
type Commit struct {
	Ordered bool `json:"ordered,omitempty"`
	// Units are encoded singly, so that a client can send as many of them as a request has room for.
	Units []json.RawMessage `json:"units"`
}

// Unit is eventstore.Unit as it is written, without what cannot travel: Within and the fence.
type Unit struct {
	Pipeline string       `json:"pipeline,omitempty"`
	Appends  []UnitAppend `json:"appends,omitempty"`
	Inbox    *Mark        `json:"inbox,omitempty"`
	Cursor   *Cursor      `json:"cursor,omitempty"`
	Park     []Parked     `json:"park,omitempty"`
	Unpark   []int64      `json:"unpark,omitempty"`
}

// UnitAppend is an append with its events as they are.
type UnitAppend struct {
	Type   string  `json:"type"`
	ID     string  `json:"id"`
	Expect string  `json:"expect,omitempty"`
	Origin string  `json:"origin,omitempty"`
	Events []Exact `json:"events,omitempty"`
}

// Mark is eventstore.Mark as it is written: the hash in decimal, as JSON's numbers have no room for it.
type Mark struct {
	Key  string `json:"key"`
	Hash string `json:"hash,omitempty"`
}

// MarkOf gives the form that is written.
func MarkOf(m eventstore.Mark) Mark {
	w := Mark{Key: m.Key}
	if m.Hash != 0 {
		w.Hash = strconv.FormatUint(m.Hash, 10)
	}
	return w
}

// Back gives the mark.
func (w *Mark) Back() (eventstore.Mark, error) {
	m := eventstore.Mark{Key: w.Key}
	var err error
	if w.Hash != "" {
		m.Hash, err = strconv.ParseUint(w.Hash, 10, 64)
	}
	return m, err
}

// Cursor is event.Cursor as it is written.
type Cursor struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// UnitWritten gives the form that is written of a whole unit.
func UnitWritten(u *eventstore.Unit) Unit {
	w := Unit{Pipeline: u.Pipeline, Unpark: u.Unpark}
	for i := range u.Appends {
		a := &u.Appends[i]
		wa := UnitAppend{Type: a.Stream.Type, ID: a.Stream.ID, Expect: a.Expect.String(), Origin: a.Origin, Events: make([]Exact, len(a.Events))}
		for j := range a.Events {
			wa.Events[j] = ExactEvent(&a.Events[j])
		}
		w.Appends = append(w.Appends, wa)
	}
	if u.Inbox != nil {
		m := MarkOf(*u.Inbox)
		w.Inbox = &m
	}
	if u.Cursor != nil {
		w.Cursor = &Cursor{u.Cursor.Key, u.Cursor.Value}
	}
	for i := range u.Park {
		w.Park = append(w.Park, ParkedOf(&u.Park[i]))
	}
	return w
}

// Back gives the unit.
func (w *Unit) Back() (*eventstore.Unit, error) {
	u := &eventstore.Unit{Pipeline: w.Pipeline, Unpark: w.Unpark}
	for i := range w.Appends {
		in := &w.Appends[i]
		a := eventstore.Append{Stream: event.Stream{Type: in.Type, ID: in.ID}, Origin: in.Origin}
		var err error
		if in.Expect != "" {
			if a.Expect, err = eventstore.ParseExpect(in.Expect); err != nil {
				return nil, err
			}
		}
		a.Events = make([]event.Event, len(in.Events))
		for j := range in.Events {
			if a.Events[j], err = in.Events[j].Event(); err != nil {
				return nil, err
			}
		}
		u.Appends = append(u.Appends, a)
	}
	if w.Inbox != nil {
		m, err := w.Inbox.Back()
		if err != nil {
			return nil, err
		}
		u.Inbox = &m
	}
	if w.Cursor != nil {
		u.Cursor = &event.Cursor{Key: w.Cursor.Key, Value: w.Cursor.Value}
	}
	for i := range w.Park {
		e, err := w.Park[i].Back()
		if err != nil {
			return nil, err
		}
		u.Park = append(u.Park, e)
	}
	return u, nil
}

// Internal reports whether the unit has parts that are a pipeline's own state, beyond appended events.
func (w *Unit) Internal() bool {
	for i := range w.Appends {
		if w.Appends[i].Origin != "" {
			return true // its relays would take these events for the pipeline's
		}
	}
	return w.Inbox != nil || w.Cursor != nil || len(w.Park) > 0 || len(w.Unpark) > 0
}

// Results answer a Commit: one for each unit.
type Results struct {
	Results []Result `json:"results"`
}

// Result is eventstore.Result as it is written.
type Result struct {
	Status  string     `json:"status" enum:"untried,done,repeated,refused"`
	Written []Appended `json:"written,omitempty"`
	Problem *Problem   `json:"problem,omitempty" doc:"why it was refused"`
}

var statusNames = [...]string{"untried", "done", "repeated", "refused"}

// ResultOf gives the form that is written.
func ResultOf(u *eventstore.Unit, redact func(string) string) Result {
	w := Result{Status: statusNames[u.Result.Status]}
	for i, at := range u.Result.Written {
		name := ""
		if i < len(u.Appends) {
			name = u.Appends[i].Stream.String()
		}
		w.Written = append(w.Written, Appended{Stream: name, First: at.First, Last: at.Last, Position: at.Position, Repeated: at.Repeated})
	}
	if u.Result.Err != nil {
		w.Problem = ProblemOf(u.Result.Err, redact)
	}
	return w
}

// Back gives the result.
func (w *Result) Back() (eventstore.Result, error) {
	var r eventstore.Result
	for i, name := range statusNames {
		if name != w.Status {
			continue
		}
		r.Status = eventstore.Status(i)
		for _, at := range w.Written {
			r.Written = append(r.Written, eventstore.Written{First: at.First, Last: at.Last, Position: at.Position, Repeated: at.Repeated})
		}
		if w.Problem != nil {
			r.Err = w.Problem
		}
		return r, nil
	}
	return r, fmt.Errorf("wire: no status is called %q", w.Status)
}

// Page is eventstore.Page as it is written.
type Page struct {
	Events  []json.RawMessage `json:"events"`
	Through int64             `json:"through" doc:"the position up to which the page is complete, past events that the filter left out"`
	Head    int64             `json:"head" doc:"the log's end"`
}

// ParkRequest parks entries.
type ParkRequest struct {
	Entries []Parked `json:"entries"`
}

// StateRequest moves parked events to another state.
type StateRequest struct {
	Selection
	To poison.State `json:"to" enum:"parked,held,retrying"`
}

// Prune removes inbox keys.
type Prune struct {
	Pipeline string `json:"pipeline"`
	Prefix   string `json:"prefix,omitempty"`
	Before   string `json:"before,omitempty" doc:"RFC 3339"`
}
