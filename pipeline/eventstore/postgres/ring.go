package postgres

import (
	"sync"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// ringBytes bounds what the ring keeps, save for its last commit.
const ringBytes = 4 << 20

// ring keeps copies of this process's last commits for those who follow the log live. They lie in it without a gap: a
// commit behind one of another process starts it anew. Nothing is kept while nobody follows.
type ring struct {
	followers atomic.Int64

	mu      sync.RWMutex
	commits []commit
	bytes   int
}

// commit is the events of one transaction. It is never changed.
type commit struct {
	first, last int64
	bytes       int
	events      []event.Recorded
}

// put copies a commit into the ring.
func (r *ring) put(d *plan.Draft) {
	if r.followers.Load() == 0 {
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
	for r.bytes > ringBytes && len(r.commits) > 1 {
		r.bytes -= r.commits[0].bytes
		r.commits[0] = commit{}
		r.commits = r.commits[1:]
	}
}

// behind gives the events of the commit that holds position+1, from there on; nil where the ring has it not.
func (r *ring) behind(position int64) []event.Recorded {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := len(r.commits) - 1; i >= 0; i-- {
		if c := &r.commits[i]; c.first <= position+1 {
			if position+1 > c.last {
				return nil
			}
			return c.events[position+1-c.first:]
		}
	}
	return nil
}

func copyOf(d *plan.Draft) commit {
	c := commit{first: d.Head() - int64(len(d.Writes)) + 1, last: d.Head(), events: make([]event.Recorded, len(d.Writes))}
	for i, w := range d.Writes {
		r := w.Recorded(d.Committed())
		r.Event = plan.Normal(r.Event, d.Committed())
		r.Event = r.Event.Clone()
		c.bytes += len(r.Raw) + len(r.Data) + len(r.Metadata) + 512
		c.events[i] = r
	}
	return c
}
