package pipeline

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// Pause stops a pipeline, its intake or a relay after it is drained, or lets it go on. The store keeps that.
func (d *Daemon) Pause(ctx context.Context, a control.Pause) error {
	x, err := d.postOf(a.Pipeline)
	if err != nil {
		return err
	}
	if a.Relay != "" {
		return x.pipe.pauseRelay(ctx, a)
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	defer func() { d.o.Metrics.Paused(a.Pipeline, d.pausedNow(x)) }()
	if err := KeepPause(ctx, x.pipe.store, a); err != nil {
		return err
	}
	return d.follow(ctx, x)
}

// KeepPause writes into a store that a pipeline or its intake is paused, or no longer. A daemon that starts, or another
// that runs, heeds it.
func KeepPause(ctx context.Context, s eventstore.Store, a control.Pause) error {
	was, err := pausedIn(ctx, s, a.Pipeline)
	if err != nil {
		return err
	}
	now := control.PausedAll
	switch {
	case a.Resume && a.Intake && was == control.PausedAll:
		return &control.RefusedError{Why: fmt.Sprintf("the whole pipeline %s is paused, not its intake alone", a.Pipeline)}
	case a.Resume:
		now = ""
	case a.Intake && was == control.PausedAll:
		return &control.RefusedError{Why: fmt.Sprintf("the whole pipeline %s is paused already", a.Pipeline)}
	case a.Intake:
		now = control.PausedIntake
	}
	if now == was {
		return nil
	}
	u := &eventstore.Unit{Pipeline: a.Pipeline, Cursor: &event.Cursor{Key: control.PauseKey, Value: now}}
	if now == "" {
		u.Cursor.Value = "no"
	}
	if err := s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return u.Result.Err
}

// follow brings a post to where the store says that it should be. Its turn is held.
func (d *Daemon) follow(ctx context.Context, x *post) error {
	want, err := pausedIn(ctx, x.pipe.store, x.cfg.Name)
	if err != nil {
		return err
	}
	d.mu.Lock()
	is := x.paused
	d.mu.Unlock()
	if want == is {
		return nil
	}
	if want == control.PausedAll {
		d.mu.Lock()
		x.paused = want
		d.mu.Unlock()
		// It stays open: what is sent to its source meanwhile must fail and not be taken as nobody's.
		d.halt(x)
		d.o.Log.Info("the pipeline is paused", "pipeline", x.cfg.Name)
		x.pipe.setState("paused") // and said so before anybody can ask
		return nil
	}
	if err := d.change(x, func(*post) {}, nil); err != nil {
		return err
	}
	d.o.Log.Info("the pipeline goes on", "pipeline", x.cfg.Name, "intake", want != control.PausedIntake)
	return nil
}

func (d *Daemon) pausedNow(x *post) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return x.paused
}

// syncPause looks at what another process has written.
func (d *Daemon) syncPause(ctx context.Context, x *post) error {
	if !x.turn.TryLock() {
		return nil // it is being changed just now
	}
	defer x.turn.Unlock()
	if err := d.follow(ctx, x); err != nil {
		return err
	}
	all, err := x.pipe.store.ListRelays(ctx, x.cfg.Name)
	if err != nil {
		return err
	}
	for i := range all {
		for _, r := range x.pipe.relays {
			if r.plan.id == all[i].ID && r.paused.Load() != all[i].Paused {
				r.pause(all[i].Paused)
			}
		}
	}
	return nil
}

func (p *pipe) pauseRelay(ctx context.Context, a control.Pause) error {
	r, err := p.relayOf(a.Relay)
	if err != nil {
		return err
	}
	if !p.plan.log {
		return &control.RefusedError{Why: fmt.Sprintf("%s appends nothing: its targets take the events before the source is acknowledged, so one of them cannot be paused alone. Pause the pipeline, or give it an append or an outbox", a.Pipeline)}
	}
	if err := p.store.PauseRelay(ctx, r.plan.id, !a.Resume); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	r.pause(!a.Resume)
	return nil
}

// relayOf finds a relay by its name, or by its whole id.
func (p *pipe) relayOf(name string) (*relay, error) {
	unknown := &control.UnknownError{Kind: "relay", Name: name}
	for _, r := range p.relays {
		if r.plan.name == name || r.plan.id == name {
			return r, nil
		}
		unknown.Have = append(unknown.Have, r.plan.name)
	}
	return nil, unknown
}

// pausedWork counts the log positions that relays have not reached because they are paused.
func (p *pipe) pausedWork() int64 {
	var n int64
	for _, r := range p.relays {
		if p.plan.log && r.paused.Load() {
			n += r.left()
		}
	}
	return n
}

// pause stops a relay behind the page that it has in hand, or lets it go on.
func (r *relay) pause(paused bool) {
	if r.paused.Swap(paused) == paused {
		return
	}
	r.metrics.Paused(paused)
	if paused {
		r.pipe.log.Info("the relay is paused", "relay", r.plan.name)
	} else {
		r.pipe.log.Info("the relay goes on", "relay", r.plan.name)
	}
	r.poke()
	r.tellMoved()
}

// resting is the source of a pipeline whose intake is paused: it gives nothing, and does not end.
type resting struct{ pipe *pipe }

// Subscribe implements message.Subscriber.
func (s resting) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		<-ctx.Done()
	}()
	return out, nil
}

// Close implements message.Subscriber.
func (s resting) Close() error { return nil }
