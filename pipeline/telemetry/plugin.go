package telemetry

import (
	"sync"

	"github.com/leatdev/leat/pipeline/telemetry/prom"
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
	counter    bool
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
	p.add(number{"leat_" + name, help, true, read})
}

// Gauge implements metric.Registry.
func (p *Plugin) Gauge(name, help string, read func() int64) {
	p.add(number{"leat_" + name, help, false, read})
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

// pluginCollector reads the numbers of all plugins at a scrape. They come and go.
type pluginCollector struct {
	mu   sync.Mutex
	live map[*Plugin]bool
}

// collect shows them. Numbers of the same name and component add up; of two helps or kinds of one name the first counts.
func (c *pluginCollector) collect(page *prom.Page) {
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
		show := page.Gauge
		if n.counter {
			show = page.Counter
		}
		show(k.name, n.help, float64(sum), "pipeline", k.pipeline, "component", k.component)
	}
}
