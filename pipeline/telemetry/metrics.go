package telemetry

import (
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/leatdev/leat/pipeline/telemetry/prom"
)

// Metrics is a registry of its own with all of leat's metrics. It is safe for concurrent use.
type Metrics struct {
	registry *prom.Registry

	received, settled, poisoned, wrongType, retries, conflicts, unrouted *prom.Values
	inFlight, inFlightBytes, state, intakeOwner                          *prom.Values
	commit, commitEvents, endToEnd                                       *prom.Histograms

	relayEvents, relayPoisoned, relayRetries                               *prom.Values
	relayOutage, relayPosition, relayHead, relayLag, relayLagS, relayOwner *prom.Values
	relayWrite, relayWriteEvents                                           *prom.Histograms

	steering
	stores  *storeCollector
	plugins *pluginCollector
	series  *seriesCollector
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
	r := prom.NewRegistry()
	m := &Metrics{registry: r, stores: &storeCollector{watched: map[string]StoreFacts{}}, plugins: &pluginCollector{live: map[*Plugin]bool{}}, series: &seriesCollector{stores: map[string]*Store{}}}

	m.received = r.Counter("leat_events_received_total", "Source events taken in.", inPipeline...)
	m.settled = r.Counter("leat_events_settled_total", "Source events that have their outcome; released ones went back to the source.", "pipeline", "outcome")
	m.poisoned = r.Counter("leat_events_poisoned_total", "Source events parked by the intake, by reason.", "pipeline", "component", "code")
	m.wrongType = r.Counter("leat_expression_wrong_type_total", "Expressions that met a value of the wrong type and were taken as false.", inStep...)
	m.retries = r.Counter("leat_retries_total", "Further attempts of source events in the intake.", inStep...)
	m.conflicts = r.Counter("leat_append_conflicts_total", "Appends refused because the stream was elsewhere than expected.", inPipeline...)
	m.unrouted = r.Counter("leat_events_unrouted_total", "Events for which a branch had no case; source events among them are filtered.", inStep...)
	m.inFlight = r.Gauge("leat_events_in_flight", "Source events taken in and not settled.", inPipeline...)
	m.inFlightBytes = r.Gauge("leat_events_in_flight_bytes", "Bytes of the source events in flight.", inPipeline...)
	m.intakeOwner = r.Gauge("leat_intake_owner", "1 where this process reads a source that one replica alone reads, 0 where it stands by.", inPipeline...)
	m.state = r.Gauge("leat_pipeline_state", "1 for the state that the pipeline is in.", "pipeline", "state")
	m.commit = r.Histogram("leat_append_duration_seconds", "Time of a commit to the event store.", seconds, inPipeline...)
	m.commitEvents = r.Histogram("leat_append_batch_events", "Events in a commit.", batchSizes, inPipeline...)
	m.endToEnd = r.Histogram("leat_end_to_end_seconds", "Time from an event's own time to its commit.", longSeconds, inPipeline...)

	m.relayEvents = r.Counter("leat_relay_events_total", "Log events that a relay has dealt with, by outcome.", "pipeline", "component", "kind", "outcome")
	m.relayPoisoned = r.Counter("leat_relay_poisoned_total", "Log events that a relay parked, by reason.", "pipeline", "component", "kind", "code")
	m.relayRetries = r.Counter("leat_relay_retries_total", "Further attempts of a relay.", inRelay...)
	m.relayOutage = r.Gauge("leat_relay_outage", "1 while the relay's target is down.", inRelay...)
	m.relayOwner = r.Gauge("leat_relay_owner", "1 where this process runs the relay, 0 where it stands by.", inRelay...)
	m.relayPosition = r.Gauge("leat_relay_position", "Log position up to which the relay is done.", inRelay...)
	m.relayHead = r.Gauge("leat_relay_head_position", "Log position up to which the relay has something to do.", inRelay...)
	m.relayLag = r.Gauge("leat_relay_lag_events", "Log positions that the relay is behind.", inRelay...)
	m.relayLagS = r.Gauge("leat_relay_lag_seconds", "Age of the oldest event that the relay has yet to deal with.", inRelay...)
	m.relayWrite = r.Histogram("leat_relay_write_duration_seconds", "Time of one write to the relay's target.", seconds, inRelay...)
	m.relayWriteEvents = r.Histogram("leat_relay_write_events", "Events in one write to the relay's target.", batchSizes, inRelay...)

	m.steering = newSteering(r)
	r.Collect(m.stores.collect)
	r.Collect(m.plugins.collect)
	r.Collect(m.series.collect)
	r.Runtime()
	r.Process()
	r.Gauge("leat_build_info", "1; the labels say what is running.", "version", "revision", "goversion").With(version, revision(), runtime.Version()).Set(1)
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

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return m.registry.Handler()
}
