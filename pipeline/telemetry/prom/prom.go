// Package prom counts things and writes the counts in Prometheus' text format, version 0.0.4, which every scraper reads.
//
// It has what leat shows and no more: counters, gauges and histograms with labels, numbers that are asked for at a scrape, and the usual
// numbers of the Go runtime and of the process. Prometheus' own client brings Protocol Buffers for a format that nobody asks leat for;
// docs/architecture.md has what that weighs. Everything here is safe for concurrent use.
package prom

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Registry holds what a page shows. NewRegistry makes one.
type Registry struct {
	mu    sync.Mutex
	parts []func(*Page)
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// Collect has f called at each scrape, after what was registered before it. Of two series with the same name and labels the first is shown.
func (r *Registry) Collect(f func(*Page)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, f)
}

// Page asks all parts for what they have now.
func (r *Registry) Page() *Page {
	r.mu.Lock()
	parts := slices.Clone(r.parts)
	r.mu.Unlock()
	p := &Page{families: map[string]*family{}}
	for _, f := range parts {
		f(p)
	}
	return p
}

// Value is one number: a counter where it is only added to, else a gauge.
type Value struct{ bits atomic.Uint64 }

// Set makes it n.
func (v *Value) Set(n float64) { v.bits.Store(math.Float64bits(n)) }

// Add adds n.
func (v *Value) Add(n float64) {
	for {
		old := v.bits.Load()
		if v.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+n)) {
			return
		}
	}
}

// Get gives the number.
func (v *Value) Get() float64 { return math.Float64frombits(v.bits.Load()) }

// Values are counters or gauges of one name, told apart by the values of their labels.
type Values struct{ vec[Value] }

// Counter registers counters.
func (r *Registry) Counter(name, help string, labels ...string) *Values {
	return r.values(name, help, "counter", labels)
}

// Gauge registers gauges.
func (r *Registry) Gauge(name, help string, labels ...string) *Values {
	return r.values(name, help, "gauge", labels)
}

func (r *Registry) values(name, help, kind string, labels []string) *Values {
	v := &Values{vec[Value]{labels: labels, of: map[string]*child[Value]{}}}
	r.Collect(func(p *Page) {
		v.each(func(values []string, n *Value) { p.add(name, help, kind, v.labels, values, []sample{{value: n.Get()}}) })
	})
	return v
}

// Each calls f with all of them, in no order.
func (v *Values) Each(f func(labels []string, n float64)) {
	v.each(func(labels []string, n *Value) { f(labels, n.Get()) })
}

// vec is the children of a family by their label values.
type vec[T any] struct {
	labels []string
	mu     sync.RWMutex
	of     map[string]*child[T]
	init   func(*T) // for a new child; may be nil
}

type child[T any] struct {
	values []string
	v      T
}

// key joins label values; 0xff is in no UTF-8.
func key(values []string) string { return strings.Join(values, "\xff") }

// With gives the one with these label values, which it makes at zero where there is none. There must be as many values as labels.
func (v *vec[T]) With(values ...string) *T {
	if len(values) != len(v.labels) {
		panic("prom: " + strings.Join(v.labels, ",") + ": other label values: " + strings.Join(values, ","))
	}
	k := key(values)
	v.mu.RLock()
	c := v.of[k]
	v.mu.RUnlock()
	if c != nil {
		return &c.v
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c = v.of[k]; c == nil {
		c = &child[T]{values: slices.Clone(values)}
		if v.init != nil {
			v.init(&c.v)
		}
		v.of[k] = c
	}
	return &c.v
}

// Delete takes one away. Who holds it may go on counting, unseen.
func (v *vec[T]) Delete(values ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.of, key(values))
}

// Reset takes all away.
func (v *vec[T]) Reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.of)
}

func (v *vec[T]) each(f func(values []string, n *T)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, c := range v.of {
		f(c.values, &c.v)
	}
}
