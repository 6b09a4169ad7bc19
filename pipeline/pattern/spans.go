package pattern

import "slices"

// spans holds intervals and finds those around a point. They lie sorted by their lower ends in short blocks, each with the highest
// upper end in it, so that a search passes over a block in one step.
type spans struct{ blocks []*block }

type span struct {
	low, high key
	ref       int32
}

type block struct {
	spans []span // sorted by low
	high  key
}

const blockSize = 32

func (s *spans) add(n span) {
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, &block{})
	}
	at := len(s.blocks) - 1 // the last block that begins at or below n
	for at > 0 && n.low.less(s.blocks[at].spans[0].low) {
		at--
	}
	b := s.blocks[at]
	i := len(b.spans)
	for i > 0 && n.low.less(b.spans[i-1].low) {
		i--
	}
	b.spans = slices.Insert(b.spans, i, n)
	if b.high.less(n.high) {
		b.high = n.high
	}
	if len(b.spans) > blockSize {
		half := len(b.spans) / 2
		after := &block{spans: slices.Clone(b.spans[half:])}
		b.spans = slices.Clone(b.spans[:half])
		b.measure()
		after.measure()
		s.blocks = slices.Insert(s.blocks, at+1, after)
	}
}

func (b *block) measure() {
	b.high = key{}
	for _, s := range b.spans {
		if b.high.less(s.high) {
			b.high = s.high
		}
	}
}

func (s *spans) remove(old span) {
	for at, b := range s.blocks {
		i := slices.Index(b.spans, old)
		if i < 0 {
			continue
		}
		b.spans = slices.Delete(b.spans, i, i+1)
		b.measure()
		if len(b.spans) == 0 {
			s.blocks = slices.Delete(s.blocks, at, at+1)
		}
		return
	}
}

func (s *spans) find(k key, g *gatherer) {
	for _, b := range s.blocks {
		if k.less(b.spans[0].low) {
			return
		}
		if b.high.less(k) {
			continue
		}
		for i := range b.spans {
			n := &b.spans[i]
			if k.less(n.low) {
				break
			}
			if !n.high.less(k) {
				g.ref(n.ref)
			}
		}
	}
}
