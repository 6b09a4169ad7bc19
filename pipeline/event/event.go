package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Event is one event in flight: CloudEvents' names over the bytes in which it came.
//
// Strings and slices may be views into the batch's memory: read them freely while the batch is in hand, never write to
// them, and Clone what must outlive it.
type Event struct {
	ID      string
	Source  string
	Type    string
	Subject string
	// Time is the producer's; zero where it gave none.
	Time time.Time
	// Data is the payload, one JSON value; nil where there is none.
	Data []byte
	// Metadata is a JSON object of what travels beside the payload (transport attributes, trace context, envelope
	// fields that have no name here); nil where there is none. Meta and SetMeta read and write it.
	Metadata []byte

	// Raw is the body as it came, in the shape that Envelope names. Where Changed is false it says just what the
	// fields above say, and an event leaves as these bytes.
	Raw      []byte
	Envelope Envelope
	Changed  bool
}

// Envelope is the shape of an event's body.
type Envelope uint8

// The envelopes. Auto is a wish (recognise it by shape), not the shape of any body.
const (
	Auto        Envelope = iota
	EventBridge          // {"detail-type", "source", "detail", …}
	CloudEvents          // {"specversion", "type", "source", "id", "data", …}
	SNS                  // {"Type": "Notification", "Message": …}
	Plain                // any other JSON value: all of it is data
	Received             // a wish of forwards: as it came
	DataOnly             // a wish of forwards: the payload alone
)

var envelopeNames = [...]string{"auto", "eventbridge", "cloudevents", "sns", "json", "received", "data"}

// String gives the name that the YAML uses.
func (e Envelope) String() string {
	if int(e) < len(envelopeNames) {
		return envelopeNames[e]
	}
	return fmt.Sprintf("envelope(%d)", uint8(e))
}

// ParseEnvelope reads the name that the YAML uses.
func ParseEnvelope(name string) (Envelope, error) {
	for i, n := range envelopeNames {
		if n == name {
			return Envelope(i), nil
		}
	}
	return 0, fmt.Errorf("event: no envelope is called %q", name)
}

// Clone gives a copy that shares no memory with the batch.
func (e *Event) Clone() Event {
	c := *e
	c.ID, c.Source = strings.Clone(e.ID), strings.Clone(e.Source)
	c.Type, c.Subject = strings.Clone(e.Type), strings.Clone(e.Subject)
	c.Metadata = cloneBytes(e.Metadata)
	c.Raw = cloneBytes(e.Raw)
	if at, ok := e.DataAt(); ok {
		c.Data = c.Raw[at : at+len(e.Data) : at+len(e.Data)]
	} else {
		c.Data = cloneBytes(e.Data)
	}
	return c
}

func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// Stream names a stream: a type (KurrentDB's category) and an id within it.
type Stream struct {
	Type string
	ID   string
}

// ErrStream is wrapped by what ParseStream returns.
var ErrStream = errors.New("event: a stream is written type/id, neither of them empty")

// ParseStream reads type/id, split at the first slash.
func ParseStream(s string) (Stream, error) {
	typ, id, ok := strings.Cut(s, "/")
	if !ok || typ == "" || id == "" {
		return Stream{}, fmt.Errorf("%w: %q", ErrStream, s)
	}
	return Stream{Type: typ, ID: id}, nil
}

// String gives type/id.
func (s Stream) String() string { return s.Type + "/" + s.ID }

// IsZero reports whether the stream is unset.
func (s Stream) IsZero() bool { return s == Stream{} }

// Recorded is an event as the log holds it. Events of a pipeline without a log travel as Recorded too; their stream,
// revision and position are zero.
type Recorded struct {
	Event
	Stream Stream
	// Revision counts from 1 within the stream, without gaps.
	Revision int64
	// Position counts from 1 over the whole log, without gaps.
	Position int64
	// Committed is the committer's clock; it never goes back along the log.
	Committed time.Time
	// Origin is what appended it: a pipeline's name for its last append, "pipeline/step" for an earlier one, empty for
	// other writers.
	Origin string
}
