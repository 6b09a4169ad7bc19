package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// steering holds the metrics of what people ask of a daemon.
type steering struct {
	configInfo, paused, relayPaused, relayHeld *prometheus.GaugeVec
	loadedAt                                   prometheus.Gauge
	reloads                                    *prometheus.CounterVec
	workDone, workTotal                        *prometheus.GaugeVec
}

func newSteering(r *prometheus.Registry) steering {
	s := steering{
		configInfo:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_config_info", Help: "1 for the configuration that runs; the hash is over what its files mean, without secrets."}, []string{"hash"}),
		loadedAt:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "leat_config_last_reload_success_timestamp_seconds", Help: "When the running configuration was loaded."}),
		reloads:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leat_config_reloads_total", Help: "Reloads of the configuration, by result: applied, unchanged, failed."}, []string{"result"}),
		paused:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_pipeline_paused", Help: "1 while the pipeline (part pipeline) or its intake (part intake) is paused."}, []string{"pipeline", "part"}),
		relayPaused: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_relay_paused", Help: "1 while the relay is paused."}, inRelay),
		relayHeld:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_relay_held_streams", Help: "Streams that wait behind parked events of the relay; 1 where the whole relay waits."}, inRelay),
		workDone:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_work_done_events", Help: "Log positions that a rebuild or replay has gone through."}, []string{"pipeline", "work", "target"}),
		workTotal:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leat_work_total_events", Help: "Log positions that a rebuild or replay has to go through."}, []string{"pipeline", "work", "target"}),
	}
	r.MustRegister(s.configInfo, s.loadedAt, s.reloads, s.paused, s.relayPaused, s.relayHeld, s.workDone, s.workTotal)
	for _, result := range []string{"applied", "unchanged", "failed"} {
		s.reloads.WithLabelValues(result)
	}
	return s
}

// Config says which configuration runs.
func (m *Metrics) Config(hash string) {
	if m != nil {
		m.configInfo.Reset()
		m.configInfo.WithLabelValues(hash).Set(1)
	}
}

// Loaded says when the running configuration was loaded.
func (m *Metrics) Loaded(at time.Time) {
	if m != nil {
		m.loadedAt.Set(float64(at.UnixMilli()) / 1000)
	}
}

// Reload counts a reload by its result: applied, unchanged or failed.
func (m *Metrics) Reload(result string) {
	if m != nil {
		m.reloads.WithLabelValues(result).Inc()
	}
}

// Paused says whether a pipeline ("pipeline") or its intake ("intake") is paused, "" that neither is.
func (m *Metrics) Paused(pipeline, what string) {
	if m == nil {
		return
	}
	for _, part := range []string{"pipeline", "intake"} {
		v := 0.0
		if part == what {
			v = 1
		}
		m.paused.WithLabelValues(pipeline, part).Set(v)
	}
}

// Work says how far a rebuild or replay has come; it is forgotten once total is negative.
func (m *Metrics) Work(pipeline, work, target string, done, total int64) {
	switch {
	case m == nil:
	case total < 0:
		m.workDone.DeleteLabelValues(pipeline, work, target)
		m.workTotal.DeleteLabelValues(pipeline, work, target)
	default:
		m.workDone.WithLabelValues(pipeline, work, target).Set(float64(done))
		m.workTotal.WithLabelValues(pipeline, work, target).Set(float64(total))
	}
}

// Paused says whether the relay is paused.
func (r *Relay) Paused(paused bool) {
	if r == nil {
		return
	}
	v := 0.0
	if paused {
		v = 1
	}
	r.m.relayPaused.WithLabelValues(r.labels[0], r.labels[1], r.labels[2]).Set(v)
}

// Held says how many streams wait behind parked events.
func (r *Relay) Held(streams int) {
	if r != nil {
		r.m.relayHeld.WithLabelValues(r.labels[0], r.labels[1], r.labels[2]).Set(float64(streams))
	}
}
