package telemetry

import (
	"maps"
	"slices"
	"sync"

	"github.com/leatdev/leat/pipeline/metric"
	"github.com/leatdev/leat/pipeline/telemetry/prom"
)

// Store shows the numbers that a store counts itself, with its name as the label store. It is a metric.Series.
type Store struct {
	all    *seriesCollector
	name   string
	series []series
}

var _ metric.Series = (*Store)(nil)

type series struct {
	name, help string
	read       func(show func(value float64, labels ...string))
}

// Store gives a store what it shows its numbers by; it takes the place of an earlier one of that name.
func (m *Metrics) Store(name string) metric.Series {
	if m == nil {
		return nil
	}
	s := &Store{all: m.series, name: name}
	m.series.mu.Lock()
	defer m.series.mu.Unlock()
	m.series.stores[name] = s
	return s
}

// Counters implements metric.Series.
func (s *Store) Counters(name, help string, read func(show func(value float64, labels ...string))) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.series = append(s.series, series{"leat_" + name, help, read})
}

// seriesCollector reads the numbers of all stores at a scrape.
type seriesCollector struct {
	mu     sync.Mutex
	stores map[string]*Store
}

func (c *seriesCollector) collect(page *prom.Page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.stores)) {
		for _, x := range c.stores[name].series {
			x.read(func(value float64, labels ...string) {
				page.Counter(x.name, x.help, value, append([]string{"store", name}, labels...)...)
			})
		}
	}
}
