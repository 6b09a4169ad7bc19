package dynamodb

import (
	"maps"
	"slices"
	"sync"

	"github.com/leatdev/leat/pipeline/metric"
)

// counts are what a store's calls have come to, by operation. It is safe for concurrent use.
type counts struct {
	mu    sync.Mutex
	ops   map[string]*opCounts
	races int64 // commits that another writer was faster than
}

type opCounts struct {
	calls, throttled, retries int64
	units                     float64
}

func (c *counts) add(op string, fn func(*opCounts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ops == nil {
		c.ops = map[string]*opCounts{}
	}
	o := c.ops[op]
	if o == nil {
		o = &opCounts{}
		c.ops[op] = o
	}
	fn(o)
}

func (c *counts) lost() {
	c.mu.Lock()
	c.races++
	c.mu.Unlock()
}

// reads are the operations that take read units; the others take write units.
var reads = map[string]bool{"GetItem": true, "BatchGetItem": true, "Query": true, "Scan": true}

// show names the counts to who asks for them.
func (c *counts) show(m metric.Series) {
	each := func(show func(float64, ...string), number func(o *opCounts) float64, kinds bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, op := range slices.Sorted(maps.Keys(c.ops)) {
			labels := []string{"operation", op}
			if kinds && reads[op] {
				labels = append(labels, "kind", "read")
			} else if kinds {
				labels = append(labels, "kind", "write")
			}
			show(number(c.ops[op]), labels...)
		}
	}
	for _, n := range []struct {
		name, help string
		number     func(o *opCounts) float64
		kinds      bool
	}{
		{"dynamodb_capacity_units_total", "Capacity units that answered calls have consumed, read or write.", func(o *opCounts) float64 { return o.units }, true},
		{"dynamodb_calls_total", "Calls to DynamoDB, repeated ones too.", func(o *opCounts) float64 { return float64(o.calls) }, false},
		{"dynamodb_throttled_total", "Calls that DynamoDB refused for want of capacity.", func(o *opCounts) float64 { return float64(o.throttled) }, false},
		{"dynamodb_retries_total", "Calls that were made again, as the one before was throttled, had no answer or met another transaction.", func(o *opCounts) float64 { return float64(o.retries) }, false},
	} {
		m.Counters(n.name, n.help, func(show func(float64, ...string)) { each(show, n.number, n.kinds) })
	}
	m.Counters("dynamodb_lost_races_total", "Commits that were made again, as another writer of the log was faster.", func(show func(float64, ...string)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		show(float64(c.races))
	})
}
