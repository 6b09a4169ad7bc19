// Package wire is what the event store's HTTP API and its clients write to each other, and what the commands print: the
// JSON forms of events, streams, parked events, tables and errors, and their way back. Names are snake_case, times are
// RFC 3339 in UTC; readers ignore fields that they do not know.
//
// It knows the contracts alone, so that a program that uses the client links neither the server nor a backend.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Event is a recorded event as the API and the commands write it, one a line. The first eight fields are always there,
// in this order; readers ignore fields that they do not know.
type Event struct {
	Stream   string          `json:"stream"`
	Revision int64           `json:"revision"`
	Position int64           `json:"position"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
	Source   string          `json:"source,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	// Recorded is the committer's clock.
	Recorded time.Time `json:"recorded,omitzero"`
	// Origin is the pipeline that appended it.
	Origin string `json:"origin,omitempty"`
}

// EventOf gives the form that is written.
func EventOf(e *event.Recorded) Event {
	w := Event{
		Revision: e.Revision, Position: e.Position, ID: e.ID, Type: e.Type, Time: e.Time.UTC(),
		Data: e.Data, Metadata: e.Metadata, Source: e.Source, Subject: e.Subject, Recorded: e.Committed, Origin: e.Origin,
	}
	if !e.Stream.IsZero() {
		w.Stream = e.Stream.String()
	}
	if len(w.Data) == 0 {
		w.Data = json.RawMessage("null")
	}
	if len(w.Metadata) == 0 {
		w.Metadata = json.RawMessage("{}")
	}
	if !w.Recorded.IsZero() {
		w.Recorded = w.Recorded.UTC()
	}
	return w
}

// Back gives the recorded event. The body as it came does not travel.
func (w *Event) Back() (*event.Recorded, error) {
	e := &event.Recorded{
		Event: event.Event{
			ID: w.ID, Type: w.Type, Time: w.Time, Data: w.Data, Metadata: w.Metadata, Source: w.Source, Subject: w.Subject,
			Changed: true,
		},
		Revision: w.Revision, Position: w.Position, Committed: w.Recorded, Origin: w.Origin,
	}
	var err error
	if w.Stream != "" {
		e.Stream, err = event.ParseStream(w.Stream)
	}
	return e, err
}

