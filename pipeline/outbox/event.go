package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Base is what every event has beside its payload. What is empty is filled in when the event is published.
type Base struct {
	// ID is unique; a UUID of version 7 where it is empty. Leat takes an id of a source once.
	ID string
	// Source is who says it; Options.Source where it is empty.
	Source string
	// Type is what has happened; the name of the Go type where it is empty.
	Type string
	// Subject is what it has happened to: for example the aggregate's id.
	Subject string
	// Time is when it happened; now where it is zero.
	Time time.Time
	// Version is that of the payload's schema.
	Version string
	// Correlation is the same for all that one request sets off; the event's own id where nothing set it off.
	Correlation string
	// Causation is the id of the event that led to this one.
	Causation string
	// User is on whose behalf it happened.
	User string
}

// Message is an event that can be published: a struct that embeds Event. Its methods cannot be written elsewhere.
type Message interface {
	base() Base
	payload() any
}

// Event is a base and a payload. Types of events embed it:
//
//	type OrderPlaced struct{ outbox.Event[Order] }
type Event[P any] struct {
	Base
	// Data is the payload, any value that encoding/json can write.
	Data P
}

// Of makes an event of a payload; the base is filled in when it is published.
func Of[P any](payload P) Event[P] { return Event[P]{Data: payload} }

func (e Event[P]) base() Base   { return e.Base }
func (e Event[P]) payload() any { return e.Data }

type causeKey struct{}

// Because notes in a context what led to the events that are published with it: they take its correlation and user, and
// its id is their causation.
func Because(ctx context.Context, cause Base) context.Context {
	return context.WithValue(ctx, causeKey{}, cause)
}

// ErrMessage is wrapped by what is wrong with an event itself: no repeat publishes it.
var ErrMessage = errors.New("outbox: the event cannot be published")

// cloudEvent is the wire: CloudEvents 1.0, structured, with lower-case extension attributes as its section 3.1 has them.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Version         string          `json:"dataversion,omitempty"`
	Correlation     string          `json:"correlationid,omitempty"`
	Causation       string          `json:"causationid,omitempty"`
	User            string          `json:"userid,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// encode gives an event's id and its body.
func (p *Publisher) encode(ctx context.Context, m Message) (string, []byte, error) {
	if m == nil {
		return "", nil, fmt.Errorf("%w: it is nil", ErrMessage)
	}
	b := m.base()
	cause, caused := ctx.Value(causeKey{}).(Base)
	if caused {
		b.Causation = first(b.Causation, cause.ID)
		b.Correlation = first(b.Correlation, cause.Correlation, cause.ID)
		b.User = first(b.User, cause.User)
	}
	if b.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return "", nil, fmt.Errorf("outbox: make an id: %w", err)
		}
		b.ID = id.String()
	}
	b.Source, b.Type, b.Correlation = first(b.Source, p.o.Source), first(b.Type, nameOf(m)), first(b.Correlation, b.ID)
	if b.Time.IsZero() {
		b.Time = p.o.Now()
	}
	switch {
	case b.Source == "":
		return "", nil, fmt.Errorf("%w: it has no source, nor have the publisher's options", ErrMessage)
	case b.Type == "":
		return "", nil, fmt.Errorf("%w: it has no type", ErrMessage)
	case len(b.ID) > 255:
		return "", nil, fmt.Errorf("%w: its id has %d bytes, 255 are allowed", ErrMessage, len(b.ID))
	}
	data, err := json.Marshal(m.payload())
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s: %w", ErrMessage, b.Type, err)
	}
	trace := ""
	if p.o.TraceParent != nil {
		trace = p.o.TraceParent(ctx)
	}
	body, err := json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: b.ID, Source: b.Source, Type: b.Type, Subject: b.Subject, Time: b.Time.UTC().Format(time.RFC3339Nano),
		DataContentType: "application/json", Version: b.Version, Correlation: b.Correlation, Causation: b.Causation, User: b.User,
		TraceParent: trace, Data: data,
	})
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s: %w", ErrMessage, b.Type, err)
	}
	if len(body) > p.o.MaxBytes {
		return "", nil, fmt.Errorf("%w: %s has %d bytes, %d are allowed", ErrMessage, b.Type, len(body), p.o.MaxBytes)
	}
	return b.ID, body, nil
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// nameOf gives the name of an event's Go type; Event itself has none that says anything.
func nameOf(m Message) string {
	t := reflect.TypeOf(m)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if strings.HasPrefix(t.Name(), "Event[") {
		return ""
	}
	return t.Name()
}
