package pipeline

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/tap"
)

// Tap gives samples of the events that pass a pipeline's stages, until ctx ends. It goes on over reloads and pauses.
// A listener that is slower than the pipeline loses samples (Sample.Lost counts them); the pipeline never waits.
func (d *Daemon) Tap(ctx context.Context, pipeline string, o tap.Options) (iter.Seq[tap.Sample], error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if _, err := d.postOf(pipeline); err != nil && !d.opens(pipeline) {
		return nil, err
	}
	return d.hub(pipeline).Listen(ctx, o), nil
}

// opens reports whether a daemon that has not started yet is going to run a pipeline: it can be listened to from its
// first event on.
func (d *Daemon) opens(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.opened && slices.ContainsFunc(d.cfg.Pipelines, func(p *config.Pipeline) bool { return p.Name == name })
}

func (d *Daemon) hub(pipeline string) *tap.Hub {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hubs[pipeline]
	if h == nil {
		h = &tap.Hub{}
		d.hubs[pipeline] = h
	}
	return h
}

// pipeTaps takes the samples of one pipeline; on is asked before a sample is made. A nil one is off.
type pipeTaps struct {
	hub      *tap.Hub
	pipeline string
	now      func() time.Time
}

// On implements steps.Watcher.
func (t *pipeTaps) On() bool { return t != nil && t.hub.On() }

func (t *pipeTaps) put(s tap.Sample, e *event.Recorded) {
	s.At, s.Pipeline = t.now(), t.pipeline
	t.hub.Put(s, e)
}

func (t *pipeTaps) received(e *event.Recorded) {
	t.put(tap.Sample{Stage: tap.Source, Outcome: tap.Received}, e)
}

// Step implements steps.Watcher.
func (t *pipeTaps) Step(relay, name string, e *event.Recorded, err error) {
	s := tap.Sample{Stage: tap.Step, Name: name, Relay: relay, Outcome: tap.Passed}
	switch reason, skipped := event.AsSkip(err); {
	case err == nil:
	case skipped:
		s.Outcome, s.Reason = tap.Filtered, reason
	case errors.Is(err, steps.ErrFiltered):
		s.Outcome = tap.Filtered
	default:
		s.Outcome, s.Reason = tap.Failed, err.Error()
	}
	t.put(s, e)
}

func (t *pipeTaps) committed(u *eventstore.Unit) {
	for i := range u.Appends {
		if i >= len(u.Result.Written) {
			return
		}
		a, w := &u.Appends[i], &u.Result.Written[i]
		for j := range a.Events {
			back := int64(len(a.Events) - 1 - j)
			t.put(tap.Sample{Stage: tap.Append, Name: a.Stream.Type, Outcome: tap.Committed},
				&event.Recorded{Event: a.Events[j], Stream: a.Stream, Revision: w.Last - back, Position: w.Position - back, Origin: a.Origin})
		}
	}
}

func (t *pipeTaps) delivered(relay string, e *event.Recorded) {
	t.put(tap.Sample{Stage: tap.Relay, Name: relay, Relay: relay, Outcome: tap.Delivered}, e)
}

func (t *pipeTaps) parked(e *poison.Entry) {
	if !t.On() {
		return
	}
	t.put(tap.Sample{Stage: tap.Poison, Name: e.Step, Relay: e.Relay, Outcome: tap.Poisoned, Reason: e.Code + ": " + e.Reason}, &event.Recorded{
		Event:  event.Event{ID: e.EventID, Type: e.Type, Source: e.Source, Metadata: e.Metadata, Raw: e.Payload, Envelope: e.Envelope},
		Stream: e.Stream, Position: e.Position,
	})
}
