package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// handleStep gives events to a handler. One of them serves the intake and all relays that have the step above them.
type handleStep struct {
	name    string
	plugin  config.Plugin
	timeout time.Duration
	limiter *rate.Limiter
	env     *Env
	owner   string // of its tables of states
	handler handlers.Handler
	states  map[string]*StateTable
	// lost counts calls that have not come back although their time was over.
	lost atomic.Int64
}

// maxLost bounds the calls of a step that are left behind; beyond it the handler counts as down.
const maxLost = 100

// heedTime is how long a handler may take to notice that its time is over.
const heedTime = time.Second

func (t *Tree) handle(n *node) *handleStep {
	for _, h := range t.handles {
		if h.name == n.name {
			return h
		}
	}
	h := &handleStep{name: n.name, plugin: *n.s.Handle, timeout: t.retry.Timeout}
	if n.s.Retry != nil {
		h.timeout = n.s.Retry.Timeout
	}
	if r := n.s.Limits.Rate; r > 0 {
		h.limiter = rate.NewLimiter(rate.Limit(r), max(1, int(r)))
	}
	t.handles = append(t.handles, h)
	return h
}

func (h *handleStep) run(*Exec) error { return nil }

func (h *handleStep) spread(x *Exec) ([]child, error) {
	if h.limiter != nil {
		now := h.env.Now()
		turn := h.limiter.ReserveN(now, 1)
		if wait := turn.DelayFrom(now); wait > 0 && !h.env.sleep(x.ctx, wait) {
			turn.CancelAt(h.env.Now())
			return nil, ErrStopped
		}
	}
	in := x.ev
	in.Event = x.ev.Clone()
	codec.FillMetadata(&in.Event)
	builds := h.builds() // before the handler reads any
	out, err := h.call(x, in)
	if err != nil {
		return nil, err
	}
	if len(out) > maxFan {
		return nil, event.PoisonAs(event.CodeTooLarge, fmt.Errorf("the handler gives %d events, the limit is %d", len(out), maxFan))
	}
	if len(out) == 0 {
		return nil, ErrFiltered
	}
	children := make([]child, len(out))
	for i := range out {
		if err := h.check(&out[i]); err != nil {
			return nil, event.PoisonAs(event.CodeHandler, fmt.Errorf("event %d of what the handler gives: %w", i, err))
		}
		children[i].ev = out[i].Event
		restore(&children[i].ev, &in.Event, &x.ev.Event)
		if out[i].Stream.IsZero() {
			children[i].claim = x.claim // the one above it goes on
			continue
		}
		x.counting()
		children[i].claim = &claim{stream: out[i].Stream, expect: out[i].Expect, state: out[i].State, base: x.made[out[i].Stream]}
		if s := out[i].State; s != nil {
			t := h.states[s.Table]
			children[i].claim.table, children[i].claim.def = t, builds[t]
		}
	}
	return children, nil
}

// counting starts to count the unit's events by stream.
func (x *Exec) counting() {
	if x.made != nil {
		return
	}
	x.made = map[event.Stream]int64{}
	for i := range x.appends {
		x.made[x.appends[i].Stream] += int64(len(x.appends[i].Events))
	}
}

// restore gives an event that came out as it went in the memory that it had, so that it leaves as the bytes in which it
// came; any other is marked as changed.
func restore(out, in, was *event.Event) {
	same := out.ID == in.ID && out.Type == in.Type && out.Source == in.Source && out.Subject == in.Subject && out.Time.Equal(in.Time) &&
		bytes.Equal(out.Data, in.Data) && bytes.Equal(out.Metadata, in.Metadata)
	if same {
		*out = *was
		return
	}
	out.Changed = true
}

// check refuses events that nothing behind could take.
func (h *handleStep) check(e *handlers.Emitted) error {
	switch {
	case e.Type == "":
		return errors.New("it has no type")
	case len(e.ID) > maxID:
		return fmt.Errorf("its id has %d bytes, the limit is %d", len(e.ID), maxID)
	case (e.Stream.Type == "") != (e.Stream.ID == ""):
		return fmt.Errorf("its stream %q lacks a part", e.Stream)
	}
	if e.Data != nil {
		if err := rawjson.Check(e.Data); err != nil {
			return fmt.Errorf("its data is no JSON: %w", err)
		}
	}
	if e.Metadata != nil {
		if err := rawjson.Check(e.Metadata); err != nil {
			return fmt.Errorf("its metadata is no JSON: %w", err)
		}
		if rawjson.KindOf(e.Metadata) != rawjson.KindObject {
			return errors.New("its metadata is no object")
		}
	}
	if s := e.State; s != nil {
		if h.states[s.Table] == nil {
			return fmt.Errorf("its state is for the table %q, which the handler has not named", s.Table)
		}
		if err := rawjson.Check(s.Data); err != nil {
			return fmt.Errorf("its state is no JSON: %w", err)
		}
		if e.Stream.IsZero() {
			return errors.New("it has a state and no stream")
		}
	}
	return nil
}

type answered struct {
	out []handlers.Emitted
	err error
}

// call is one attempt, with its time limit. A handler that does not come back is left behind with its event parked: the
// pipeline does not wait for it.
func (h *handleStep) call(x *Exec, in event.Recorded) ([]handlers.Emitted, error) {
	if n := h.lost.Load(); n >= maxLost {
		return nil, event.Unavailable(0, fmt.Errorf("%s: %d calls of the handler have not come back", h.plugin.Name, n))
	}
	view := &unitView{appends: x.appends, ahead: x.Ahead}
	defer view.end()
	ctx, cancel := context.WithCancel(x.within.Context(context.WithValue(x.ctx, unitKey{}, view)))
	defer cancel()
	done := make(chan answered, 1)
	go func() {
		var r answered
		defer func() {
			if v := recover(); v != nil {
				r = answered{err: NewPanic(v)}
			}
			done <- r
		}()
		r.out, r.err = h.handler.Handle(ctx, in)
	}()
	timer := h.env.Clock.NewTimer(h.timeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.out, h.failure(x, r.err)
	case <-timer.C:
	case <-x.ctx.Done():
	}
	cancel()
	late := h.env.Clock.NewTimer(heedTime)
	defer late.Stop()
	select {
	case r := <-done:
		if x.ctx.Err() != nil {
			return nil, ErrStopped
		}
		var p *PanicError
		if errors.As(r.err, &p) {
			return nil, r.err
		}
		// It has noticed; whatever it says now may be the fault of its being interrupted.
		return nil, event.WithCode(event.CodeTimeout, fmt.Errorf("%s: no answer within %s", h.plugin.Name, h.timeout))
	case <-late.C:
	}
	h.lost.Add(1)
	go func() { <-done; h.lost.Add(-1) }()
	if x.ctx.Err() != nil {
		return nil, ErrStopped
	}
	return nil, event.PoisonAs(event.CodeTimeout, fmt.Errorf("%s: no answer within %s, and it does not heed its context: the call is left behind", h.plugin.Name, h.timeout))
}

// failure gives an error of a handler its code.
func (h *handleStep) failure(x *Exec, err error) error {
	var p *PanicError
	switch {
	case err == nil:
		return nil
	case x.ctx.Err() != nil:
		return ErrStopped
	case event.Code(err) != "" || errors.As(err, &p):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return event.WithCode(event.CodeTimeout, err)
	}
	return event.WithCode(event.CodeHandler, err)
}
