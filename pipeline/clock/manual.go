package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Manual is a clock that stands still until it is moved.
type Manual struct {
	mu     sync.Mutex
	now    time.Time
	alarms alarms
	made   uint64
}

// NewManual makes a clock that stands at a time.
func NewManual(at time.Time) *Manual { return &Manual{now: at} }

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Next gives the earliest time that something waits for; false where nothing does. It is never before Now.
func (m *Manual) Next() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.alarms) == 0 {
		return time.Time{}, false
	}
	at := m.alarms[0].at
	if at.Before(m.now) {
		at = m.now
	}
	return at, true
}

// Set moves the clock forward to a time, in steps: whatever waits for a time up to it is woken in the order of the
// times, and of its making where they are equal. It does not wait for what the woken ones do: to let each act at its own
// time, Set to Next, wait until nothing moves any more, and go on. A time in the past moves nothing, but wakes what is due.
func (m *Manual) Set(to time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.alarms) > 0 && !m.alarms[0].at.After(to) {
		a := m.alarms[0]
		if a.at.After(m.now) {
			m.now = a.at
		}
		if a.every > 0 {
			a.at = a.at.Add(a.every)
			heap.Fix(&m.alarms, 0)
		} else {
			heap.Pop(&m.alarms)
		}
		a.fire(m.now)
	}
	if to.After(m.now) {
		m.now = to
	}
}

// NewTimer implements Clock.
func (m *Manual) NewTimer(d time.Duration) *Timer {
	c := make(chan time.Time, 1)
	a := &alarm{clock: m, c: c, index: -1}
	a.set(d)
	return &Timer{C: c, hand: a}
}

// NewTicker implements Clock.
func (m *Manual) NewTicker(d time.Duration) *Ticker {
	if d <= 0 {
		panic("clock: a ticker needs a positive time")
	}
	c := make(chan time.Time, 1)
	a := &alarm{clock: m, c: c, index: -1, every: d}
	a.set(d)
	return &Ticker{C: c, hand: a}
}

// AfterFunc implements Clock.
func (m *Manual) AfterFunc(d time.Duration, f func()) *Timer {
	a := &alarm{clock: m, f: f, index: -1}
	a.set(d)
	return &Timer{hand: a}
}

// alarm is a timer, a ticker or a call to come.
type alarm struct {
	clock *Manual
	at    time.Time
	every time.Duration // of a ticker
	c     chan time.Time
	f     func()
	seq   uint64
	index int // in the heap; -1: not in it
}

// set puts the alarm d from now; one that is due fires at once, as no clock need move for it.
func (a *alarm) set(d time.Duration) {
	m := a.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	a.put(d)
}

func (a *alarm) put(d time.Duration) {
	m := a.clock
	if d <= 0 {
		a.fire(m.now)
		return
	}
	m.made++
	a.at, a.seq = m.now.Add(d), m.made
	heap.Push(&m.alarms, a)
}

func (a *alarm) fire(now time.Time) {
	if a.f != nil {
		go a.f()
		return
	}
	select {
	case a.c <- now:
	default: // a ticker's reader is slow
	}
}

func (a *alarm) stop() bool {
	m := a.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.remove()
}

func (a *alarm) remove() bool {
	if a.c != nil {
		select {
		case <-a.c:
		default:
		}
	}
	if a.index < 0 {
		return false
	}
	heap.Remove(&a.clock.alarms, a.index)
	return true
}

func (a *alarm) reset(d time.Duration) bool {
	m := a.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	was := a.remove()
	a.put(d)
	return was
}

// alarms is a heap by time, then by making.
type alarms []*alarm

func (h alarms) Len() int { return len(h) }

func (h alarms) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}

func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h)
	*h = append(*h, a)
}

// Pop implements heap.Interface.
func (h *alarms) Pop() any {
	old := *h
	a := old[len(old)-1]
	a.index = -1
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}
