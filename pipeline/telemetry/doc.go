// Package telemetry is what the daemon says of itself: metrics for Prometheus and structured logs.
//
// It promises two things. No secret leaves by it: what is written to a log goes through Redact. And metrics conserve:
// for each pipeline, events received are those settled, by outcome, and those in flight (Totals.Missing is zero).
// Labels are pipeline, component, kind, outcome, code and state only, never the id of an event, stream or key. Every
// type works as a nil pointer, and then does nothing.
package telemetry
