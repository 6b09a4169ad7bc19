package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/telemetry/prom"
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

// collect shows what the stores say.
func (c *storeCollector) collect(page *prom.Page) {
	c.mu.Lock()
	watched := make(map[string]StoreFacts, len(c.watched))
	for name, facts := range c.watched {
		watched[name] = facts
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for name, facts := range watched {
		up := func(n float64) { page.Gauge("leat_store_up", "1 where the store answers.", n, "component", name) }
		head, parked, err := facts(ctx)
		if err != nil {
			up(0)
			continue
		}
		up(1)
		page.Gauge("leat_store_head_position", "Last position of the store's log.", float64(head), "component", name)
		for pipeline, p := range parked {
			labels := []string{"component", name, "pipeline", pipeline}
			page.Gauge("leat_poison_events", "Events parked in the store.", float64(p.Events), labels...)
			if !p.Oldest.IsZero() {
				page.Gauge("leat_poison_oldest_timestamp_seconds", "When the oldest parked event failed first; absent where none is parked.",
					float64(p.Oldest.UnixMilli())/1000, labels...)
			}
		}
	}
}
