package wire

import (
	"encoding/json"
	"time"

	"github.com/leatdev/leat/pipeline/tap"
)

// Sample is a tap.Sample as it is written, one a line.
type Sample struct {
	At       time.Time `json:"at"`
	Pipeline string    `json:"pipeline"`
	Stage    string    `json:"stage"`
	Name     string    `json:"name,omitempty"`
	Relay    string    `json:"relay,omitempty"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	// Lost counts samples that this reader lost before this one.
	Lost  int64 `json:"lost,omitempty"`
	Event Event `json:"event"`
	// Body is the body as it came, of a poisoned event whose fields could not be read.
	Body string `json:"body,omitempty"`
}

// SampleOf gives the form that is written.
func SampleOf(s *tap.Sample) Sample {
	w := Sample{At: s.At.UTC(), Pipeline: s.Pipeline, Stage: s.Stage, Name: s.Name, Relay: s.Relay, Outcome: s.Outcome, Reason: s.Reason, Lost: s.Lost, Event: EventOf(&s.Event)}
	if !json.Valid(w.Event.Data) {
		w.Event.Data = json.RawMessage("null")
	}
	if s.Stage == tap.Poison {
		w.Body = string(s.Event.Raw)
	}
	return w
}

// Back gives the sample.
func (w *Sample) Back() (tap.Sample, error) {
	e, err := w.Event.Back()
	if err != nil {
		return tap.Sample{}, err
	}
	s := tap.Sample{At: w.At, Pipeline: w.Pipeline, Stage: w.Stage, Name: w.Name, Relay: w.Relay, Outcome: w.Outcome, Reason: w.Reason, Lost: w.Lost, Event: *e}
	if w.Body != "" {
		s.Event.Raw = []byte(w.Body)
	}
	return s, nil
}
