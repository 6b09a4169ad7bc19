package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/config/watch"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// running is the flags of run.
type running struct {
	loading
	dryRun, strict, watch     bool
	data, listen              string
	logLevel, logFormat, name string
}

func (a *app) runCommand() *cobra.Command {
	var r running
	c := &cobra.Command{
		Use:   "run FILE…",
		Short: "Run pipelines until their input ends, or until SIGTERM",
		Long: `Run the pipelines of all files in one process. A pipeline whose input ends (a file) ends when
everything is delivered; the command ends with the last of them and prints a summary on stderr.
stdout is what sinks print.

SIGHUP reads the files again, and --watch does so whenever they change: pipelines that differ are
drained and started anew, the others are not touched. Files with errors change nothing.
With --watch the command goes on after the last input has ended.

Files with stores and without pipelines run an event store: the HTTP API, until SIGTERM.

SIGTERM or Ctrl-C drains: nothing more is taken in, what is in flight is finished. A second one
(half a second later or more) stops at once; what was not finished is taken up by the next run.

Exit codes: 0 done; 1 something was not delivered in time, or failed; 2 the files have errors;
3 a store or address is not there; 4 --strict, and events are poisoned; 130, 143 a second signal.`,
		Example: `  leat run pipeline.yaml
  leat run pipelines/ --data /var/lib/leat --log-format json
  leat run pipeline.yaml --dry-run`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.run(c.Context(), args, &r) },
	}
	f := c.Flags()
	f.StringVar(&r.envFile, "env-file", "", "file of NAME=value lines that ${NAME} is looked up in first")
	_ = c.MarkFlagFilename("env-file")
	f.BoolVar(&r.dryRun, "dry-run", false, "read the input and what is stored, but write nothing: print what would be appended, projected and forwarded")
	f.BoolVar(&r.watch, "watch", false, "reload when the files change, those of ${file:…} too")
	f.BoolVar(&r.strict, "strict", false, "exit code 4 where events were poisoned")
	f.StringVar(&r.data, "data", "", "directory of the store main, whatever the files say (default $LEAT_DATA, else ./data)")
	f.StringVar(&r.listen, "listen", "", "address of the listener, instead of server.listen; off: none")
	f.StringVar(&r.logLevel, "log-level", "", "debug, info, warn or error, instead of telemetry.logs.level")
	f.StringVar(&r.logFormat, "log-format", "", "auto, text or json, instead of telemetry.logs.format")
	f.StringVar(&r.name, "instance", "", "name by which this process owns its relays; of several that share a store each needs its own (default: one that nobody else has)")
	_ = c.MarkFlagDirname("data")
	return c
}

func (a *app) run(ctx context.Context, files []string, r *running) error {
	if err := oneOf("--log-level", r.logLevel, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	if err := oneOf("--log-format", r.logFormat, "auto", "text", "json"); err != nil {
		return err
	}
	if r.watch && r.dryRun {
		return usagef("--dry-run and --watch exclude each other")
	}
	read := watch.Take(files)
	cfg, err := a.load(files, r, read)
	if err != nil {
		return err
	}
	words := &statusLine{w: a.err}
	log := telemetry.NewLogger(words, first(r.logLevel, cfg.Telemetry.Logs.Level), a.logFormat(first(r.logFormat, cfg.Telemetry.Logs.Format)), a.color())
	metrics := telemetry.NewMetrics(Version())
	o := pipeline.Options{Log: log, Metrics: metrics, Now: a.now, Stdout: a.out, Instance: r.name, Stay: r.watch}
	stopTracing, err := a.trace(ctx, cfg, r, log, &o)
	if err != nil {
		return err
	}
	defer stopTracing()
	var dry *dryRun
	if r.dryRun {
		if dry, err = a.dryRun(cfg, &o); err != nil {
			return err
		}
	}

	tuneMemory()
	soft, hard, signalled, stop := stopOnSignals(ctx, time.Now)
	defer stop()

	server, listening, err := a.listener(cfg, r, log, metrics)
	if err != nil {
		return err
	}
	if listening != nil {
		o.Mux = server
		serving, quit := context.WithCancel(context.WithoutCancel(ctx))
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := server.Serve(serving, listening); err != nil {
				log.Error("the listener has ended", "error", err)
			}
		}()
		// Last of all: probes and metrics answer until the drain is over.
		defer func() { quit(); <-served }()
	}

	d := pipeline.New(cfg, o)
	re := &reloader{app: a, files: files, r: r, d: d, log: log, read: read, metrics: metrics, server: server, unwatch: watchStores(cfg, d, metrics)}
	defer func() { re.unwatch() }()
	hup, ignore := hangups() // one that comes before everything runs is heeded then
	defer ignore()
	ended := make(chan struct{})
	go func() {
		select {
		case <-d.Started():
			server.Attach(daemonOf(soft, d))
			told := []any{"pipelines", len(cfg.Pipelines), "hash", d.ConfigHash()}
			if listening != nil {
				told = append([]any{"address", listening.Addr().String()}, told...)
			}
			log.Info("ready", told...)
		case <-ended:
		}
	}()
	reloading := make(chan struct{})
	go func() {
		defer close(reloading)
		re.run(soft, hup, ended)
	}()
	finished := a.showProgress(words, d)
	summary, err := d.Run(soft, hard)
	finished()
	close(ended)
	<-reloading
	if dry != nil {
		err = errors.Join(err, dry.report(context.WithoutCancel(ctx)))
	}
	return a.ended(summary, err, files, r, signalled())
}

