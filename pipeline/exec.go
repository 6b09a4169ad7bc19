package pipeline

import (
	"context"
	"errors"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// errFiltered ends an event's way through the steps: it is not wanted. It is no failure.
var errFiltered = errors.New("pipeline: filtered")

// step is one compiled step. Its run works on the event in hand and returns nil where the event goes on, errFiltered
// where it is not wanted, and any other error where it failed.
type step interface {
	run(x *exec) error
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

// program is a list of steps that see the same events through one scope. It is safe for concurrent use.
type program struct {
	steps []framed
	// byOrigin holds a relay's steps by the origin of the events that they are for.
	byOrigin map[string][]framed
	scope    *filter.Scope
	// metadata is set where an expression or pattern reads it: it is built before the steps run.
	metadata bool
	// collect: what comes to the end is gathered (the intake of a pipeline without a log).
	collect bool
	// wrong is told of a value of the wrong type under a condition, which made it false.
	wrong func(step string, err error)
	// identity names the source event in hand, for derived ids.
	identity func(x *exec) string
	// taps are the pipeline's; relay names the relay whose steps these are, "" in the intake.
	taps  *pipeTaps
	relay string
	pool  sync.Pool
}

// exec is the state of one goroutine that runs a program.
type exec struct {
	prog   *program
	view   *filter.View
	ev     event.Recorded
	fields pattern.Fields
	buf    []byte
	// ctx ends when the pipeline stops at once.
	ctx context.Context

	// The intake gathers what the event gives.
	appends []eventstore.Append
	// through gathers the events that come to the end of the steps, where there is no log.
	through []event.Recorded
	// b and i are the source event in hand; what further ids are derived from is asked only when one is needed.
	b     *event.Batch
	i     int
	ident string
	// span is the event's; nil where it is not traced.
	span *telemetry.Span
	// within is that of the step that gives several, while it runs.
	within *telemetry.Span
	// A relay gathers what is to leave.
	out []item
	src int

	fan
}

// from gives the steps for events of an origin.
func (p *program) from(origin string) []framed {
	if len(p.byOrigin) > 1 {
		return p.byOrigin[origin]
	}
	return p.steps
}

func (p *program) get() *exec {
	if x, ok := p.pool.Get().(*exec); ok {
		return x
	}
	return &exec{prog: p, view: p.scope.NewView()}
}

func (p *program) put(x *exec) {
	x.ev = event.Recorded{}
	x.appends, x.through, x.b, x.ident, x.ctx, x.span, x.within = nil, nil, nil, "", nil, nil, nil
	x.out = nil
	x.fan = fan{}
	p.pool.Put(x)
}

// stepError says in which step an event failed.
type stepError struct {
	step  string
	retry *config.Retry // how the step repeats; nil: as the pipeline does
	err   error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// start points x at an event.
func (x *exec) start(e *event.Recorded) {
	x.ev = *e
	if x.prog.metadata {
		codec.FillMetadata(&x.ev.Event)
	}
	x.view.Reset(&x.ev)
}

// identity names the source event, or the log's, for what is derived of it.
func (x *exec) identity() string {
	if x.ident == "" {
		x.ident = x.prog.identity(x)
	}
	return x.ident
}

// changed is called when a step has changed x.ev: it no longer leaves as it came.
func (x *exec) changed() {
	x.ev.Changed = true
	x.view.Reset(&x.ev)
}

// run takes the event in hand through the steps. The error is a *stepError, or errFiltered.
func (x *exec) run() error { return x.take(x.prog.steps) }

// take takes the event in hand through a list of steps. Where they give several events, each goes through the rest.
func (x *exec) take(steps []framed) error {
	tapped := x.prog.taps.on()
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
			x.prog.taps.step(x, s.name, err)
		}
		if err == errFiltered { //nolint:errorlint // the usual one, as it is; others are looked at closely
			return err
		} else if err != nil {
			return x.drop(s.failed(err))
		}
	}
	if x.prog.collect {
		x.through = append(x.through, x.ev)
	}
	return nil
}

// failed says where an error happened, unless it is none.
func (s *framed) failed(err error) error {
	if errors.Is(err, errFiltered) {
		return err
	}
	return &stepError{step: s.name, retry: s.retry, err: err}
}

// truth evaluates a condition; a value of the wrong type makes it false and is counted.
func (x *exec) truth(p *filter.Program, step string) bool {
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

func (s *filterStep) run(x *exec) error {
	if !x.truth(s.cond, s.name) {
		return errFiltered
	}
	return nil
}

type matchStep struct{ pattern *pattern.Pattern }

func (s *matchStep) run(x *exec) error {
	codec.Fields(&x.ev.Event, &x.fields)
	ok, err := s.pattern.MatchFields(&x.fields)
	if err != nil {
		return event.PoisonAs(event.CodeMalformed, err)
	}
	if !ok {
		return errFiltered
	}
	return nil
}
