package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// access is a store as the commands use it: at rest, or behind the API of the daemon that has it open.
type access interface {
	Head(ctx context.Context) (eventstore.Head, error)
	Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error]
	ReadStream(ctx context.Context, s event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error]
	ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error]
	Append(ctx context.Context, s event.Stream, a wire.Append) (wire.Appended, error)
	Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error
	Verify(ctx context.Context, report func(eventstore.Fault)) (eventstore.Verified, error)
	ListTables(ctx context.Context) ([]table.Info, error)
	QueryTable(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error)
	ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error]
	CountParked(ctx context.Context, f poison.Filter) (int64, time.Time, error)
	EditParked(ctx context.Context, id int64, payload []byte) error
	RetryParked(ctx context.Context, f poison.Filter) (int64, error)
	DropParked(ctx context.Context, f poison.Filter) (int64, error)
	Close() error
}

var (
	_ access = (*client.Client)(nil)
	_ access = atRest{}
)

// atRest is a store that this process has opened.
type atRest struct{ eventstore.Store }

// Append implements access.
func (s atRest) Append(ctx context.Context, stream event.Stream, a wire.Append) (wire.Appended, error) {
	u, err := wire.UnitOf(stream, a)
	if err != nil {
		return wire.Appended{}, &exitError{code: exitUsage, err: err}
	}
	if err := s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return wire.Appended{}, err
	}
	if u.Result.Status == eventstore.Refused {
		return wire.Appended{}, u.Result.Err
	}
	return wire.AppendedOf(stream, u.Result.Written[0]), nil
}

// ListTables implements access.
func (s atRest) ListTables(ctx context.Context) ([]table.Info, error) { return s.Tables().Tables(ctx) }

// QueryTable implements access.
func (s atRest) QueryTable(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	return s.Tables().Query(ctx, q)
}

// RetryParked implements access: the pipeline takes the entries up when it runs.
func (s atRest) RetryParked(ctx context.Context, f poison.Filter) (int64, error) {
	return s.SetParked(ctx, f, poison.Retrying)
}

// place says where the store of a command is.
type place struct {
	data   string
	server string
	store  string
	files  []string
}

func (p *place) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.data, "data", "", "directory of a SQLite store (default $LEAT_DATA, else ./data)")
	c.Flags().StringArrayVarP(&p.files, "file", "f", nil, "pipeline file that names the store; may also stand among the arguments")
	c.Flags().StringVar(&p.server, "server", "", "address of a running daemon, host:port or https://host:port (default $LEAT_SERVER)")
	c.Flags().StringVar(&p.store, "store", "main", "name of the store")
	_ = c.MarkFlagDirname("data")
	_ = c.MarkFlagFilename("file", "yaml", "yml")
	c.MarkFlagsMutuallyExclusive("data", "server")
}

// isFile reports whether an argument names a pipeline file and not a stream, table or id.
func isFile(arg string) bool {
	switch strings.ToLower(filepath.Ext(arg)) {
	case ".yaml", ".yml":
		return true
	}
	return false
}

// take puts the pipeline files among the arguments aside and gives the rest.
func (p *place) take(args []string) (rest []string) {
	for _, arg := range args {
		if isFile(arg) {
			p.files = append(p.files, arg)
		} else {
			rest = append(rest, arg)
		}
	}
	return rest
}

// open finds the store. Reading opens it beside a daemon that writes; writing is refused while one has it.
func (a *app) open(ctx context.Context, p *place, write bool) (access, error) {
	server := p.server
	if v, ok := a.env("LEAT_SERVER"); ok && server == "" && p.data == "" && len(p.files) == 0 {
		server = v
	}
	if server != "" {
		c, err := a.connectTo(server, p.store)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	plugin, err := a.findStore(p)
	if err != nil {
		return nil, err
	}
	st, err := eventstore.Open(ctx, plugin, eventstore.Env{Log: slog.New(slog.DiscardHandler), Now: a.now, ReadOnly: !write})
	if err != nil {
		return nil, openFailed(err, write)
	}
	return atRest{st}, nil
}

func openFailed(err error, write bool) error {
	switch {
	case errors.Is(err, eventstore.ErrLocked) && write:
		return environment(fmt.Errorf("%w\nA daemon writes to this store. Ask it instead (--server ADDRESS or LEAT_SERVER), or stop it first", err))
	case errors.Is(err, fs.ErrNotExist):
		return environment(fmt.Errorf("%w\nName the store by --data DIR, a pipeline file, or --server ADDRESS of a running daemon", err))
	}
	return environment(err)
}

// findStore gives the plugin key of the store that p names.
func (a *app) findStore(p *place) (config.Plugin, error) {
	if p.data != "" || len(p.files) == 0 {
		return a.dataStore(p.data)
	}
	cfg, diags := config.Load(p.files, config.Options{Env: a.env})
	telemetry.HideSecrets(cfg)
	// A command on the store needs the part about stores alone: that a source's variable is not set is no obstacle.
	var relevant config.Diagnostics
	for _, d := range diags {
		if d.Severity == config.Error && (d.Path == "" || d.Path == "stores" || strings.HasPrefix(d.Path, "stores.")) {
			relevant = append(relevant, d)
		}
	}
	if len(relevant) > 0 {
		return config.Plugin{}, a.diagnose(relevant)
	}
	plugin, ok := cfg.Stores[p.store]
	if !ok {
		names := make([]string, 0, len(cfg.Stores))
		for name := range cfg.Stores {
			names = append(names, name)
		}
		return config.Plugin{}, usagef("%s has no store %q, only %s", strings.Join(p.files, ", "), p.store, list(names))
	}
	return plugin, nil
}

// dataStore is the default store in a directory: what a config without `stores` uses.
func (a *app) dataStore(dir string) (config.Plugin, error) {
	env := a.env
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return config.Plugin{}, environment(err)
		}
		if info, err := os.Stat(abs); err == nil && !info.IsDir() {
			return config.Plugin{}, usagef("--data wants a directory, and %s is none", dir)
		}
		env = func(name string) (string, bool) {
			if name == "LEAT_DATA" {
				return abs, true
			}
			return a.env(name)
		}
	}
	cfg, diags := config.LoadBytes("default", []byte("pipelines: {}\n"), config.Options{Env: env})
	if plugin, ok := cfg.Stores["main"]; ok {
		return plugin, nil
	}
	if err := diags.Err(); err != nil {
		return config.Plugin{}, usagef("%w", err)
	}
	return config.Plugin{}, usagef("this build has no default store: name a pipeline file, or --server of a running daemon")
}

// diagnose writes diagnostics and gives the error that ends the command.
func (a *app) diagnose(ds config.Diagnostics) error {
	for i := range ds {
		if a.json {
			_ = writeLine(a.err, ds[i])
		} else if !a.quiet || ds[i].Severity == config.Error {
			fmt.Fprint(a.err, telemetry.Redact(ds[i].Text(a.color())))
		}
	}
	if !ds.HasErrors() {
		return nil
	}
	errs, warnings := ds.Count()
	if !a.json {
		fmt.Fprintln(a.err, countOf(errs, warnings))
	}
	return exit(exitUsage)
}

func countOf(errs, warnings int) string {
	s := count(int64(errs), "error")
	if warnings > 0 {
		s += ", " + count(int64(warnings), "warning")
	}
	return s
}
