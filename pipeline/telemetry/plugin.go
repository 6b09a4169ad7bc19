package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Plugin shows the numbers of one source or sink; it is a metric.Registry. A nil one shows nothing.
type Plugin struct {
	all                 *pluginCollector
	pipeline, component string
	numbers             []number
}

// number is one of a plugin's own.
type number struct {
	name, help string
	kind       prometheus.ValueType
	read       func() int64
}

// Plugin gives the numbers of a component of a pipeline: "source", or a relay's name.
func (m *Metrics) Plugin(pipeline, component string) *Plugin {
	if m == nil {
		return nil
	}
	return &Plugin{all: m.plugins, pipeline: pipeline, component: component}
}

// Counter implements metric.Registry.
func (p *Plugin) Counter(name, help string, read func() int64) {
	p.add(number{"leat_" + name, help, prometheus.CounterValue, read})
}

// Gauge implements metric.Registry.
func (p *Plugin) Gauge(name, help string, read func() int64) {
	p.add(number{"leat_" + name, help, prometheus.GaugeValue, read})
}

func (p *Plugin) add(n number) {
	if p == nil {
		return
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.numbers = append(p.numbers, n)
	p.all.live[p] = true
}

// Close ends showing them.
func (p *Plugin) Close() {
	if p == nil {
		return
	}
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	delete(p.all.live, p)
}

// pluginCollector reads the numbers of all plugins at a scrape. It describes none of them: they come and go.
type pluginCollector struct {
	mu   sync.Mutex
	live map[*Plugin]bool
}

// Describe implements prometheus.Collector.
func (c *pluginCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. Numbers of the same name and component add up; of two helps or kinds of one
// name the first counts, as Prometheus refuses a second.
func (c *pluginCollector) Collect(out chan<- prometheus.Metric) {
	type key struct{ name, pipeline, component string }
	sums, of := map[key]int64{}, map[string]number{}
	c.mu.Lock()
	for p := range c.live {
		for _, n := range p.numbers {
			sums[key{n.name, p.pipeline, p.component}] += n.read()
			if _, ok := of[n.name]; !ok {
				of[n.name] = n
			}
		}
	}
	c.mu.Unlock()
	for k, sum := range sums {
		n := of[k.name]
		if m, err := prometheus.NewConstMetric(prometheus.NewDesc(k.name, n.help, inStep, nil), n.kind, float64(sum), k.pipeline, k.component); err == nil {
			out <- m
		}
	}
}
