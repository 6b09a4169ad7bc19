package cmd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/config/watch"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// reloader lets a running daemon follow its files: when they change (--watch), and when SIGHUP asks for it.
type reloader struct {
	app     *app
	files   []string
	r       *running
	d       *pipeline.Daemon
	log     *slog.Logger
	metrics *telemetry.Metrics
	server  *admin.Server
	read    *watch.Snapshot
	unwatch func() // ends the metrics of the stores
}

// hangups gives SIGHUP until ignore is called.
func hangups() (hup <-chan os.Signal, ignore func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGHUP)
	return ch, func() { signal.Stop(ch) }
}

// run reloads until ctx or the daemon ends, once all pipelines have started.
func (re *reloader) run(ctx context.Context, hup <-chan os.Signal, ended <-chan struct{}) {
	select {
	case <-re.d.Started():
	case <-ctx.Done():
		return
	case <-ended:
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var changes <-chan struct{}
	var w *watch.Watcher
	if re.r.watch {
		w = watch.New(ctx, watch.Options{})
		w.Set(re.read)
		changes = w.Changes()
		defer func() { cancel(); <-w.Done() }()
	}
	for {
		why := "the files have changed"
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-hup:
			why = "SIGHUP"
		case <-changes:
		}
		re.log.Info("reading the configuration again", "reason", why)
		re.reload(ctx)
		if w != nil {
			w.Set(re.read)
		}
	}
}

func (re *reloader) reload(ctx context.Context) {
	re.read = watch.Take(re.files)
	cfg, diags, err := re.app.readConfig(re.files, re.r, re.read)
	for i := range diags {
		level := slog.LevelWarn
		if diags[i].Severity == config.Error {
			level = slog.LevelError
		}
		re.log.Log(ctx, level, "the configuration", "problem", strings.SplitN(telemetry.Redact(diags[i].Text(false)), "\n", 2)[0], "hint", diags[i].Hint)
	}
	if err == nil && diags.HasErrors() {
		errs, _ := diags.Count()
		err = errors.New(countOf(errs, 0) + " in the files, first: " + strings.SplitN(telemetry.Redact(firstError(diags)), "\n", 2)[0])
	}
	if err != nil {
		re.d.NotReloaded(err)
		return
	}
	if _, err := re.d.Reload(ctx, cfg); err != nil {
		return // it has said so
	}
	re.server.Rekey(cfg.Server.Auth) // the daemon says what of server must wait
	re.unwatch()
	re.unwatch = watchStores(cfg, re.d, re.metrics)
}

// firstError is the text of the first error.
func firstError(diags config.Diagnostics) string {
	for i := range diags {
		if diags[i].Severity == config.Error {
			return diags[i].Text(false)
		}
	}
	return ""
}
