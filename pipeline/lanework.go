package pipeline

import (
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
)

// Where steps wait for others (a handler, a lookup), or the sinks of a pipeline without a log do, an event takes its place in
// its lane before its first step: a lane that is slow or tries again holds up nobody but those behind it in the lane.

// worksInLanes reports whether the events of a batch enter their lanes before the steps.
func (p *pipe) worksInLanes(b *event.Batch) bool {
	return p.inLane(b) && (p.plan.waits || !p.plan.log)
}

// enterLanes gives each event of a batch its place in its lane, in the turn of the batch, and sets the idle lanes to work.
func (p *pipe) enterLanes(b *event.Batch, pass *passage) {
	ds := p.lanesOf(b)
	p.traces.receive(b)
	if !pass.enter(p.hard) {
		p.giveBack(b)
		return
	}
	p.frontier.enter(b)
	runs, back := p.laneState.enter(ds)
	pass.pass()
	p.releaseAll(back)
	for _, r := range runs {
		p.background.run(func() { p.runLane(r.lane, r.ds, false) })
	}
}

// workRun takes events of one lane through the steps, one after another, and settles them. False means that the pipeline
// stops: what is not settled went back.
func (p *pipe) workRun(ds []*pending) bool {
	for len(ds) > 0 {
		var n int
		var ok bool
		if p.plan.log {
			n, ok = p.workSome(ds)
		} else {
			n, ok = p.passSome(ds)
		}
		if ds = ds[n:]; !ok {
			p.releaseAll(ds)
			return false
		}
	}
	return true
}

// runTime is for how long a lane's steps may go on before what they made is committed: the first of a run does not wait for
// the last, where each takes its time.
const runTime = 20 * time.Millisecond

// workSome takes the first events through the steps, up to one that failed, and commits what they give together. It gives
// their number.
func (p *pipe) workSome(ds []*pending) (n int, ok bool) {
	x := p.plan.intake.Get()
	w := &work{}
	x.Ahead = w.uncommitted
	for began := p.now(); n < len(ds); {
		d := ds[n]
		n++
		r := p.steps(d.b, d.i, x)
		w.see(d)
		p.take(d.b, d.i, &r, x, w, nil)
		if k := len(w.pending); (k > 0 && w.pending[k-1].failed != nil) || p.now().Sub(began) >= runTime {
			break
		}
	}
	p.plan.intake.Put(x)
	p.counts.settle(event.Filtered, w.filtered)
	if len(w.pending) == 0 {
		return n, true
	}
	made := make([]*pending, len(w.pending))
	for i := range w.pending {
		made[i] = &w.pending[i]
	}
	p.commitOrdered(made)
	p.aged(w)
	return n, !made[len(made)-1].released()
}

// passSome takes the first events, which are of one batch, through the steps and to the sinks. It gives the number of those
// that are settled.
func (p *pipe) passSome(ds []*pending) (n int, ok bool) {
	b := ds[0].b
	x := p.plan.intake.Get()
	defer p.plan.intake.Put(x)
	w := &work{}
	settled := 0
	hand := func() bool {
		p.counts.settle(event.Filtered, w.filtered)
		if len(w.evs)+len(w.pending) > 0 && !p.handOver(b, w) {
			return false
		}
		p.aged(w)
		some := ds[settled:n]
		w, settled = &work{}, n
		return !slices.ContainsFunc(some, (*pending).released)
	}
	for began := p.now(); n < len(ds) && ds[n].b == b && (n == 0 || p.now().Sub(began) < runTime); n++ {
		d := ds[n]
		x.Through = w.evs
		r := p.steps(b, d.i, x)
		if r.err != nil && steps.Repeatable(r.err) { // those before it do not wait for its attempts
			if !hand() {
				return settled, false
			}
			x.Through = nil
		}
		w.see(d)
		p.take(b, d.i, &r, x, w, nil)
		if len(w.again) > 0 && !p.attemptDirect(b, w, x) {
			return settled, false
		}
	}
	ok = hand()
	return settled, ok
}

// see notes the time of an event whose steps have run.
func (w *work) see(d *pending) {
	if at := d.b.Events[d.i].Time; !at.IsZero() {
		w.lastAt = at
	}
}

// aged notes how old the last of some events is when they are settled.
func (p *pipe) aged(w *work) {
	if age, ok := p.since(w.lastAt); ok && len(w.pending)+len(w.evs) > 0 {
		p.metrics.EndToEnd(age)
	}
}
