package pipeline

import (
	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// item is one event on its way to a relay's target.
type item struct {
	ev event.Recorded
	// src is the index of the log event that it comes from.
	src int
	// op is the project step that it is for.
	op int
}

// forwardStep puts the event in hand into its envelope and hands it to the relay.
type forwardStep struct {
	fields   eventFields
	envelope event.Envelope
}

func compileForward(s *filter.Scope, c *config.Forward) (*forwardStep, error) {
	f := &forwardStep{}
	var err error
	if f.fields, err = compileFields(s, &c.EventFields); err != nil {
		return nil, err
	}
	if c.Envelope == "" {
		f.envelope = event.Received
		return f, nil
	}
	f.envelope, err = event.ParseEnvelope(c.Envelope)
	return f, err
}

func (f *forwardStep) run(x *exec) error {
	e := x.ev
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
	x.out = append(x.out, item{ev: e, src: x.src})
	return nil
}

// projectStep hands the event in hand to the relay of its table.
type projectStep struct{ op int }

func (p *projectStep) run(x *exec) error {
	x.out = append(x.out, item{ev: x.ev, src: x.src, op: p.op})
	return nil
}
