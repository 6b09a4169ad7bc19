package prom

import (
	"math"
	"slices"
	"sync"
)

// Histogram counts observations by the bucket into which they fall.
type Histogram struct {
	bounds []float64
	mu     sync.Mutex
	counts []uint64 // by bound, and one for what is above all of them
	sum    float64
}

// Observe notes one.
func (h *Histogram) Observe(n float64) {
	i, _ := slices.BinarySearch(h.bounds, n) // a bound is the last of its bucket
	h.mu.Lock()
	h.counts[i]++
	h.sum += n
	h.mu.Unlock()
}

// Histograms are histograms of one name, told apart by the values of their labels.
type Histograms struct{ vec[Histogram] }

// Histogram registers histograms with buckets up to each of the bounds, which ascend, and one above.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) *Histograms {
	v := &Histograms{vec[Histogram]{labels: labels, of: map[string]*child[Histogram]{}, init: func(h *Histogram) {
		h.bounds, h.counts = bounds, make([]uint64, len(bounds)+1)
	}}}
	r.Collect(func(p *Page) {
		v.each(func(values []string, h *Histogram) { p.add(name, help, "histogram", labels, values, h.samples()) })
	})
	return v
}

// samples gives the lines of the text format: buckets count what is below them too.
func (h *Histogram) samples() []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	out, n := make([]sample, 0, len(h.counts)+2), uint64(0)
	for i, c := range h.counts {
		n += c
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		out = append(out, sample{suffix: "_bucket", label: "le", bound: bound, value: float64(n)})
	}
	return append(out, sample{suffix: "_sum", value: h.sum}, sample{suffix: "_count", value: float64(n)})
}
