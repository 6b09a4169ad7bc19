package telemetry

import (
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a registry of its own with all of leat's metrics. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	received, settled, poisoned, wrongType, retries, conflicts, unrouted *prometheus.CounterVec
	inFlight, inFlightBytes, state, intakeOwner                          *prometheus.GaugeVec
	commit, commitEvents, endToEnd                                       *prometheus.HistogramVec

	relayEvents, relayPoisoned, relayRetries                               *prometheus.CounterVec
	relayOutage, relayPosition, relayHead, relayLag, relayLagS, relayOwner *prometheus.GaugeVec
	relayWrite, relayWriteEvents                                           *prometheus.HistogramVec

	steering
	stores  *storeCollector
	plugins *pluginCollector
}

var (
	inPipeline = []string{"pipeline"}
	inStep     = []string{"pipeline", "component"}
	inRelay    = []string{"pipeline", "component", "kind"}

	// Durations reach from a commit into a page cache to a sink that has to be waited for.
	seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// End to end includes the time that an event waited in its source.
	longSeconds = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 300, 1800, 7200, 86400}
	batchSizes  = []float64{1, 2, 5, 10, 50, 100, 500, 1000, 5000, 10000}
)

// NewMetrics makes the metrics of one daemon; version is that of leat_build_info.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), stores: &storeCollector{watched: map[string]StoreFacts{}}, plugins: &pluginCollector{live: map[*Plugin]bool{}}}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels []string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels []string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}

	m.received = counter("leat_events_received_total", "Source events taken in.", inPipeline)
	m.settled = counter("leat_events_settled_total", "Source events that have their outcome; released ones went back to the source.", []string{"pipeline", "outcome"})
	m.poisoned = counter("leat_events_poisoned_total", "Source events parked by the intake, by reason.", []string{"pipeline", "component", "code"})
	m.wrongType = counter("leat_expression_wrong_type_total", "Expressions that met a value of the wrong type and were taken as false.", inStep)
	m.retries = counter("leat_retries_total", "Further attempts of source events in the intake.", inStep)
	m.conflicts = counter("leat_append_conflicts_total", "Appends refused because the stream was elsewhere than expected.", inPipeline)
	m.unrouted = counter("leat_events_unrouted_total", "Events for which a branch had no case; source events among them are filtered.", inStep)
	m.inFlight = gauge("leat_events_in_flight", "Source events taken in and not settled.", inPipeline)
	m.inFlightBytes = gauge("leat_events_in_flight_bytes", "Bytes of the source events in flight.", inPipeline)
	m.intakeOwner = gauge("leat_intake_owner", "1 where this process reads a source that one replica alone reads, 0 where it stands by.", inPipeline)
	m.state = gauge("leat_pipeline_state", "1 for the state that the pipeline is in.", []string{"pipeline", "state"})
	m.commit = histogram("leat_append_duration_seconds", "Time of a commit to the event store.", seconds, inPipeline)
	m.commitEvents = histogram("leat_append_batch_events", "Events in a commit.", batchSizes, inPipeline)
	m.endToEnd = histogram("leat_end_to_end_seconds", "Time from an event's own time to its commit.", longSeconds, inPipeline)

	m.relayEvents = counter("leat_relay_events_total", "Log events that a relay has dealt with, by outcome.", []string{"pipeline", "component", "kind", "outcome"})
	m.relayPoisoned = counter("leat_relay_poisoned_total", "Log events that a relay parked, by reason.", []string{"pipeline", "component", "kind", "code"})
	m.relayRetries = counter("leat_relay_retries_total", "Further attempts of a relay.", inRelay)
	m.relayOutage = gauge("leat_relay_outage", "1 while the relay's target is down.", inRelay)
	m.relayOwner = gauge("leat_relay_owner", "1 where this process runs the relay, 0 where it stands by.", inRelay)
	m.relayPosition = gauge("leat_relay_position", "Log position up to which the relay is done.", inRelay)
	m.relayHead = gauge("leat_relay_head_position", "Log position up to which the relay has something to do.", inRelay)
	m.relayLag = gauge("leat_relay_lag_events", "Log positions that the relay is behind.", inRelay)
	m.relayLagS = gauge("leat_relay_lag_seconds", "Age of the oldest event that the relay has yet to deal with.", inRelay)
	m.relayWrite = histogram("leat_relay_write_duration_seconds", "Time of one write to the relay's target.", seconds, inRelay)
	m.relayWriteEvents = histogram("leat_relay_write_events", "Events in one write to the relay's target.", batchSizes, inRelay)

	m.steering = newSteering(m.registry)
	m.registry.MustRegister(m.stores, m.plugins, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_build_info", Help: "1; the labels say what is running."},
		[]string{"version", "revision", "goversion"})
	m.registry.MustRegister(info)
	info.WithLabelValues(version, revision(), runtime.Version()).Set(1)
	return m
}

func revision() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// Handler serves the metrics in Prometheus' formats.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
