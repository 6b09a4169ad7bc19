package steps

import (
	"encoding/json"
	"fmt"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// Item is one event on its way to a relay's target.
type Item struct {
	Event event.Recorded
	// Src is the index of the log event that it comes from.
	Src int
	// Step is the target step that it is for, by its number among those of the relay.
	Step int
	// Span is that of the log event.
	Span *telemetry.Span
}

// forwardStep puts the event in hand into its envelope and hands it to the relay.
type forwardStep struct {
	fields   eventFields
	envelope event.Envelope
	notify   bool
}

func compileForward(s *filter.Scope, c *config.Forward) (*forwardStep, error) {
	f := &forwardStep{}
	var err error
	if f.fields, err = compileFields(s, &c.EventFields); err != nil {
		return nil, err
	}
	f.envelope = event.Received
	if c.Envelope != "" {
		f.envelope, err = event.ParseEnvelope(c.Envelope)
	}
	if f.notify = c.Notify != nil; f.notify && f.envelope == event.Received {
		f.envelope = event.DataOnly
	}
	return f, err
}

// notice is the payload of a notification, as serverless-event-store sends it: the revision is a text.
type notice struct {
	StreamID       string `json:"StreamId"`
	StreamType     string
	StreamRevision int64 `json:",string"`
}

// notification tells that a stream has a new revision, instead of what happened. Its id is the event's with a mark, so
// that it is not taken for the event where both go to one place.
func notification(e *event.Recorded) (event.Event, error) {
	data, err := json.Marshal(notice{e.Stream.ID, e.Stream.Type, e.Revision})
	if err != nil {
		return event.Event{}, fmt.Errorf("steps: notification: %w", err)
	}
	return event.Event{
		ID: e.ID + "-notify", Type: notificationType, Source: e.Source, Subject: e.Stream.String(), Time: e.Committed,
		Metadata: e.Metadata, Data: data, Changed: true,
	}, nil
}

// notificationType is the type of notifications, where their envelope has one (EventBridge's detail-type).
const notificationType = "StreamUpdated"

func (f *forwardStep) run(x *Exec) error {
	e := x.ev
	if f.notify {
		var err error
		if e.Event, err = notification(&x.ev); err != nil {
			return err
		}
	}
	if err := f.fields.apply(x, &e.Event); err != nil {
		return err
	}
	if f.envelope != event.Received || e.Changed || len(e.Raw) == 0 {
		codec.FillMetadata(&e.Event)
		raw, err := codec.Encode(nil, &e.Event, f.envelope)
		if err != nil {
			return event.PoisonAs(event.CodeMalformed, err)
		}
		e.Raw = raw
	}
	x.Out = append(x.Out, Item{Event: e, Src: x.src, Span: x.span})
	return nil
}

// projectStep hands the event in hand to the relay of its table.
type projectStep struct{ op int }

func (p *projectStep) run(x *Exec) error {
	x.Out = append(x.Out, Item{Event: x.ev, Src: x.src, Step: p.op, Span: x.span})
	return nil
}
