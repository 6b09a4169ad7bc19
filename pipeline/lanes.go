package pipeline

import (
	"context"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/sources"
)

// lanes keep events of one lane (the same order_by, the same group of a FIFO queue) one behind another, across batches: one
// that waits for another attempt blocks its own lane only.
type lanes struct {
	mu sync.Mutex
	// waiting holds, for each busy lane, what came while it was.
	waiting map[string][]*pending
	// closed are lanes of which an event went back to its source: those behind it go too, or they would overtake it.
	closed map[string]bool
}

// laneRun is what a lane has to do, in its order.
type laneRun struct {
	lane string
	ds   []*pending
}

// lanesAtATime is how many lanes may be in steps that wait for others, unless limits.parallel says otherwise.
const lanesAtATime = 100

// openLanes finds out what is kept in order. What order_by says goes before what the source says; where there is no log, an
// ordered source has one lane, as its place is behind all that the sinks have taken.
func (p *pipe) openLanes(t sources.Traits) {
	by := p.plan.orderBy != nil
	p.sourceLanes = t.Lanes && !by
	p.lanes = p.sourceLanes || (by && (p.plan.log || !t.Ordered))
	p.ordered = t.Ordered || by || p.sourceLanes
	if !p.lanes {
		return
	}
	if p.plan.log {
		p.frontier = newFrontier(p.places.note)
	} else {
		for _, r := range p.relays {
			r.calls = newSharedCalls(r)
		}
	}
	if p.plan.waits {
		n := p.plan.parallel
		if n == 0 {
			n = lanesAtATime
		}
		p.laneSlots = make(slots, n)
	}
}

// inLane reports whether the events of a batch are ordered by lanes; else, where they are ordered, as they come.
func (p *pipe) inLane(b *event.Batch) bool { return p.lanes && (p.plan.log || b.Cursor == nil) }

// enter gives each event its place in its lane. It gives what each lane that was idle has to do now, and what must go back.
func (l *lanes) enter(ds []*pending) (runs []*laneRun, back []*pending) {
	mine := map[string]*laneRun{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting, l.closed = map[string][]*pending{}, map[string]bool{}
	}
	for _, d := range ds {
		if l.closed[d.lane] {
			back = append(back, d)
			continue
		}
		r := mine[d.lane]
		if r == nil {
			if queue, busy := l.waiting[d.lane]; busy {
				l.waiting[d.lane] = append(queue, d)
				continue
			}
			l.waiting[d.lane] = nil
			r = &laneRun{lane: d.lane}
			mine[d.lane] = r
			runs = append(runs, r)
		}
		r.ds = append(r.ds, d)
	}
	return runs, back
}

// reopen forgets which lanes are closed: another tenure begins at the place that was committed.
func (l *lanes) reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.closed)
}

// commitLanes commits a batch: lanes with one event share one commit, each other lane has its own, and what belongs
// to a busy lane waits there. The next batch may enter once every event of this one has its place in a lane.
func (p *pipe) commitLanes(ds []*pending, pass *passage) {
	runs, back := p.laneState.enter(ds)
	pass.pass()
	p.releaseAll(back)

	var alone []*pending
	for _, r := range runs {
		if len(r.ds) == 1 && r.ds[0].failed == nil {
			alone = append(alone, r.ds[0])
		} else {
			p.background.run(func() { p.runLane(r.lane, r.ds, false) })
		}
	}
	if len(alone) == 0 {
		return
	}
	if _, err := p.commit(alone, false); err != nil {
		p.releaseAll(alone)
	}
	for _, d := range alone {
		if d.unit.Result.Status == eventstore.Refused {
			p.background.run(func() {
				again := p.refused(d)
				p.runLane(d.lane, []*pending{d}, !again)
			})
		} else if stopped := d.released(); stopped || !p.laneIdle(d.lane) {
			p.background.run(func() { p.runLane(d.lane, nil, stopped) })
		}
	}
}

// laneIdle frees a lane for which nothing waits.
func (p *pipe) laneIdle(name string) bool {
	l := &p.laneState
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[name]) > 0 {
		return false
	}
	delete(l.waiting, name)
	return true
}

// runLane does what a lane has to do in its order and then whatever has come for the lane, until nothing waits. Once one of
// a lane goes back to the source, those behind it go too: they would overtake it.
func (p *pipe) runLane(name string, ds []*pending, stopped bool) {
	l := &p.laneState
	for {
		switch {
		case stopped:
			p.releaseAll(ds)
		case len(ds) > 0 && ds[0].raw:
			stopped = !p.workRun(ds)
		default:
			p.commitOrdered(ds)
		}
		stopped = stopped || (len(ds) > 0 && ds[len(ds)-1].released())
		l.mu.Lock()
		ds = l.waiting[name]
		if len(ds) == 0 {
			delete(l.waiting, name)
			if stopped {
				l.closed[name] = true
			}
			l.mu.Unlock()
			return
		}
		l.waiting[name] = nil
		l.mu.Unlock()
	}
}

// lanesOf names the lane of each event of a batch.
func (p *pipe) lanesOf(b *event.Batch) []*pending {
	all := make([]pending, len(b.Events))
	ds := make([]*pending, len(b.Events))
	var x *steps.Exec
	if !p.sourceLanes {
		x = p.plan.intake.Get()
		defer p.plan.intake.Put(x)
	}
	for i := range all {
		ds[i] = &all[i]
		*ds[i] = pending{b: b, i: i, raw: true}
		switch {
		case x != nil:
			was := b.Events[i]
			if p.decode(b, i, x) == nil { // else its steps say what is wrong
				x.Look()
				ds[i].lane, _ = p.laneBy(x)
			}
			b.Events[i] = was
		case b.Lane != nil:
			ds[i].lane = b.Lane(i)
		}
	}
	return ds
}

// slots bound what goes on at a time; nil: nothing does.
type slots chan struct{}

// take waits for a slot; false where ctx is done first.
func (s slots) take(ctx context.Context) bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s slots) give() {
	if s != nil {
		<-s
	}
}
