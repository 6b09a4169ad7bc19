// Package pipeline is leat's engine: it turns a checked configuration into running Watermill routers.
//
// A pipeline has an intake (source, steps up to the last append, commit) and relays (readers of the log, each with its
// own checkpoint, that write one target). One router runs both: the intake is one of its handlers, each relay another.
// Messages carry batches; every event of a batch has its own outcome.
//
// The package knows the contracts (sources, sinks, eventstore, table, codec) and no implementation of them. What a step does to
// an event is in package steps; what becomes of the event then is here. Start at Daemon (daemon.go), then pipe.go and run.go (one pipeline's life), intake.go (gate.go before it; lanes.go,
// commit.go, refused.go and direct.go behind it), relay.go (delivery.go and tabletarget.go behind it) and park.go.
package pipeline
