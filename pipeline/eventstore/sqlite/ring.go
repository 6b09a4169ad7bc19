package sqlite

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// ringBytes bounds what the ring keeps, save for its last block.
const ringBytes = 4 << 20

// ring keeps copies of the last commits for those who follow the log live. Nothing is kept while nobody does.
type ring struct {
	followers atomic.Int64

	mu     sync.RWMutex
	blocks []*block
	bytes  int
}

// block is one commit. It is never changed.
type block struct {
	first, last int64
	bytes       int
	events      []event.Recorded
}

// put copies a commit into the ring.
func (r *ring) put(d *plan.Draft) {
	if r.followers.Load() == 0 {
		r.clear()
		return
	}
	b := copyOf(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.blocks); n > 0 && r.blocks[n-1].last+1 != b.first {
		r.blocks, r.bytes = nil, 0
	}
	r.blocks = append(r.blocks, b)
	r.bytes += b.bytes
	drop := 0
	for ; r.bytes > ringBytes && drop < len(r.blocks)-1; drop++ {
		r.bytes -= r.blocks[drop].bytes
		r.blocks[drop] = nil
	}
	r.blocks = r.blocks[drop:]
}

func (r *ring) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks, r.bytes = nil, 0
}

// behind gives the events of the block that holds position+1, from there on; nil where the ring has it no more.
func (r *ring) behind(position int64) []event.Recorded {
	r.mu.RLock()
	defer r.mu.RUnlock()
	lo, hi := 0, len(r.blocks)
	for lo < hi {
		if m := (lo + hi) / 2; r.blocks[m].last <= position {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(r.blocks) || r.blocks[lo].first > position+1 {
		return nil
	}
	return r.blocks[lo].events[position+1-r.blocks[lo].first:]
}

// copyOf copies a draft's events into memory of their own, all of it in one piece.
func copyOf(d *plan.Draft) *block {
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
	b := &block{bytes: size + len(d.Writes)*int(unsafe.Sizeof(event.Recorded{})), events: make([]event.Recorded, len(d.Writes))}
	b.first, b.last = d.Head()-int64(len(d.Writes))+1, d.Head()
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
		b.events[i] = r
	}
	return b
}