func oneOf(flag, value string, allowed ...string) error {
	if value != "" && !slices.Contains(allowed, value) {
		return usagef("%s is %s, not %q", flag, list(allowed), value)
	}
	return nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (a *app) logFormat(format string) string {
	switch {
	case format == "text" || format == "json":
		return format
	case a.errTTY:
		return "text"
	}
	return "json"
}

// load reads the files and says what is wrong with them.
func (a *app) load(files []string, r *running, read *watch.Snapshot) (*config.Config, error) {
	cfg, diags, err := a.readConfig(files, r, read)
	if e := a.diagnose(diags); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	if len(cfg.Pipelines) == 0 && r.dryRun {
		return nil, usagef("%s: there is no pipeline to try", strings.Join(files, ", "))
	}
	return cfg, nil
}

// readConfig reads the files; --data says where the store main is, also to files that use ${LEAT_DATA} elsewhere.
func (a *app) readConfig(files []string, r *running, read *watch.Snapshot) (*config.Config, config.Diagnostics, error) {
	o := r.options(a)
	o.Seen, o.SeenFolder, o.CheckFiles = read.Seen, read.SeenFolder, true
	if r.data != "" {
		o.Env = func(name string) (string, bool) {
			if name == "LEAT_DATA" {
				return r.data, true
			}
			return a.env(name)
		}
	}
	cfg, diags := config.Load(files, o)
	telemetry.HideSecrets(cfg)
	if diags.HasErrors() || r.data == "" {
		return cfg, diags, nil
	}
	plugin, err := a.dataStore(r.data)
	if err != nil {
		return nil, diags, err
	}
	cfg.Stores["main"] = plugin
	return cfg, diags, nil
}

// listener opens the daemon's listener. The default address may be another leat's: then this one goes without, unless
// a source needs it, which then says so.
func (a *app) listener(cfg *config.Config, r *running, log *slog.Logger, m *telemetry.Metrics) (*admin.Server, net.Listener, error) {
	server := admin.New(admin.Options{Log: log, Metrics: m.Handler(), Version: Version(), Config: cfg.Server})
	address := first(r.listen, cfg.Server.Listen)
	if address == "" || address == "off" {
		if len(cfg.Pipelines) == 0 {
			return nil, nil, usagef("there is no pipeline to run, and no listener to serve the stores on")
		}
		return server, nil, nil
	}
	l, err := server.Listen(address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && r.listen == "" && address == defaultListen && len(cfg.Pipelines) > 0 && !cfg.Server.Auth.Required():
		a.say("leat: %s is taken by another process: running without a listener (--listen ADDRESS names another)", address)
		return server, nil, nil
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, nil, environment(err)
	case err != nil:
		return nil, nil, usagef("%w", err)
	}
	return server, l, nil
}

// abandonAfter is how long a second signal waits for what is to stop at once.
const abandonAfter = 2 * time.Second

// doubled is how long after the first signal another is still the same one: timeout(1) sends its signal to the process
// and then to its group, and what runs us in a terminal may hand on a Ctrl-C that we have got ourselves.
const doubled = 500 * time.Millisecond

// stopOnSignals gives the two contexts of a run: soft ends at the first signal, hard at the second, whose exit code
// signalled then gives (0 before). Now is asked once for each signal.
func stopOnSignals(ctx context.Context, now func() time.Time) (soft, hard context.Context, signalled func() int, stop func()) {
	soft, endSoft := context.WithCancel(ctx)
	hard, endHard := context.WithCancelCause(context.WithoutCancel(ctx))
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case s := <-ch:
				at := now()
				if first.IsZero() {
					first = at
					endSoft()
				}
				if at.Sub(first) < doubled {
					continue
				}
				code := 128 + int(s.(syscall.Signal))
				endHard(&exitError{code: code})
				// What heeds no context, as an open that blocks in the kernel, is left behind after a moment.
				signal.Stop(ch)
				select {
				case <-time.After(abandonAfter):
					os.Exit(code)
				case <-done:
				}
				return
			case <-done:
				return
			}
		}
	}()
	signalled = func() int {
		var e *exitError
		if errors.As(context.Cause(hard), &e) {
			return e.code
		}
		return 0
	}
	return soft, hard, signalled, func() {
		signal.Stop(ch)
		close(done)
		endSoft()
		endHard(nil)
	}
}

