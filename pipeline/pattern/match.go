package pattern

import (
	"math/bits"
	"sync"
)

// Match reports whether the event, the raw JSON of an object in EventBridge's shape, matches. It reads the event up to the place
// where the answer is certain: a match may be certain early, while the absence of one is certain only at the end, as a field may
// come twice (both then count). The error wraps ErrEvent and comes only where the event is not a JSON object, as far as it was
// read. Match allocates nothing once warm and is safe for concurrent use.
func (p *Pattern) Match(event []byte) (bool, error) {
	m := matchers.Get().(*matcher)
	m.begin(p)
	matched, err := m.scan.root(event, p.root)
	if !matched && err == nil {
		matched = m.end()
	}
	m.release()
	return matched, err
}

var matchers = sync.Pool{New: func() any { return new(matcher) }}

// matcher is the scratch memory of one match of one pattern. It is the sink of its own scan.
type matcher struct {
	p    *Pattern
	scan scan
	free []uint64 // conds that a leaf outside every frame satisfies, which constrains nothing
	seen []uint64 // fields that have a leaf
	framed
}

func (m *matcher) begin(p *Pattern) {
	m.p = p
	m.scan.reset(m)
	m.free = zeroed(m.free, p.words)
	m.seen = zeroed(m.seen, p.words) // there are no more fields than conds
	m.framed.reset(len(p.conds), len(p.fields))
}

func (m *matcher) release() {
	m.p, m.scan.b = nil, nil
	m.scan.value.text = nil
	matchers.Put(m)
}

func zeroed(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// leaf implements sink.
func (m *matcher) leaf(field int32, s *scan) bool {
	f := &m.p.fields[field]
	m.seen[field/64] |= 1 << (field % 64)
	inFrame := len(s.stack) > 0
	if inFrame && f.absent {
		m.addLeaf(field, s.frame())
	} else if f.absent {
		m.addLeaf(field, -1)
	}
	news := false
	for _, id := range f.conds {
		if m.free[id/64]>>(id%64)&1 != 0 && (!inFrame || len(m.p.absents) == 0) {
			continue // met already; where fields must be absent, a leaf in a frame may still do what one outside does not
		}
		c := &m.p.conds[id]
		for i := range c.atoms {
			if !c.atoms[i].accepts(&s.value) {
				continue
			}
			if inFrame {
				m.addHit(id, s.frame())
			} else {
				m.free[id/64] |= 1 << (id % 64)
				news = true
			}
			break
		}
	}
	return news && m.satisfied()
}

// satisfied reports whether the free conds are all that some branch needs.
func (m *matcher) satisfied() bool {
branches:
	for i := range m.p.branches {
		for w, need := range m.p.branches[i].need {
			if need&^m.free[w] != 0 {
				continue branches
			}
		}
		return true
	}
	return false
}

// end decides when the whole event was read.
func (m *matcher) end() bool {
	absent := false
	for _, id := range m.p.absents {
		if f := m.p.conds[id].field; m.seen[f/64]>>(f%64)&1 == 0 {
			m.free[id/64] |= 1 << (id % 64)
			absent = true
		}
	}
	if absent && m.satisfied() {
		return true
	}
	if !m.any() {
		return false
	}
	for i := range m.p.branches {
		if m.consistent(&m.p.branches[i]) {
			return true
		}
	}
	return false
}

// consistent looks for a choice of leaves, one for each cond of the branch, that lie in no two frames of one array.
func (m *matcher) consistent(b *branch) bool {
	m.terms = m.terms[:0]
	for w, need := range b.need {
		for ; need != 0; need &= need - 1 {
			id := int32(w*64 + bits.TrailingZeros64(need))
			free := m.free[id/64]>>(id%64)&1 != 0
			c := &m.p.conds[id]
			if !free && !c.absent && len(m.hits(id)) == 0 {
				return false
			}
			if free && !b.absents {
				continue // constrains nothing
			}
			m.terms = append(m.terms, term{field: c.field, hits: m.hits(id), free: free, absent: c.absent})
		}
	}
	for i := range m.terms {
		if m.terms[i].absent {
			m.terms[i].leaves = m.leaves(m.terms[i].field)
		}
	}
	return m.search(m.scan.frames)
}
