package pipeline

import (
	"sync"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// lanes keep events with the same order_by one behind another, across batches: one that waits for another attempt
// blocks its own lane only.
type lanes struct {
	mu sync.Mutex
	// waiting holds, for each busy lane, what came while it was.
	waiting map[string][]*pending
	// closed are lanes of which an event went back to its source: those behind it go too, or they would overtake it.
	closed map[string]bool
}

// commitLanes commits a batch: lanes with one event share one commit, each other lane has its own, and what belongs
// to a busy lane waits there. The next batch may enter once every event of this one has its place in a lane.
func (p *pipe) commitLanes(ds []*pending, pass *passage) {
	var alone, back []*pending
	runs := map[string][]*pending{}
	var order []string

	l := &p.laneState
	l.mu.Lock()
	if l.waiting == nil {
		l.waiting, l.closed = map[string][]*pending{}, map[string]bool{}
	}
	for _, d := range ds {
		if l.closed[d.lane] {
			back = append(back, d)
			continue
		}
		if _, mine := runs[d.lane]; !mine {
			if queue, busy := l.waiting[d.lane]; busy {
				l.waiting[d.lane] = append(queue, d)
				continue
			}
			l.waiting[d.lane] = nil
			order = append(order, d.lane)
		}
		runs[d.lane] = append(runs[d.lane], d)
	}
	l.mu.Unlock()
	pass.pass()
	p.releaseAll(back)

	for _, name := range order {
		if run := runs[name]; len(run) == 1 && run[0].failed == nil {
			alone = append(alone, run[0])
		} else {
			p.background.run(func() { p.runLane(name, run, false) })
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

// runLane commits run in its order and then whatever has come for the lane, until nothing waits. Once one of a lane goes
// back to the source, those behind it go too: they would overtake it.
func (p *pipe) runLane(name string, run []*pending, stopped bool) {
	l := &p.laneState
	for {
		if stopped {
			p.releaseAll(run)
		} else {
			p.commitOrdered(run)
		}
		stopped = stopped || (len(run) > 0 && run[len(run)-1].released())
		l.mu.Lock()
		run = l.waiting[name]
		if len(run) == 0 {
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
