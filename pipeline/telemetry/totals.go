package telemetry

import (
	"fmt"
	"sort"
	"strings"
)

// Totals are a pipeline's counts of source events.
type Totals struct {
	Received int64
	// Settled is by outcome name, the released ones too.
	Settled  map[string]int64
	InFlight int64
}

// Missing is what was received and is neither settled nor in flight. It is 0 between batches; anything else is a fault.
func (t Totals) Missing() int64 {
	n := t.Received - t.InFlight
	for _, v := range t.Settled {
		n -= v
	}
	return n
}

// String shows the sum, for test failures.
func (t Totals) String() string {
	names := make([]string, 0, len(t.Settled))
	for name, n := range t.Settled {
		if n != 0 {
			names = append(names, fmt.Sprintf("%d %s", n, name))
		}
	}
	sort.Strings(names)
	return fmt.Sprintf("%d received = %s + %d in flight", t.Received, strings.Join(append(names, "0"), " + "), t.InFlight)
}

// Totals reads the metrics as a scrape would and gives the counts of each pipeline.
func (m *Metrics) Totals() map[string]Totals {
	out := map[string]Totals{}
	if m == nil {
		return out
	}
	of := func(pipeline string, change func(*Totals)) {
		t := out[pipeline]
		change(&t)
		out[pipeline] = t
	}
	m.received.Each(func(l []string, n float64) { of(l[0], func(t *Totals) { t.Received = int64(n) }) })
	m.inFlight.Each(func(l []string, n float64) { of(l[0], func(t *Totals) { t.InFlight = int64(n) }) })
	m.settled.Each(func(l []string, n float64) {
		of(l[0], func(t *Totals) {
			if t.Settled == nil {
				t.Settled = map[string]int64{}
			}
			t.Settled[l[1]] = int64(n)
		})
	})
	return out
}

// Conserved is for tests: an error names each pipeline of which events are missing.
func (m *Metrics) Conserved() error {
	var wrong []string
	for name, t := range m.Totals() {
		if n := t.Missing(); n != 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d missing: %s", name, n, t))
		}
	}
	if len(wrong) > 0 {
		sort.Strings(wrong)
		return fmt.Errorf("telemetry: not conserved: %s", strings.Join(wrong, "; "))
	}
	return nil
}
