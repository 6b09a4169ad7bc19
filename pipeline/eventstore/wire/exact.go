package wire

import (
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// Exact is a recorded event with all that the store has of it, byte for byte: also the body as it came, and what is no
// JSON or has no name of the form type/id. Go clients write and read it; for people there is Event.
type Exact struct {
	StreamType string    `json:"stream_type,omitempty"`
	StreamID   string    `json:"stream_id,omitempty"`
	Revision   int64     `json:"revision,omitempty"`
	Position   int64     `json:"position,omitempty"`
	Recorded   time.Time `json:"recorded,omitzero"`
	Origin     string    `json:"origin,omitempty"`
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	Source     string    `json:"source,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Time       time.Time `json:"time,omitzero"`
	// Data is left out where it is a part of Raw: then DataAt and DataSize say which.
	Data     []byte `json:"data,omitempty"`
	DataAt   int    `json:"data_at,omitempty"`
	DataSize int    `json:"data_size,omitempty"`
	Metadata []byte `json:"metadata,omitempty"`
	Raw      []byte `json:"raw,omitempty"`
	Envelope string `json:"envelope,omitempty"`
	Changed  bool   `json:"changed,omitempty"`
}

// ExactOf gives the form that is written.
func ExactOf(r *event.Recorded) Exact {
	w := ExactEvent(&r.Event)
	w.StreamType, w.StreamID = r.Stream.Type, r.Stream.ID
	w.Revision, w.Position, w.Recorded, w.Origin = r.Revision, r.Position, r.Committed, r.Origin
	return w
}

// ExactEvent gives the form of an event that is not recorded yet.
func ExactEvent(e *event.Event) Exact {
	w := Exact{
		ID: e.ID, Type: e.Type, Source: e.Source, Subject: e.Subject, Time: e.Time, Metadata: e.Metadata,
		Raw: e.Raw, Changed: e.Changed,
	}
	if e.Envelope != event.Auto {
		w.Envelope = e.Envelope.String()
	}
	if at, ok := e.DataAt(); ok && !e.Changed {
		w.DataAt, w.DataSize = at, len(e.Data)
	} else {
		w.Data = e.Data
	}
	if e.Changed {
		w.Raw = nil // stores drop it too
	}
	return w
}

// Back gives the recorded event.
func (w *Exact) Back() (event.Recorded, error) {
	e, err := w.Event()
	return event.Recorded{
		Event: e, Stream: event.Stream{Type: w.StreamType, ID: w.StreamID}, Revision: w.Revision, Position: w.Position,
		Committed: w.Recorded, Origin: w.Origin,
	}, err
}

// Event gives the event alone.
func (w *Exact) Event() (event.Event, error) {
	e := event.Event{
		ID: w.ID, Type: w.Type, Source: w.Source, Subject: w.Subject, Time: w.Time, Data: w.Data, Metadata: w.Metadata,
		Raw: w.Raw, Changed: w.Changed,
	}
	var err error
	if w.Envelope != "" {
		if e.Envelope, err = event.ParseEnvelope(w.Envelope); err != nil {
			return e, &RequestError{err}
		}
	}
	if w.DataSize > 0 {
		end := w.DataAt + w.DataSize
		if w.DataAt < 0 || end < w.DataAt || end > len(w.Raw) {
			return e, &RequestError{errDataAt}
		}
		e.Data = e.Raw[w.DataAt:end:end]
	}
	return e, nil
}
