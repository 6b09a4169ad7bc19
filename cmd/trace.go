package cmd

import (
	"context"
	"log/slog"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// lastSpans is how long the end of a run may wait for a collector to take the last spans.
const lastSpans = 5 * time.Second

// trace gives the daemon a tracer where the config or the environment asks for one; stop sends what is left. A dry run
// leaves no trace.
func (a *app) trace(ctx context.Context, cfg *config.Config, r *running, log *slog.Logger, o *pipeline.Options) (stop func(), err error) {
	if r.dryRun {
		return func() {}, nil
	}
	lost := telemetry.Limited(log, "traces", time.Minute)
	t, err := telemetry.NewTracer(ctx, cfg.Telemetry.Traces, Version(), a.env, func(err error) {
		lost.Warn("spans are not sent", "error", err)
	})
	if err != nil {
		return nil, usagef("%w", err)
	}
	o.Tracer = t
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
		defer cancel()
		if err := t.Shutdown(ctx); err != nil {
			log.Warn("the last spans are not sent", "error", err)
		}
	}, nil
}
