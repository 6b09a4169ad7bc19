package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/filter"
)

// appendStep adds an append to the unit of the event in hand.
type appendStep struct {
	// The stream's two parts; id is nil where the template has no literal slash and typ gives the whole name. Both are nil
	// where the stream is a handler's.
	typ, id *filter.Template
	expect  *filter.Template // nil: fixed
	fixed   eventstore.Expect
	// loaded: the YAML expects nothing, so that what a handler has loaded of the stream is expected.
	loaded bool
	fields eventFields
	origin string
	// ownLog: the source reads the log that is appended to.
	ownLog bool
	by     Append
}

// Append is what a store's append is By: what its step says of it.
type Append struct {
	// Name is the step's, and its part of derived ids.
	Name string
	// Last: relays read what it writes.
	Last       bool
	OnConflict config.OnConflict
	Retry      *config.Retry // nil: the pipeline's
}

// Of gives the step that made an append; nil where no step did.
func Of(a *eventstore.Append) *Append {
	by, _ := a.By.(*Append)
	return by
}

func compileAppend(s *filter.Scope, c *config.Append) (*appendStep, error) {
	a := &appendStep{by: Append{OnConflict: c.OnConflict}, loaded: c.Expect.IsZero()}
	var err error
	if !c.Stream.IsZero() {
		typ, id, cut := cutStream(c.Stream.Source)
		if a.typ, err = s.Template(typ); err != nil {
			return nil, err
		}
		if cut {
			if a.id, err = s.Template(id); err != nil {
				return nil, err
			}
		}
	}
	if a.fields, err = compileFields(s, &c.EventFields); err != nil {
		return nil, err
	}
	if c.Expect.IsZero() {
		return a, nil
	}
	expect, err := s.Template(c.Expect.Source)
	if err != nil {
		return nil, err
	}
	if text, ok := expect.Constant(); ok {
		a.fixed, err = eventstore.ParseExpect(text)
		return a, err
	}
	a.expect = expect
	return a, nil
}

// cutStream splits a stream's template at its first literal slash, before anything is filled in, so that a slash in a
// value cannot move the border between type and id.
func cutStream(t string) (typ, id string, ok bool) {
	depth := 0
	for i := 0; i < len(t); i++ {
		switch {
		case strings.HasPrefix(t[i:], "{{"):
			depth++
			i++
		case strings.HasPrefix(t[i:], "}}") && depth > 0:
			depth--
			i++
		case t[i] == '/' && depth == 0:
			return t[:i], t[i+1:], true
		}
	}
	return t, "", false
}

var errNoStream = errors.New("append names no stream, and no handler has given the event one")

var errEmptyStream = errors.New("a part of the stream's name came out empty")

func (a *appendStep) stream(x *Exec) (event.Stream, error) {
	if a.typ == nil {
		if x.claim == nil || x.claim.stream.IsZero() {
			return event.Stream{}, event.PoisonAs(event.CodeStream, errNoStream)
		}
		return x.claim.stream, nil
	}
	typ, err := a.typ.Text(x.view)
	if err != nil {
		return event.Stream{}, event.PoisonAs(event.CodeStream, fmt.Errorf("stream: %w", err))
	}
	if a.id == nil {
		s, err := event.ParseStream(typ)
		if err != nil {
			return s, event.PoisonAs(event.CodeStream, err)
		}
		return s, nil
	}
	id, err := a.id.Text(x.view)
	if err != nil {
		return event.Stream{}, event.PoisonAs(event.CodeStream, fmt.Errorf("stream: %w", err))
	}
	if typ == "" || id == "" {
		return event.Stream{}, event.PoisonAs(event.CodeStream, fmt.Errorf("stream %q: %w", typ+"/"+id, errEmptyStream))
	}
	return event.Stream{Type: typ, ID: id}, nil
}

func (a *appendStep) run(x *Exec) error {
	stream, err := a.stream(x)
	if err != nil {
		return err
	}
	expect := a.fixed
	if a.expect != nil {
		text, err := a.expect.Text(x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("expect: %w", err))
		}
		if expect, err = eventstore.ParseExpect(text); err != nil {
			return event.PoisonAs(event.CodeExpression, err)
		}
	}
	ours := x.claim != nil && x.claim.stream == stream
	if ours && a.loaded {
		expect = x.expected(stream)
	}
	e := x.ev.Event
	codec.FillMetadata(&e)
	if err := a.fields.apply(x, &e); err != nil {
		return err
	}
	// The event keeps its id in its first stream; each further event of the unit has one that a repeat makes again. So has
	// one that was read from the log and goes to the stream where it stands: its own id is taken there, by itself.
	if a.fields.id == nil && (e.ID == "" || x.kept > 0 || (a.ownLog && x.standsIn(stream, e.ID))) {
		e.ID = derivedID(x.identity(), x.trail+a.by.Name, 0)
	}
	if e.ID == "" {
		return event.PoisonAs(event.CodeExpression, errors.New("id: came out empty"))
	}
	if len(e.ID) > maxID {
		return event.PoisonAs(event.CodeTooLarge, fmt.Errorf("id: %d bytes, the limit is %d", len(e.ID), maxID))
	}
	x.kept++
	if x.made != nil {
		x.made[stream]++
	}
	if ours && x.claim.state != nil {
		x.keepState(stream, e.ID)
	}
	x.appends = append(x.appends, eventstore.Append{Stream: stream, Expect: expect, Origin: a.origin, Events: []event.Event{e}, By: &a.by})
	return nil
}

// standsIn reports whether the event in hand comes from a log in which a stream has it under that id.
func (x *Exec) standsIn(s event.Stream, id string) bool {
	return x.b != nil && x.i < len(x.b.Recorded) && x.b.Recorded[x.i].Stream == s && x.b.Recorded[x.i].ID == id
}

// expected gives what the event's handler has loaded of its stream, moved on by what the unit has written there since.
func (x *Exec) expected(stream event.Stream) eventstore.Expect {
	e := x.claim.expect
	n, exact := e.Exact()
	if !exact {
		return e
	}
	x.claimed = true
	return eventstore.Revision(n + x.made[stream] - x.claim.base)
}
