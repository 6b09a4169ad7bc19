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
func (m *Metrics) Totals() (map[string]Totals, error) {
	out := map[string]Totals{}
	if m == nil {
		return out, nil
	}
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("telemetry: gather: %w", err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			label := map[string]string{}
			for _, l := range metric.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			t := out[label["pipeline"]]
			switch f.GetName() {
			case "leat_events_received_total":
				t.Received = int64(metric.GetCounter().GetValue())
			case "leat_events_in_flight":
				t.InFlight = int64(metric.GetGauge().GetValue())
			case "leat_events_settled_total":
				if t.Settled == nil {
					t.Settled = map[string]int64{}
				}
				t.Settled[label["outcome"]] = int64(metric.GetCounter().GetValue())
			default:
				continue
			}
			out[label["pipeline"]] = t
		}
	}
	return out, nil
}

// Conserved is for tests: an error names each pipeline of which events are missing.
func (m *Metrics) Conserved() error {
	totals, err := m.Totals()
	if err != nil {
		return err
	}
	var wrong []string
	for name, t := range totals {
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