// errDraining is why a daemon that was told to stop is not ready.
var errDraining = errors.New("draining")

func daemonOf(soft context.Context, d *pipeline.Daemon) *admin.Daemon {
	return &admin.Daemon{
		Ready: func() error {
			if soft.Err() != nil {
				return errDraining
			}
			return d.Ready()
		},
		Status:   func() any { return d.Status() },
		Duties:   func() any { return d.Duties() },
		Store:    d.StoreWithTables,
		Stores:   d.StoreNames,
		Retry:    d.RetryPoison,
		Operator: d,
	}
}

// watchStores reports heads and parked events of the stores that pipelines use.
func watchStores(cfg *config.Config, d *pipeline.Daemon, m *telemetry.Metrics) (remove func()) {
	pipelines := map[string][]string{}
	for _, p := range cfg.Pipelines {
		pipelines[p.Store] = append(pipelines[p.Store], p.Name)
	}
	var removes []func()
	for store, names := range pipelines {
		removes = append(removes, m.WatchStore(store, func(ctx context.Context) (int64, map[string]telemetry.Parked, error) {
			st, ok := d.Store(store)
			if !ok {
				return 0, nil, errors.New("cmd: the store is not open")
			}
			head, err := st.Head(ctx)
			if err != nil {
				return 0, nil, err
			}
			parked := map[string]telemetry.Parked{}
			for _, name := range names {
				n, oldest, err := st.CountParked(ctx, poison.Filter{Pipeline: name})
				if err != nil {
					return 0, nil, err
				}
				parked[name] = telemetry.Parked{Events: n, Oldest: oldest}
			}
			return head.Position, parked, nil
		}))
	}
	return func() {
		for _, r := range removes {
			r()
		}
	}
}

// ended prints the summary and gives the exit code.
func (a *app) ended(s pipeline.Summary, err error, files []string, r *running, signalled int) error {
	if a.json {
		if e := writeLine(a.err, map[string]any{"summary": s}); e != nil && err == nil {
			err = e
		}
	} else if !a.quiet && (err == nil || received(s) > 0) {
		a.summary(s)
		a.next(s, files, r)
	}
	poisoned := int64(0)
	for i := range s.Pipelines {
		poisoned += s.Pipelines[i].Poisoned + s.Pipelines[i].RelayPoisoned
	}
	switch {
	case signalled != 0:
		return &exitError{code: signalled, err: errors.New("stopped at once by a second signal; the next run goes on from there")}
	case errors.Is(err, pipeline.ErrUndelivered):
		return &exitError{code: exitFailed, err: err}
	case err != nil:
		return err
	case r.strict && poisoned > 0:
		return &exitError{code: exitPoisoned, err: fmt.Errorf("--strict: %s poisoned", count(poisoned, "event"))}
	}
	return nil
}

