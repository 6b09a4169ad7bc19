// Package metric is how a plugin shows numbers of its own: it keeps them, and names them to the daemon.
//
// It knows nothing of Prometheus, so that plugins need not either.
package metric

// Registry takes a plugin's numbers. Read is called at each scrape, from any goroutine, until the plugin is closed; it
// must not block. The name is without "leat_" and the pipeline, which become prefix and label: "sqs_calls_total". The
// same name twice adds up. A nil Registry is none: use Counter and Gauge of this package.
type Registry interface {
	// Counter is a number that only grows while the plugin lives; its name ends in _total.
	Counter(name, help string, read func() int64)
	// Gauge is a number that goes up and down.
	Gauge(name, help string, read func() int64)
}

// Counter registers a counter where there is a registry.
func Counter(r Registry, name, help string, read func() int64) {
	if r != nil {
		r.Counter(name, help, read)
	}
}

// Gauge registers a gauge where there is a registry.
func Gauge(r Registry, name, help string, read func() int64) {
	if r != nil {
		r.Gauge(name, help, read)
	}
}

// Series takes numbers that have labels of their own beside the ones that say whose they are: those of a store.
type Series interface {
	// Counters is one name for several numbers that only grow; the name ends in _total. Read is called at each scrape,
	// from any goroutine, and shows each with its labels: name, value, name, value …
	Counters(name, help string, read func(show func(value float64, labels ...string)))
}
