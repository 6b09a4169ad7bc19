package steps

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// step is one compiled step. Its run works on the event in hand and returns nil where the event goes on, ErrFiltered
// where it is not wanted, and any other error where it failed.
type step interface {
	run(x *Exec) error
}

// framed is a step with its name and its frame.
type framed struct {
	step
	name string
	when *filter.Program
	// many is the step where it gives any number of events; fork is a branch; else the step works on the event in hand.
	many  fanning
	fork  *forkStep
	retry *config.Retry
}

// Program is a list of steps that see the same events through one scope. It is safe for concurrent use.
type Program struct {
	pipeline string
	steps    []framed
	// byOrigin holds a relay's steps by the origin of the events that they are for; origins are those, in the order of the file.
	byOrigin map[string][]framed
	origins  []string
	meaning  string
	scope    *filter.Scope
	// metadata is set where an expression or pattern reads it: it is built before the steps run.
	metadata bool
	// collect: what comes to the end is gathered (the intake of a pipeline without a log).
	collect bool
	// wrong is told of a value of the wrong type under a condition, which made it false.
	wrong func(step string, err error)
	// watcher is told of the steps; relay names the relay whose steps these are, "" in the intake.
	watcher Watcher
	relay   string
	pool    sync.Pool
}

// Watcher is told what the steps make of events. It is called by many goroutines.
type Watcher interface {
	// On reports whether anybody watches at all; it is asked once for each event.
	On() bool
	// Step tells of the event in hand behind a step; err is what the step says of it, nil where the event goes on.
	Step(relay, step string, e *event.Recorded, err error)
}

// Watch has w told of the steps, as those of a relay; "" is the intake. It is called before the first event.
func (p *Program) Watch(relay string, w Watcher) { p.relay, p.watcher = relay, w }

// watched reports whether somebody watches.
func (p *Program) watched() bool { return p.watcher != nil && p.watcher.On() }

// Origins gives those of the log's events that a relay's program is for: "" is all of them.
func (p *Program) Origins() []string { return p.origins }

// Meaning is what a relay's steps come to, in words: it changes when they do something else.
func (p *Program) Meaning() string { return p.meaning }

// Compile makes an expression of what the steps of the program see; Exec.JSON evaluates it.
func (p *Program) Compile(src string) (*filter.Program, error) {
	f, err := p.scope.Compile(src, filter.Any)
	if err == nil {
		p.metadata = p.metadata || readsMetadata(f)
	}
	return f, err
}

// Exec takes events through a program, one after another; it belongs to one goroutine.
type Exec struct {
	// Out gathers what comes to a relay's target. Whoever takes events through begins a list, and cuts off what an event gave
	// that failed.
	Out []Item
	// Through gathers the events that come to the end of an intake without a log.
	Through []event.Recorded
	// Ahead gives the appends of the units before this one that are not committed yet: handlers see them. Nil: there are none.
	Ahead iter.Seq[[]eventstore.Append]

	prog   *Program
	view   *filter.View
	ev     event.Recorded
	fields pattern.Fields
	buf    []byte
	// ctx ends when the pipeline stops at once.
	ctx context.Context

	// The intake gathers what the event gives.
	appends []eventstore.Append
	// b and i are the source event in hand; what further ids are derived from is asked only when one is needed.
	b     *event.Batch
	i     int
	ident string
	// span is the event's; nil where it is not traced.
	span *telemetry.Span
	// within is that of the step that gives several, while it runs.
	within *telemetry.Span
	// src is the index of a relay's event among those that are taken through together.
	src int

	fan
}

// from gives the steps for events of an origin.
func (p *Program) from(origin string) []framed {
	if len(p.byOrigin) > 1 {
		return p.byOrigin[origin]
	}
	return p.steps
}

// Get gives an Exec. Put takes it back.
func (p *Program) Get() *Exec {
	if x, ok := p.pool.Get().(*Exec); ok {
		return x
	}
	return &Exec{prog: p, view: p.scope.NewView()}
}

// Put takes an Exec back; what it has gathered is the caller's.
func (p *Program) Put(x *Exec) {
	x.ev = event.Recorded{}
	x.appends, x.Through, x.Ahead, x.b, x.ident, x.ctx, x.span, x.within = nil, nil, nil, nil, "", nil, nil, nil
	x.Out = nil
	x.fan = fan{}
	p.pool.Put(x)
}

// start points x at an event.
func (x *Exec) start(e *event.Recorded) {
	x.ev = *e
	if x.prog.metadata {
		codec.FillMetadata(&x.ev.Event)
	}
	x.view.Reset(&x.ev)
}