func received(s pipeline.Summary) (n int64) {
	for i := range s.Pipelines {
		n += s.Pipelines[i].Received
	}
	return n
}

// summary prints what each pipeline did, in columns: received 5  filtered 2 …
func (a *app) summary(s pipeline.Summary) {
	columns := []struct {
		name   string
		always bool
		value  func(p *pipeline.PipelineSummary) int64
	}{
		{"received", true, func(p *pipeline.PipelineSummary) int64 { return p.Received }},
		{"filtered", true, func(p *pipeline.PipelineSummary) int64 { return p.Filtered }},
		{"unrouted", false, func(p *pipeline.PipelineSummary) int64 { return p.Unrouted }},
		{"duplicate", false, func(p *pipeline.PipelineSummary) int64 { return p.Duplicate }},
		{"dropped", false, func(p *pipeline.PipelineSummary) int64 { return p.Dropped }},
		{"committed", true, func(p *pipeline.PipelineSummary) int64 { return p.Committed }},
		{"delivered", false, func(p *pipeline.PipelineSummary) int64 { return p.Delivered }},
		{"projected", false, func(p *pipeline.PipelineSummary) int64 { return p.Projected }},
		{"forwarded", true, func(p *pipeline.PipelineSummary) int64 { return p.Forwarded }},
		{"poisoned", true, func(p *pipeline.PipelineSummary) int64 { return p.Poisoned + p.RelayPoisoned }},
		{"released", false, func(p *pipeline.PipelineSummary) int64 { return p.Released }},
		{"undelivered", false, func(p *pipeline.PipelineSummary) int64 { return p.Undelivered }},
	}
	shown := []int{}
	for i, c := range columns {
		used := c.always
		for j := range s.Pipelines {
			used = used || c.value(&s.Pipelines[j]) != 0
		}
		if used {
			shown = append(shown, i)
		}
	}
	width := make([]int, len(columns))
	for _, i := range shown {
		for j := range s.Pipelines {
			width[i] = max(width[i], len(fmt.Sprint(columns[i].value(&s.Pipelines[j]))))
		}
	}
	name := 0
	for j := range s.Pipelines {
		name = max(name, len(s.Pipelines[j].Name)+1)
	}
	for j := range s.Pipelines {
		p := &s.Pipelines[j]
		fmt.Fprintf(a.err, "%-*s", name, p.Name+":")
		for _, i := range shown {
			fmt.Fprintf(a.err, "  %s %*d", columns[i].name, width[i], columns[i].value(p))
		}
		fmt.Fprintln(a.err)
	}
}

// next says what to look at.
func (a *app) next(s pipeline.Summary, files []string, r *running) {
	if r.dryRun {
		a.say("dry run: nothing was written")
		if received(s) == 0 {
			a.say("Nothing new came in: what was read before is not read again. --data of an empty folder tries the whole input.")
		}
		return
	}
	p := place{data: r.data}
	if r.data == "" {
		p.files = files
	}
	var poisoned, undelivered, committed, projected int64
	for i := range s.Pipelines {
		poisoned += s.Pipelines[i].Poisoned + s.Pipelines[i].RelayPoisoned
		undelivered += s.Pipelines[i].Undelivered
		committed += s.Pipelines[i].Committed + s.Pipelines[i].Duplicate
		projected += s.Pipelines[i].Projected
	}
	if received(s) == 0 {
		a.say("Nothing new came in: what was read before is not read again.")
	}
	if undelivered > 0 {
		a.say("The log has %s that are not delivered yet: the next run goes on there.", count(undelivered, "event"))
	}
	if poisoned > 0 {
		a.say("Look:  leat poison ls%s   what failed, and why", p.again())
	}
	if committed > 0 {
		a.say("Look:  leat store read --all%s   what was recorded", p.again())
	}
	if projected > 0 {
		a.say("       leat table%s   what it adds up to", p.again())
	}
}
