package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Parked is what a store has parked of one pipeline.
type Parked struct {
	Events int64
	Oldest time.Time // zero where there is none
}

// StoreFacts asks a store for its head and for what it has parked, by pipeline. It is called at each scrape.
type StoreFacts func(ctx context.Context) (head int64, parked map[string]Parked, err error)

// scrapeTimeout bounds what a store may take at a scrape; its metrics are left out where it takes longer.
const scrapeTimeout = 2 * time.Second

var (
	headDesc   = prometheus.NewDesc("leat_store_head_position", "Last position of the store's log.", []string{"component"}, nil)
	parkedDesc = prometheus.NewDesc("leat_poison_events", "Events parked in the store.", []string{"component", "pipeline"}, nil)
	oldestDesc = prometheus.NewDesc("leat_poison_oldest_timestamp_seconds", "When the oldest parked event failed first; absent where none is parked.", []string{"component", "pipeline"}, nil)
	storeUp    = prometheus.NewDesc("leat_store_up", "1 where the store answers.", []string{"component"}, nil)
)

// WatchStore reports a store's facts at each scrape until remove is called.
func (m *Metrics) WatchStore(name string, facts StoreFacts) (remove func()) {
	if m == nil {
		return func() {}
	}
	m.stores.mu.Lock()
	defer m.stores.mu.Unlock()
	m.stores.watched[name] = facts
	return func() {
		m.stores.mu.Lock()
		defer m.stores.mu.Unlock()
		delete(m.stores.watched, name)
	}
}

type storeCollector struct {
	mu      sync.Mutex
	watched map[string]StoreFacts
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{headDesc, parkedDesc, oldestDesc, storeUp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	watched := make(map[string]StoreFacts, len(c.watched))
	for name, facts := range c.watched {
		watched[name] = facts
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for name, facts := range watched {
		head, parked, err := facts(ctx)
		if err != nil {
			gauge(storeUp, 0, name)
			continue
		}
		gauge(storeUp, 1, name)
		gauge(headDesc, float64(head), name)
		for pipeline, p := range parked {
			gauge(parkedDesc, float64(p.Events), name, pipeline)
			if !p.Oldest.IsZero() {
				gauge(oldestDesc, float64(p.Oldest.UnixMilli())/1000, name, pipeline)
			}
		}
	}
}
