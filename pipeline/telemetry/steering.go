package telemetry

import (
	"time"

	"github.com/leatdev/leat/pipeline/telemetry/prom"
)

// steering holds the metrics of what people ask of a daemon.
type steering struct {
	configInfo, paused, relayPaused, relayHeld *prom.Values
	loadedAt                                   *prom.Value
	reloads                                    *prom.Values
	workDone, workTotal                        *prom.Values
}

func newSteering(r *prom.Registry) steering {
	s := steering{
		configInfo:  r.Gauge("leat_config_info", "1 for the configuration that runs; the hash is over what its files mean, without secrets.", "hash"),
		loadedAt:    r.Gauge("leat_config_last_reload_success_timestamp_seconds", "When the running configuration was loaded.").With(),
		reloads:     r.Counter("leat_config_reloads_total", "Reloads of the configuration, by result: applied, unchanged, failed.", "result"),
		paused:      r.Gauge("leat_pipeline_paused", "1 while the pipeline (part pipeline) or its intake (part intake) is paused.", "pipeline", "part"),
		relayPaused: r.Gauge("leat_relay_paused", "1 while the relay is paused.", inRelay...),
		relayHeld:   r.Gauge("leat_relay_held_streams", "Streams that wait behind parked events of the relay; 1 where the whole relay waits.", inRelay...),
		workDone:    r.Gauge("leat_work_done_events", "Log positions that a rebuild or replay has gone through.", "pipeline", "work", "target"),
		workTotal:   r.Gauge("leat_work_total_events", "Log positions that a rebuild or replay has to go through.", "pipeline", "work", "target"),
	}
	for _, result := range []string{"applied", "unchanged", "failed"} {
		s.reloads.With(result)
	}
	return s
}

// Config says which configuration runs.
func (m *Metrics) Config(hash string) {
	if m != nil {
		m.configInfo.Reset()
		m.configInfo.With(hash).Set(1)
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
		m.reloads.With(result).Add(1)
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
		m.paused.With(pipeline, part).Set(v)
	}
}

// Work says how far a rebuild or replay has come; it is forgotten once total is negative.
func (m *Metrics) Work(pipeline, work, target string, done, total int64) {
	switch {
	case m == nil:
	case total < 0:
		m.workDone.Delete(pipeline, work, target)
		m.workTotal.Delete(pipeline, work, target)
	default:
		m.workDone.With(pipeline, work, target).Set(float64(done))
		m.workTotal.With(pipeline, work, target).Set(float64(total))
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
	r.m.relayPaused.With(r.labels[0], r.labels[1], r.labels[2]).Set(v)
}

// Held says how many streams wait behind parked events.
func (r *Relay) Held(streams int) {
	if r != nil {
		r.m.relayHeld.With(r.labels[0], r.labels[1], r.labels[2]).Set(float64(streams))
	}
}