// Stream is a stream's head as it is written.
type Stream struct {
	Stream   string    `json:"stream"`
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

// StreamOf gives the form that is written.
func StreamOf(s eventstore.StreamInfo) Stream {
	return Stream{Stream: s.Stream.String(), Revision: s.Revision, Created: s.Created.UTC(), Updated: s.Updated.UTC()}
}

// Parked is a parked event as it is written. The payload stands in one of three fields, whichever gives back the very
// bytes: as JSON, as text, or in base 64.
type Parked struct {
	poison.Entry
	Stream        string          `json:"stream,omitempty"`
	Envelope      string          `json:"envelope"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadText   *string         `json:"payload_text,omitempty"`
	PayloadBase64 []byte          `json:"payload_base64,omitempty"`
}

// ParkedOf gives the form that is written.
func ParkedOf(e *poison.Entry) Parked {
	w := Parked{Entry: *e, Envelope: e.Envelope.String()}
	if !e.Stream.IsZero() {
		w.Stream = e.Stream.String()
	}
	if json.Valid(e.Metadata) {
		w.Metadata = e.Metadata
	}
	var tight bytes.Buffer
	switch {
	case utf8.Valid(e.Payload) && json.Compact(&tight, e.Payload) == nil && bytes.Equal(tight.Bytes(), e.Payload):
		w.Payload = e.Payload
	case utf8.Valid(e.Payload):
		s := string(e.Payload)
		w.PayloadText = &s
	default:
		w.PayloadBase64 = e.Payload
	}
	return w
}

// Back gives the entry.
func (w *Parked) Back() (poison.Entry, error) {
	e := w.Entry
	var err error
	if w.Stream != "" {
		if e.Stream, err = event.ParseStream(w.Stream); err != nil {
			return e, err
		}
	}
	if e.Envelope, err = event.ParseEnvelope(w.Envelope); err != nil {
		return e, err
	}
	e.Metadata = w.Metadata
	switch {
	case w.Payload != nil:
		e.Payload = w.Payload
	case w.PayloadText != nil:
		e.Payload = []byte(*w.PayloadText)
	default:
		e.Payload = w.PayloadBase64
	}
	return e, nil
}

// Table is a table as it is listed.
type Table struct {
	Name     string        `json:"name"`
	Rows     int64         `json:"rows"`
	Columns  []TableColumn `json:"columns"`
	Key      []string      `json:"key"`
	Version  int           `json:"version"`
	Building int           `json:"building,omitempty"`
	Relay    string        `json:"relay,omitempty"`
	Position int64         `json:"position"`
	Updated  time.Time     `json:"updated,omitzero"`
}

// TableColumn is one column.
type TableColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// TableOf gives the form that is written.
func TableOf(i *table.Info) Table {
	w := Table{
		Name: i.Def.Name, Rows: i.Rows, Key: i.Def.Key, Version: i.Def.Version, Building: i.Building, Relay: i.Relay,
		Position: i.Position, Updated: i.Updated, Columns: ColumnsOf(&i.Def),
	}
	return w
}

// ColumnsOf gives the form that is written.
func ColumnsOf(d *table.Def) []TableColumn {
	out := make([]TableColumn, len(d.Columns))
	for i, c := range d.Columns {
		out[i] = TableColumn{Name: c.Name, Type: string(c.Type)}
	}
	return out
}

// Back gives what the list says of the table.
func (w *Table) Back() table.Info {
	i := table.Info{
		Def:   table.Def{Name: w.Name, Key: w.Key, Version: w.Version},
		Relay: w.Relay, Position: w.Position, Rows: w.Rows, Building: w.Building, Updated: w.Updated,
	}
	for _, c := range w.Columns {
		i.Def.Columns = append(i.Def.Columns, table.Column{Name: c.Name, Type: table.Type(c.Type)})
	}
	return i
}

// Append asks for events to be written to one stream.
type Append struct {
	Expect Expect  `json:"expect,omitempty"`
	Events []Event `json:"events"`
}

// Appended says where they ended up.
type Appended struct {
	Stream   string `json:"stream"`
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
	Position int64  `json:"position"`
	// Repeated: they were there already, nothing was written.
	Repeated bool `json:"repeated,omitempty"`
}

// Head is the log's end as it is written.
type Head struct {
	LogID     string    `json:"log_id"`
	Position  int64     `json:"position"`
	Committed time.Time `json:"committed,omitzero"`
}

// UnitOf makes the unit that writes an append. Events without an id get a fresh one.
func UnitOf(stream event.Stream, a Append) (*eventstore.Unit, error) {
	expect := eventstore.Any
	if a.Expect != "" {
		var err error
		if expect, err = eventstore.ParseExpect(string(a.Expect)); err != nil {
			return nil, err
		}
	}
	if len(a.Events) == 0 {
		return nil, errors.New("there are no events")
	}
	ap := eventstore.Append{Stream: stream, Expect: expect}
	for i := range a.Events {
		in := &a.Events[i]
		if in.Type == "" {
			return nil, fmt.Errorf("event %d has no type", i+1)
		}
		if in.Stream != "" && in.Stream != stream.String() {
			return nil, fmt.Errorf("event %d is of stream %s", i+1, in.Stream)
		}
		if in.ID == "" {
			in.ID = event.NewID()
		}
		e, err := in.Back()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		if string(e.Metadata) == "null" || string(e.Metadata) == "{}" {
			e.Metadata = nil
		}
		if len(e.Metadata) > 0 && e.Metadata[0] != '{' {
			return nil, fmt.Errorf("event %d: metadata is no object", i+1)
		}
		ap.Events = append(ap.Events, e.Event)
	}
	return &eventstore.Unit{Appends: []eventstore.Append{ap}}, nil
}

// AppendedOf gives the form that is written.
func AppendedOf(stream event.Stream, w eventstore.Written) Appended {
	return Appended{Stream: stream.String(), First: w.First, Last: w.Last, Position: w.Position, Repeated: w.Repeated}
}

// VerifyLine is a line of a verification: a fault, or at last the counts.
type VerifyLine struct {
	Fault    *Fault    `json:"fault,omitempty"`
	Verified *Verified `json:"verified,omitempty"`
}

// Columns is the first line of a table's rows.
type Columns struct {
	Columns []TableColumn `json:"columns"`
	Key     []string      `json:"key"`
}

// Count is how many parked events something concerned.
type Count struct {
	N      int64     `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"`
}

// Fault is one thing that a verification found.
type Fault struct {
	Stream   string `json:"stream,omitempty"`
	Position int64  `json:"position,omitempty"`
	What     string `json:"what"`
}

// FaultOf gives the form that is written.
func FaultOf(f eventstore.Fault) Fault {
	w := Fault{Position: f.Position, What: f.What}
	if !f.Stream.IsZero() {
		w.Stream = f.Stream.String()
	}
	return w
}

// Verified counts what a verification read.
type Verified struct {
	Events  int64 `json:"events"`
	Streams int64 `json:"streams"`
	Faults  int64 `json:"faults"`
}

// Selection selects parked events; it is poison.Filter as it is written.
type Selection struct {
	IDs      []int64        `json:"ids,omitempty"`
	Pipeline string         `json:"pipeline,omitempty"`
	Step     string         `json:"step,omitempty"`
	Relay    string         `json:"relay,omitempty"`
	Code     string         `json:"code,omitempty"`
	Stream   string         `json:"stream,omitempty"`
	States   []poison.State `json:"states,omitempty"`
	Since    time.Time      `json:"since,omitzero"`
	Max      int            `json:"max,omitempty"`
	// All must be set where nothing else selects: a write on everything is never meant by leaving fields out.
	All bool `json:"all,omitempty"`
}

// SelectionOf gives the form that is written.
func SelectionOf(f poison.Filter) Selection {
	s := Selection{
		IDs: f.IDs, Pipeline: f.Pipeline, Step: f.Step, Relay: f.Relay, Code: f.Code, States: f.States, Since: f.Since, Max: f.Max,
	}
	if !f.Stream.IsZero() {
		s.Stream = f.Stream.String()
	}
	return s
}

// Nothing reports whether neither a field nor All selects anything.
func (s *Selection) Nothing() bool {
	return !s.All && len(s.IDs) == 0 && s.Pipeline == "" && s.Step == "" && s.Relay == "" && s.Code == "" && s.Stream == "" && len(s.States) == 0 && s.Since.IsZero()
}

// Filter gives what a store takes.
func (s *Selection) Filter() (poison.Filter, error) {
	f := poison.Filter{IDs: s.IDs, Pipeline: s.Pipeline, Step: s.Step, Relay: s.Relay, Code: s.Code, States: s.States, Since: s.Since, Max: s.Max}
	for _, st := range s.States {
		if st != poison.Parked && st != poison.Held && st != poison.Waiting && st != poison.Retrying {
			return f, fmt.Errorf("wire: a state is parked, held, waiting or retrying, not %q", st)
		}
	}
	var err error
	if s.Stream != "" {
		f.Stream, err = event.ParseStream(s.Stream)
	}
	return f, err
}

// ErrorTrailer is the trailer of a list that ended early: a Problem as JSON, absent where all went well.
const ErrorTrailer = "Leat-Error"

// Line gives v as one line of JSON, without HTML escapes.
func Line(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("wire: encode: %w", err)
	}
	return b.Bytes(), nil
}