// Event is the event in hand. Before Begin it is the caller's to fill in.
func (x *Exec) Event() *event.Recorded { return &x.ev }

// Trace has the steps of the next event told in its span; nil where it is not traced.
func (x *Exec) Trace(s *telemetry.Span) { x.span = s }

// Begin makes the event in hand that of a unit: event i of a batch. Steps end with ctx.
func (x *Exec) Begin(ctx context.Context, b *event.Batch, i int) {
	x.appends, x.ctx = nil, ctx
	x.fresh()
	x.b, x.i = b, i
	if !x.prog.collect && x.ev.ID == "" {
		x.ev.ID = derivedID(x.identity(), "source", 0)
	}
	x.start(&x.ev)
}

// Look has expressions see the event in hand as it is, where no steps have begun.
func (x *Exec) Look() { x.start(&x.ev) }

// JSON evaluates an expression on the event in hand. The bytes are good until the next call.
func (x *Exec) JSON(p *filter.Program) ([]byte, error) {
	out, err := p.JSON(x.buf[:0], x.view)
	if err == nil {
		x.buf = out
	}
	return out, err
}

// Given is what the steps made of a source event.
type Given struct {
	Appends []eventstore.Append
	// States go with the appends.
	States States
	// Claimed: an append expects what a handler has loaded of its stream.
	Claimed bool
	// Dropped is why a step dropped the event, or one that it gave; Unrouted names the branch that had no case for one.
	Dropped  error
	Unrouted string
}

// Unit takes the event that Begin was told of through the steps. The error is an *Error, or ErrFiltered. What comes to the end
// of the steps without a log is in Through. A panic of a plugin is the caller's to catch.
func (x *Exec) Unit() (Given, error) {
	err := x.take(x.prog.steps)
	return Given{Appends: x.appends, States: x.states, Claimed: x.claimed, Dropped: x.dropped, Unrouted: x.unrouted}, err
}

// Relay takes an event of the log through the steps that are for its origin; src is its index among those that are taken
// through together. What it gives is in Out. The error is as that of Unit.
func (x *Exec) Relay(ctx context.Context, e *event.Recorded, src int) error {
	x.src, x.ctx = src, ctx
	x.fresh()
	x.start(e)
	return x.take(x.prog.from(e.Origin))
}

// Unrouted names the branch that had no case for the event, or for one that it gave; "" where there is none.
func (x *Exec) Unrouted() string { return x.unrouted }

// changed is called when a step has changed x.ev: it no longer leaves as it came.
func (x *Exec) changed() {
	x.ev.Changed = true
	x.view.Reset(&x.ev)
}

// take takes the event in hand through a list of steps. Where they give several events, each goes through the rest.
func (x *Exec) take(steps []framed) error {
	tapped := x.prog.watched()
	for i := range steps {
		s := &steps[i]
		if s.when != nil && !x.truth(s.when, s.name) {
			continue
		}
		if s.fork != nil {
			return x.branch(s, steps[i+1:], tapped)
		}
		if s.many != nil {
			return x.each(s, steps[i+1:], tapped)
		}
		span := x.step(s.name)
		err := s.run(x)
		endStep(span, err)
		if tapped {
			x.prog.watcher.Step(x.prog.relay, s.name, &x.ev, err)
		}
		if err == ErrFiltered { //nolint:errorlint // the usual one, as it is; others are looked at closely
			return err
		} else if err != nil {
			return x.drop(s.failed(err))
		}
	}
	if x.prog.collect {
		x.Through = append(x.Through, x.ev)
	}
	return nil
}

// failed says where an error happened, unless it is none.
func (s *framed) failed(err error) error {
	if errors.Is(err, ErrFiltered) {
		return err
	}
	return &Error{Step: s.name, Retry: s.retry, Err: err}
}

// truth evaluates a condition; a value of the wrong type makes it false and is counted.
func (x *Exec) truth(p *filter.Program, step string) bool {
	ok, err := p.Bool(x.view)
	if err != nil {
		x.prog.wrong(step, err)
		return false
	}
	return ok
}

type filterStep struct {
	cond *filter.Program
	name string
}

func (s *filterStep) run(x *Exec) error {
	if !x.truth(s.cond, s.name) {
		return ErrFiltered
	}
	return nil
}

type matchStep struct{ pattern *pattern.Pattern }

func (s *matchStep) run(x *Exec) error {
	codec.Fields(&x.ev.Event, &x.fields)
	ok, err := s.pattern.MatchFields(&x.fields)
	if err != nil {
		return event.PoisonAs(event.CodeMalformed, err)
	}
	if !ok {
		return ErrFiltered
	}
	return nil
}
