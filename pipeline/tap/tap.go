// Package tap lets people watch the events that pass the stages of a running pipeline.
//
// A pipeline has one Hub. While nobody listens a stage pays one atomic load; a listener that is slower than the
// pipeline loses samples and is told how many: the pipeline never waits for it.
package tap

import (
	"context"
	"fmt"
	"iter"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// The stages.
const (
	Source = "source" // taken in and decoded
	Step   = "step"   // behind a step, of the intake or of a relay
	Append = "append" // committed to the log
	Relay  = "relay"  // brought to a relay's target
	Poison = "poison" // parked
)

// Outcomes of samples, beside those of event.Outcome.
const (
	Received  = "received"
	Passed    = "passed"
	Filtered  = "filtered"
	Failed    = "failed"
	Committed = "committed"
	Delivered = "delivered"
	Poisoned  = "poisoned"
)

// Sample is one event as it stood at one stage. Its memory is its own.
type Sample struct {
	At       time.Time
	Pipeline string
	Stage    string
	// Name is the step's, at append the stream's type, at relay the relay's, "" at the source.
	Name string
	// Relay is the relay whose steps these are; "" in the intake.
	Relay   string
	Outcome string
	// Reason says why an event failed.
	Reason string
	// Lost counts the samples that this listener lost just before this one.
	Lost  int64
	Event event.Recorded
}

// Options select what a listener gets.
type Options struct {
	// Stages are globs over stage or stage/name: "source", "step/*", "relay/to-*". Empty: everything.
	Stages []string
	// Buffer is how many samples may wait for the listener; zero: 1024.
	Buffer int
}

// Check gives what is wrong with the globs.
func (o *Options) Check() error {
	for _, g := range o.Stages {
		stage, _, _ := strings.Cut(g, "/")
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("tap: %q is no pattern of stages: %w", g, err)
		}
		known := false
		for _, s := range []string{Source, Step, Append, Relay, Poison} {
			ok, _ := path.Match(stage, s)
			known = known || ok
		}
		if !known {
			return fmt.Errorf("tap: %q names no stage; there are source, step, append, relay and poison (step/NAME, relay/NAME)", g)
		}
	}
	return nil
}

func (o *Options) wants(stage, name string) bool {
	if len(o.Stages) == 0 {
		return true
	}
	for _, g := range o.Stages {
		at := stage
		if strings.Contains(g, "/") {
			at += "/" + name
		}
		if ok, _ := path.Match(g, at); ok {
			return true
		}
	}
	return false
}

// Hub hands a pipeline's samples to whoever listens. The zero value is ready; a nil Hub has no listeners. It is safe
// for concurrent use.
type Hub struct {
	mu        sync.Mutex
	listeners atomic.Pointer[[]*listener]
}

type listener struct {
	o    Options
	ch   chan Sample
	lost atomic.Int64
}

// On reports whether anybody listens.
func (h *Hub) On() bool { return h != nil && h.listeners.Load() != nil }

// Put hands a sample to the listeners that want it. The event may be a view into a batch: it is copied for each of
// them, and only where there is room.
func (h *Hub) Put(s Sample, e *event.Recorded) {
	if h == nil {
		return
	}
	all := h.listeners.Load()
	if all == nil {
		return
	}
	for _, l := range *all {
		if !l.o.wants(s.Stage, s.Name) {
			continue
		}
		if len(l.ch) == cap(l.ch) {
			l.lost.Add(1)
			continue
		}
		mine := s
		mine.Event = *e
		mine.Event.Event = e.Clone()
		mine.Lost = l.lost.Swap(0)
		select {
		case l.ch <- mine:
		default:
			l.lost.Add(mine.Lost + 1)
		}
	}
}

// Listen gives samples from now on until ctx ends or the loop is left. It listens before the loop is entered, so that
// nothing that happens meanwhile is missed; the loop must be entered, or ctx end, for it to stop.
func (h *Hub) Listen(ctx context.Context, o Options) iter.Seq[Sample] {
	if o.Buffer <= 0 {
		o.Buffer = 1024
	}
	l := &listener{o: o, ch: make(chan Sample, o.Buffer)}
	h.change(func(all []*listener) []*listener { return append(all, l) })
	leave := sync.OnceFunc(func() {
		h.change(func(all []*listener) []*listener {
			for i := range all {
				if all[i] == l {
					return append(all[:i:i], all[i+1:]...)
				}
			}
			return all
		})
	})
	stop := context.AfterFunc(ctx, leave)
	return func(yield func(Sample) bool) {
		defer leave()
		defer stop()
		for {
			select {
			case s := <-l.ch:
				if !yield(s) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// change replaces the list; whoever reads the old one goes on with it.
func (h *Hub) change(f func([]*listener) []*listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*listener
	if old := h.listeners.Load(); old != nil {
		all = append(all, *old...)
	}
	if all = f(all); len(all) == 0 {
		h.listeners.Store(nil)
		return
	}
	h.listeners.Store(&all)
}
