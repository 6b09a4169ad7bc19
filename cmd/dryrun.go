package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/sinks"
)

// dryRun runs pipelines on stores in memory, on top of the real ones, which are only read, and with sinks that only tell:
// their inputs are read, nothing is written.
// What would have been is printed on stdout, one JSON object a line: {"would": "append" | "project" | "forward" |
// "poison", …}.
type dryRun struct {
	mu     sync.Mutex
	out    *bufio.Writer
	stores map[string]eventstore.Store
	bases  map[string]eventstore.Store // what is read; none where there is no store yet
	// databases are those of tables that do not lie beside a store; nil: one that cannot be read.
	databases map[string]table.Database
}

// would is one line of a dry run.
type would struct {
	Would    string          `json:"would"`
	Store    string          `json:"store,omitempty"`
	Event    *wire.Event     `json:"event,omitempty"`
	Table    string          `json:"table,omitempty"`
	Row      json.RawMessage `json:"row,omitempty"`
	Pipeline string          `json:"pipeline,omitempty"`
	Relay    string          `json:"relay,omitempty"`
	Target   string          `json:"target,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
	Text     string          `json:"text,omitempty"`
	Parked   *wire.Parked    `json:"parked,omitempty"`
}

// dryRun changes o so that nothing outside is touched.
func (a *app) dryRun(cfg *config.Config, o *pipeline.Options) (*dryRun, error) {
	memory, ok := config.LookupPlugin(config.KindStore, "memory")
	if !ok {
		return nil, usagef("this build has no store in memory, which a dry run needs")
	}
	for _, p := range cfg.Pipelines {
		if listens(p.Source.Plugin.Name) {
			a.say("leat: %s takes events from others, who are told that they were accepted", p.Name)
		}
	}
	d := &dryRun{out: bufio.NewWriter(a.out), stores: map[string]eventstore.Store{}, bases: map[string]eventstore.Store{}, databases: map[string]table.Database{}}
	elsewhere := map[string]string{}
	for name, t := range cfg.Tables {
		if t.In != "" {
			elsewhere[name] = t.In
		}
	}
	cfg.Tables = config.InStores(cfg.Tables)
	o.OpenStore = func(ctx context.Context, name string, real config.Plugin) (eventstore.Store, error) {
		plugin := config.Plugin{Kind: config.KindStore, Name: memory.Name, Config: reflect.Zero(memory.Config).Interface()}
		st, err := eventstore.Open(ctx, plugin, eventstore.Env{Log: o.Log, Now: o.Now})
		if err != nil {
			return nil, err
		}
		base := a.openBase(ctx, name, real)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stores[name] = st
		if base == nil {
			return kept{st}, nil
		}
		d.bases[name] = base
		over := newDryStore(st, base, a.readElsewhere(ctx, d, cfg, base.Tables(), elsewhere), anew(cfg, name))
		d.stores[name] = over
		return over, nil
	}
	o.OpenLog = func(store string) eventstore.Reader {
		d.mu.Lock()
		defer d.mu.Unlock()
		if base, ok := d.bases[store]; ok {
			return base
		}
		return nil
	}
	o.OpenSink = func(_ context.Context, p config.Plugin, env sinks.Env) (sinks.Sink, error) {
		return &drySink{d: d, pipeline: env.Pipeline, relay: env.Relay, target: sinks.TargetOf(p)}, nil
	}
	return d, nil
}

// anew names the tables of a store that pipelines fill from a log alone: their relays read it from its beginning.
func anew(cfg *config.Config, store string) map[string]bool {
	out := map[string]bool{}
	for _, p := range cfg.Pipelines {
		steps := config.AllSteps(p.Steps)
		if p.Store != store || p.Source.Plugin.Name != "event_log" || p.Outbox || slices.ContainsFunc(steps, func(s *config.Step) bool { return s.Append != nil }) {
			continue
		}
		for _, s := range steps {
			if s.Project != nil {
				out[s.Project.Table] = true
			}
		}
	}
	return out
}

func listens(source string) bool { return source == "put_events" || source == "http" }

// kept is a store that outlives the daemon, for the report.
type kept struct{ eventstore.Store }

// Close implements eventstore.Store.
func (kept) Close() error { return nil }

type drySink struct {
	d                       *dryRun
	pipeline, relay, target string
}

// Write implements sinks.Sink.
func (s *drySink) Write(_ context.Context, batch []event.Recorded) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for i := range batch {
		w := would{Would: "forward", Pipeline: s.pipeline, Relay: s.relay, Target: s.target}
		if raw := batch[i].Raw; json.Valid(raw) {
			w.Body = raw
		} else {
			w.Text = string(raw)
		}
		if err := writeLine(s.d.out, w); err != nil {
			return fmt.Errorf("dry run: %w", err)
		}
	}
	return nil
}

// Close implements sinks.Sink.
func (s *drySink) Close() error { return nil }

// report prints what the stores hold and lets go of them.
func (d *dryRun) report(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.stores)) {
		errs = append(errs, d.reportStore(ctx, name, d.stores[name]))
		if over, ok := d.stores[name].(*dryStore); ok {
			errs = append(errs, over.Store.Close(), over.base.Close())
		} else {
			errs = append(errs, d.stores[name].Close())
		}
	}
	for _, db := range d.databases {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, d.out.Flush())...)
}

func (d *dryRun) reportStore(ctx context.Context, name string, st eventstore.Store) error {
	for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{}) {
		if err != nil {
			return err
		}
		if over, ok := st.(*dryStore); ok && over.wasThere(e) {
			continue
		}
		wire := wire.EventOf(e)
		if err := writeLine(d.out, would{Would: "append", Store: name, Event: &wire}); err != nil {
			return err
		}
	}
	tables := st.Tables()
	if over, ok := st.(*dryStore); ok {
		tables = over.Store.Tables() // the rows that were written alone
	}
	infos, err := tables.Tables(ctx)
	if err != nil {
		return err
	}
	for i := range infos {
		t := infos[i].Def.Name
		def, rows, err := tables.Query(ctx, table.Query{Table: t})
		if err != nil {
			return err
		}
		for row, err := range rows {
			if err == nil {
				err = writeLine(d.out, would{Would: "project", Store: name, Table: t, Row: table.AppendRowJSON(nil, &def, row)})
			}
			if err != nil {
				return err
			}
		}
	}
	for e, err := range st.ListParked(ctx, poison.Filter{}) {
		if err != nil {
			return err
		}
		if !utf8.ValidString(e.Reason) {
			e.Reason = "?"
		}
		wire := wire.ParkedOf(&e)
		if err := writeLine(d.out, would{Would: "poison", Store: name, Parked: &wire}); err != nil {
			return err
		}
	}
	return nil
}
