package steps

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// fanning is a step that gives any number of events in place of the one in hand.
type fanning interface {
	step
	// spread gives the events. An event without an id gets one that a repeat makes again.
	spread(x *Exec) ([]child, error)
}

// child is an event that a step gives.
type child struct {
	ev    event.Event
	claim *claim
}

// claim is what a handler says of an event: where it belongs, and what it has counted on.
type claim struct {
	stream event.Stream
	expect eventstore.Expect
	state  *handlers.State
	table  *StateTable
	def    *table.Def // the table's build before the handler was called
	// base is how many events the unit had for the stream when the handler read it.
	base int64
}

// fan is the part of an Exec that only steps with several events use. Its zero value is that of a source event.
type fan struct {
	// used: there is something in it beside kept.
	used bool
	// trail leads from the source event to the one in hand: the steps that gave it, with its index in each.
	trail string
	// count is how many events the source event has given so far.
	count int
	// kept is how many appends the event in hand has; the first one keeps its id.
	kept  int
	claim *claim
	// made counts the unit's events by stream, once a handler has named one.
	made   map[event.Stream]int64
	states States
	// claimed: an append of the unit expects what a handler has loaded.
	claimed bool
	// dropped is why an event was dropped by a step that says so; unrouted names the branch that had no case for one.
	dropped  error
	unrouted string
}

// fresh makes it that of the next source event.
func (x *Exec) fresh() {
	x.ident, x.kept = "", 0
	if x.used {
		x.fan = fan{}
	}
}

// maxFan bounds the events that one source event may give.
const maxFan = 10000

// each takes every event that a step gives through the rest of the steps. One failure is the source event's.
func (x *Exec) each(s *framed, rest []framed, tapped bool) error {
	x.within = x.step(s.name)
	x.used = true
	children, err := s.many.spread(x)
	if x.count += len(children); err == nil && x.count > maxFan {
		err = event.PoisonAs(event.CodeTooLarge, fmt.Errorf("one event gives more than %d", maxFan))
	}
	x.within.Set(telemetry.Number("leat.events", int64(len(children))))
	endStep(x.within, err)
	x.within = nil
	if tapped {
		x.prog.watcher.Step(x.prog.relay, s.name, &x.ev, err)
	}
	if err != nil {
		return x.drop(s.failed(err))
	}
	parent, trail, kept, claimed := x.ev, x.trail, x.kept, x.claim
	some := false
	for i := range children {
		c := &children[i]
		x.ev = parent
		x.ev.Event = c.ev
		x.inherit(&parent.Event)
		x.trail, x.kept, x.claim = trail, 0, c.claim
		switch {
		case len(children) > 1:
			x.trail = trail + s.name + "[" + strconv.Itoa(i) + "]/"
			if c.ev.ID == "" || c.ev.ID == parent.ID {
				x.ev.ID, x.ev.Changed = derivedID(x.identity(), trail+s.name, i), true
			}
		case c.ev.ID == "":
			x.ev.ID, x.ev.Changed = derivedID(x.identity(), trail+s.name, 0), true
		case c.ev.ID == parent.ID:
			x.kept = kept
		}
		x.view.Reset(&x.ev)
		switch err := x.take(rest); {
		case err == nil:
			some = true
		case errors.Is(err, ErrFiltered):
		default:
			if _, skipped := event.AsSkip(err); !skipped {
				return err
			}
		}
	}
	x.ev, x.trail, x.kept, x.claim = parent, trail, kept, claimed
	if !some && len(x.appends) == 0 {
		return ErrFiltered
	}
	return nil // what was appended above the step stands
}

// drop notes an event that a step drops: it goes no further, and what else its source event gives goes on.
func (x *Exec) drop(err error) error {
	var d *dropError
	if !errors.As(err, &d) {
		return err
	}
	if x.used = true; x.dropped == nil {
		x.dropped = err
	}
	return ErrFiltered
}

// forkStep is a branch.
type forkStep struct{ cases []forkCase }

// forkCase is one case, with its steps and those behind the branch. It is for all where it has no condition.
type forkCase struct {
	match *pattern.Pattern
	when  *filter.Program
	steps []framed
}

// branch takes the event through the first case that it fits.
func (x *Exec) branch(s *framed, _ []framed, tapped bool) error {
	err := error(errUnrouted)
	var steps []framed
	for i := range s.fork.cases {
		c := &s.fork.cases[i]
		fits := true
		switch {
		case c.match != nil:
			codec.Fields(&x.ev.Event, &x.fields)
			var bad error
			if fits, bad = c.match.MatchFields(&x.fields); bad != nil {
				return s.failed(event.PoisonAs(event.CodeMalformed, bad))
			}
		case c.when != nil:
			fits = x.truth(c.when, s.name)
		}
		if fits {
			err, steps = nil, c.steps
			break
		}
	}
	if tapped {
		x.prog.watcher.Step(x.prog.relay, s.name, &x.ev, err)
	}
	if err != nil {
		if x.used = true; x.unrouted == "" {
			x.unrouted = s.name
		}
		return err
	}
	return x.take(steps)
}

// splitStep makes an event of each item of an array.
type splitStep struct {
	list *filter.Program
	data *object // nil: the item
}

func compileSplit(s *filter.Scope, c *config.Split) (*splitStep, error) {
	p := &splitStep{}
	var err error
	if p.list, err = s.Compile(c.Each.Source, filter.List); err != nil {
		return nil, fmt.Errorf("each: %w", err)
	}
	if !c.Data.IsZero() {
		if p.data, err = compileObject(s, c.Data); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	return p, nil
}

func (p *splitStep) run(*Exec) error { return nil }

func (p *splitStep) spread(x *Exec) ([]child, error) {
	list, err := p.list.JSON(nil, x.view)
	if err != nil {
		return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("each: %w", err))
	}
	if string(list) == "null" {
		return nil, nil
	}
	if rawjson.KindOf(list) != rawjson.KindArray {
		return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("each: %.40s is no array", list))
	}
	base := x.ev.Event
	codec.FillMetadata(&base)
	base.Changed = true
	var out []child
	var failed error
	err = rawjson.Array(list, func(raw []byte) bool {
		e := base
		e.ID, e.Data = "", raw
		if p.data != nil {
			x.view.SetItem(raw, len(out))
			if e.Data, failed = p.data.append(nil, x.view); failed != nil {
				failed = event.PoisonAs(event.CodeExpression, fmt.Errorf("data: item %d: %w", len(out), failed))
				return false
			}
		}
		out = append(out, child{ev: e})
		return len(out) <= maxFan
	})
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, event.PoisonAs(event.CodeMalformed, fmt.Errorf("each: %w", err))
	}
	return out, nil
}
