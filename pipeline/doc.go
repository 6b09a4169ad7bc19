// Package pipeline is leat's engine: it turns a checked configuration into running Watermill routers.
//
// A pipeline has an intake (source, steps up to the last append, commit) and relays (readers of the log, each with its
// own checkpoint, that write one target). One router runs both: the intake is one of its handlers, each relay another.
// Messages carry batches; every event of a batch has its own outcome.
//
// The package knows the contracts (sources, sinks, eventstore, table, codec) and no implementation of them. What a step does
// to an event is in package steps; what becomes of the event then is here.
//
// Start at Daemon (daemon.go; plugins.go is what it gives to pipelines, mounts.go their places on its listener, post.go how
// one is changed and takes another's place), then pipe.go and run.go (one pipeline's life) and plan.go (what its config comes
// to). The way in is intake.go: gate.go before it; pending.go, lanes.go, commit.go, refused.go and direct.go behind it. The way
// out is relay.go: gather.go takes pages through the steps, delivery.go and tabletarget.go write. What cannot be written is in
// parkedevent.go, park.go, holding.go and aside.go; who may write in seats.go, tenure.go and share.go; long work on a store in
// work.go, rebuild.go, remake.go and replay.go.
package pipeline
