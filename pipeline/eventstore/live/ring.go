package live

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// ringBytes bounds what a ring keeps, save for its last commit.
const ringBytes = 4 << 20

// Ring keeps copies of this process's last commits for those who follow the log live. They lie in it without a gap: a
// commit behind one of another process starts it anew. Nothing is kept while nobody follows. It is safe for concurrent use.
type Ring struct {
	followers atomic.Int64

	mu      sync.RWMutex
	commits []*commit
	bytes   int
}

// commit is the events of one transaction. It is never changed.
type commit struct {
	first, last int64
	bytes       int
	events      []event.Recorded
}

// Follow counts one more who follows, until leave is called.
func (r *Ring) Follow() (leave func()) {
	r.followers.Add(1)
	return func() { r.followers.Add(-1) }
}

// Followed reports whether anybody follows.
func (r *Ring) Followed() bool { return r.followers.Load() > 0 }

// Put copies a commit into the ring.
func (r *Ring) Put(d *plan.Draft) {
	if !r.Followed() {
		r.mu.Lock()
		r.commits, r.bytes = nil, 0
		r.mu.Unlock()
		return
	}
	c := copyOf(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.commits); n > 0 && r.commits[n-1].last+1 != c.first {
		r.commits, r.bytes = nil, 0
	}
	r.commits = append(r.commits, c)
	r.bytes += c.bytes
	drop := 0
	for ; r.bytes > ringBytes && drop < len(r.commits)-1; drop++ {
		r.bytes -= r.commits[drop].bytes
		r.commits[drop] = nil
	}
	r.commits = r.commits[drop:]
}

// Fill adds to a page what the ring has behind it.
func (r *Ring) Fill(p *Page) {
	for !p.Full && p.Through < p.Head {
		recent := r.behind(p.Through)
		if recent == nil {
			return
		}
		p.Add(recent)
	}
}

// behind gives the events of the commit that holds position+1, from there on; nil where the ring has it not.
func (r *Ring) behind(position int64) []event.Recorded {
	r.mu.RLock()
	defer r.mu.RUnlock()
	lo, hi := 0, len(r.commits)
	for lo < hi {
		if m := (lo + hi) / 2; r.commits[m].last <= position {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(r.commits) || r.commits[lo].first > position+1 {
		return nil
	}
	return r.commits[lo].events[position+1-r.commits[lo].first:]
}

// copyOf copies a draft's events into memory of their own, all of it in one piece.
func copyOf(d *plan.Draft) *commit {
	size := 0
	for _, w := range d.Writes {
		e := w.Event
		size += len(e.Raw) + len(e.Data) + len(e.Metadata) + len(e.ID) + len(e.Type) + len(e.Source) + len(e.Subject) +
			len(w.Origin) + len(w.Stream.Name.Type) + len(w.Stream.Name.ID)
	}
	slab := make([]byte, 0, size)
	bytes := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(slab)
		slab = append(slab, b...)
		return slab[at:len(slab):len(slab)]
	}
	text := func(s string) string {
		if s == "" {
			return ""
		}
		at := len(slab)
		slab = append(slab, s...)
		return unsafe.String(&slab[at], len(s)) // the slab is never written again
	}
	c := &commit{bytes: size + len(d.Writes)*int(unsafe.Sizeof(event.Recorded{})), events: make([]event.Recorded, len(d.Writes))}
	c.first, c.last = d.Head()-int64(len(d.Writes))+1, d.Head()
	for i, w := range d.Writes {
		r := w.Recorded(d.Committed())
		at, isView := r.DataAt()
		size := len(r.Data)
		r.Raw, r.Metadata = bytes(r.Raw), bytes(r.Metadata)
		if isView {
			r.Data = r.Raw[at : at+size : at+size]
		} else {
			r.Data = bytes(r.Data)
		}
		r.ID, r.Type, r.Source, r.Subject, r.Origin = text(r.ID), text(r.Type), text(r.Source), text(r.Subject), text(r.Origin)
		r.Stream = event.Stream{Type: text(r.Stream.Type), ID: text(r.Stream.ID)}
		c.events[i] = r
	}
	return c
}
