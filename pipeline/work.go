package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// job is a rebuild or a replay that is under way, or was.
type job struct {
	p       *pipe
	begun   int64 // position at which this run of it began
	limiter *rate.Limiter
	told    func(control.Work) // progress, where somebody asked for it; nil: nobody did

	mu     sync.Mutex
	now    control.Work
	cancel context.CancelCauseFunc
	over   chan struct{}
}

var errCancelled = errors.New("pipeline: the work was cancelled")

func (p *pipe) newWork(kind string, r *relayPlan, throttle float64) *job {
	w := &job{p: p, over: make(chan struct{})}
	w.now = control.Work{ID: fmt.Sprintf("%s-%08x", kind, rand.Uint32()), Kind: kind, Pipeline: p.cfg.Name, Relay: r.name, Target: r.target, State: control.Running, Started: p.now()}
	if throttle > 0 {
		w.limiter = rate.NewLimiter(rate.Limit(throttle), max(1, int(throttle/10)))
	}
	return w
}

// status gives how far it has come.
func (w *job) status() control.Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.now
	end := s.Ended
	if end.IsZero() {
		end = w.p.now()
	}
	if d := end.Sub(s.Started).Seconds(); d > 0 && s.Done > w.begun {
		s.Rate = float64(s.Done-w.begun) / d
		s.Left = float64(max(0, s.Total-s.Done)) / s.Rate
	}
	return s
}

// at notes progress.
func (w *job) at(change func(s *control.Work)) {
	w.mu.Lock()
	change(&w.now)
	s := w.now
	w.mu.Unlock()
	w.p.env.metrics.Work(s.Pipeline, s.Kind, s.Target, s.Done, s.Total)
	if w.told != nil {
		w.told(w.status())
	}
}

// end notes how it ended.
func (w *job) end(err error) {
	w.at(func(s *control.Work) {
		s.Ended = w.p.now()
		switch {
		case err == nil:
			s.State = control.Done
		case errors.Is(err, ErrParkedReplay): // it stays waiting
		case errors.Is(err, errCancelled):
			s.State = control.Cancelled
		case errors.Is(err, errStopped), errors.Is(err, context.Canceled):
			s.State = control.Interrupted
		default:
			s.State, s.Error = control.Failed, err.Error()
		}
	})
	s := w.status()
	w.p.env.metrics.Work(s.Pipeline, s.Kind, s.Target, 0, -1)
	w.p.log.Info("work ended", "work", s.ID, "target", s.Target, "state", s.State, "events", s.Events, "parked", s.Parked, "error", s.Error)
	close(w.over)
}

// pageSize is how many events are read at once: under a throttle, about those of a second.
func (w *job) pageSize(most int) int {
	if w.limiter == nil {
		return most
	}
	return max(1, min(most, int(w.limiter.Limit())))
}

// slow keeps to the throttle.
func (w *job) slow(ctx context.Context, events int) error {
	if w.limiter == nil {
		return nil
	}
	for events > 0 {
		n := min(events, w.limiter.Burst())
		turn := w.limiter.ReserveN(w.p.now(), n)
		if wait := turn.DelayFrom(w.p.now()); wait > 0 && !w.p.sleep(wait, ctx) {
			return errStopped
		}
		events -= n
	}
	return nil
}

// Works lists the rebuilds and replays since the daemon's start, the last one first.
func (d *Daemon) Works() []control.Work {
	d.mu.Lock()
	all := slices.Clone(d.works)
	d.mu.Unlock()
	out := make([]control.Work, 0, len(all))
	for _, w := range slices.Backward(all) {
		out = append(out, w.status())
	}
	return out
}

// Work gives one of them.
func (d *Daemon) Work(id string) (control.Work, error) {
	w, err := d.workOf(id)
	if err != nil {
		return control.Work{}, err
	}
	return w.status(), nil
}

// CancelWork ends one of them and waits for that. What a rebuild has built is dropped; what a replay has sent is sent.
func (d *Daemon) CancelWork(ctx context.Context, id string) (control.Work, error) {
	w, err := d.workOf(id)
	if err != nil {
		return control.Work{}, err
	}
	w.cancel(errCancelled)
	select {
	case <-w.over:
	case <-ctx.Done():
		return w.status(), ctx.Err()
	}
	return w.status(), nil
}

func (d *Daemon) workOf(id string) (*job, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	unknown := &control.UnknownError{Kind: "rebuild or replay", Name: id}
	for _, w := range d.works {
		if w.now.ID == id {
			return w, nil
		}
		unknown.Have = append(unknown.Have, w.now.ID)
	}
	return nil, unknown
}

// keptWorks bounds the list of works that are over.
const keptWorks = 100

// begin lets a work run beside its pipe. One of a kind and target runs at a time.
func (d *Daemon) begin(w *job, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(w.p.relaysStop)
	w.cancel = cancel
	d.mu.Lock()
	for _, o := range d.works {
		if s := o.status(); !s.Over() && s.Kind == w.now.Kind && s.Pipeline == w.now.Pipeline && s.Relay == w.now.Relay {
			d.mu.Unlock()
			cancel(nil)
			return &control.BusyError{Why: fmt.Sprintf("a %s of %s is under way: %s", s.Kind, s.Target, s.ID)}
		}
	}
	// One that was taken up again stands once in the list.
	d.works = slices.DeleteFunc(slices.Clone(d.works), func(o *job) bool { return o.now.ID == w.now.ID })
	d.works = append(d.works, w)
	if len(d.works) > keptWorks {
		d.works = slices.Clone(d.works[len(d.works)-keptWorks:])
	}
	d.mu.Unlock()
	w.p.working.run(func() {
		defer cancel(nil)
		err := run(ctx)
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), errCancelled) {
			err = errCancelled
		}
		w.end(err)
	})
	return nil
}

// keepWork writes down, or forgets, that a work is to go on after a restart; with a fence only while that lease holds.
func (p *pipe) keepWork(ctx context.Context, key, value string, fence *eventstore.Lease) error {
	u := &eventstore.Unit{Pipeline: p.cfg.Name, Cursor: &event.Cursor{Key: key, Value: value}}
	if err := p.store.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{Fence: fence}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return u.Result.Err
}

// none is what stands where a work was.
const none = "no"

// runningRelay finds a relay that this process runs now.
func (d *Daemon) runningRelay(x *post, fits func(r *relay) bool) (*relay, error) {
	d.mu.Lock()
	p, paused := x.pipe, x.paused
	d.mu.Unlock()
	if paused == control.PausedAll {
		return nil, &control.BusyError{Why: fmt.Sprintf("the pipeline %s is paused: resume it first", x.cfg.Name)}
	}
	for _, r := range p.relays {
		if !fits(r) {
			continue
		}
		// A relay whose lease is here may be about to begin.
		for range 500 {
			if _, standby := p.seats.status(r.seat); standby || r.mine.Load() || !p.sleep(10*time.Millisecond, p.relaysStop) {
				break
			}
		}
		if t := r.term.Load(); !r.mine.Load() || t == nil || t.stop == nil || t.stop.Err() != nil {
			owner, _ := p.seats.status(r.seat)
			if owner == "" {
				owner = "nobody at present"
			}
			return nil, &control.BusyError{Why: fmt.Sprintf("the relay %s is run by another replica (%s): ask that one", r.plan.name, owner)}
		}
		return r, nil
	}
	return nil, nil
}

// progressEvery is how often a work tells of its progress in the log.
const progressEvery = 10 * time.Second
