package steps

import (
	"errors"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/pipeline/trace"
)

// Fail marks a span with why its event failed.
func Fail(s *telemetry.Span, err error) {
	if err == nil || !s.Recording() {
		return
	}
	code := Code(err)
	if _, down := event.AsUnavailable(err); down {
		code = "unavailable"
	}
	s.Fail(code, err.Error())
}

// step begins the span of a step; nil where the event is not sampled.
func (x *Exec) step(name string) *telemetry.Span {
	if !x.span.Recording() {
		return nil
	}
	return x.span.Child("step "+name, telemetry.Internal, time.Time{}, telemetry.Text("leat.step", name))
}

// inherit gives an event that a step made, and that says nothing of a trace, that of the event it was made of.
func (x *Exec) inherit(parent *event.Event) {
	if x.span == nil {
		return
	}
	if _, ok := trace.Of(&x.ev.Event); !ok {
		if p, ok := trace.Of(parent); ok {
			trace.Carry(&x.ev.Event, p)
		}
	}
}

// endStep ends a step's span; what is filtered is no failure.
func endStep(s *telemetry.Span, err error) {
	if !s.Recording() {
		return
	}
	_, skipped := event.AsSkip(err)
	switch {
	case err == nil:
	case skipped || errors.Is(err, ErrFiltered):
		s.Set(telemetry.Text("leat.outcome", "filtered"))
	default:
		Fail(s, err)
	}
	s.End(nil)
}
