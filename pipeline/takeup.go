package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/control"
)

// resumeWorks takes up, as a pipeline begins to run, what a stop or a kill has interrupted.
func (d *Daemon) resumeWorks(x *post) {
	p := x.pipe
	for !x.turn.TryLock() { // whoever has it may be waiting for the pipeline's end, and so for this
		if !p.sleep(10*time.Millisecond, p.soft) {
			return
		}
	}
	defer x.turn.Unlock()
	d.takeUp(p.hard, x)
}

// watchWorks takes up what another replica has left behind: it died, stood still for too long, or gave its relays away.
func (d *Daemon) watchWorks(x *post) {
	if !x.turn.TryLock() {
		return // it is being changed just now
	}
	defer x.turn.Unlock()
	if d.pausedNow(x) == control.PausedAll {
		return
	}
	select {
	case <-x.pipe.started:
	default:
		return
	}
	if x.pipe.plan.log && x.pipe.relaysStop.Err() == nil {
		d.takeUp(x.pipe.relaysStop, x)
	}
}

// takeUp begins what the store has of the pipeline's rebuilds and replays, as far as it is this process's to do and not
// under way. A rebuild belongs to who runs the table's relay. So does a replay, unless another has its lease. The post's
// turn is held.
func (d *Daemon) takeUp(ctx context.Context, x *post) {
	all, err := x.pipe.store.Cursors(ctx, x.cfg.Name)
	if err != nil {
		return
	}
	for key, value := range all {
		if value == none || value == "" {
			continue
		}
		var err error
		switch {
		case strings.HasPrefix(key, rebuildKey):
			var a control.Rebuild
			if err = json.Unmarshal([]byte(value), &a); err == nil && slices.Contains(x.pipe.plan.written(), a.Table) {
				err = d.takeUpRemake(ctx, x, a)
			} else if err == nil && d.isMine(x, func(r *relay) bool { return r.plan.kind == kindProject && r.plan.table == a.Table }) &&
				!d.underWay(func(w *control.Work) bool {
					return w.Kind == control.RebuildWork && w.Pipeline == x.cfg.Name && w.Target == a.Table
				}) {
				_, err = d.rebuild(ctx, x, a)
			}
		case strings.HasPrefix(key, replayKey):
			err = d.takeUpReplay(ctx, x, key, value)
		default:
			continue
		}
		if err != nil && ctx.Err() == nil {
			x.pipe.limited("take up "+key).Warn("work that was interrupted cannot be taken up", "pipeline", x.cfg.Name, "work", strings.TrimPrefix(key, "$leat/"), "error", err)
		}
	}
}

// takeUpRemake takes up the rebuild of a table that appends write: it belongs to who gets its lease first.
func (d *Daemon) takeUpRemake(ctx context.Context, x *post, a control.Rebuild) error {
	_, err := d.remake(ctx, x, a, true)
	var busy *control.BusyError
	if errors.As(err, &busy) {
		return nil // somebody is at it
	}
	return err
}

func (d *Daemon) takeUpReplay(ctx context.Context, x *post, key, value string) error {
	b, err := x.pipe.keptReplay(key, value)
	if err != nil {
		return err
	}
	if !d.isMine(x, func(r *relay) bool {
		return r.plan.id == b.state.Relay || strings.HasPrefix(r.plan.id, b.state.Relay+"#")
	}) ||
		d.underWay(func(w *control.Work) bool { return w.ID == b.now.ID }) {
		return nil
	}
	if s := x.pipe.seats.replicas; s != nil {
		lease := b.shadow.plan.id
		roster, err := s.Roster(ctx, x.cfg.Name, []string{lease})
		if err != nil {
			return err
		}
		for _, l := range roster.Leases {
			if l.Name == lease {
				return nil
			}
		}
	}
	_, err = d.beginReplay(b)
	return err
}

// isMine reports whether this process has the seat of the first relay that fits. Where the store is its own it has them
// all.
func (d *Daemon) isMine(x *post, fits func(r *relay) bool) bool {
	p := x.pipe
	for _, r := range p.relays {
		if !fits(r) {
			continue
		}
		if p.seats.replicas == nil {
			return true
		}
		_, standby := p.seats.status(r.seat)
		return !standby
	}
	return true // there is none: whoever begins it says so
}

func (d *Daemon) underWay(is func(w *control.Work) bool) bool {
	for _, w := range d.Works() {
		if !w.Over() && is(&w) {
			return true
		}
	}
	return false
}
