package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/tap"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// ErrUndelivered says that the input has ended and the drain's deadline passed with events that no target has. They are
// in the log, or went back to their source: the next run delivers them.
var ErrUndelivered = errors.New("pipeline: the deadline passed before everything was delivered; the next run goes on there")

// Daemon runs the pipelines of a configuration.
type Daemon struct {
	cfg    *config.Config
	first  *config.Config // as it was started
	o      Options
	mu     sync.Mutex
	stores map[string]eventstore.Store
	// databases are those that tables lie in besides the stores'.
	databases map[string]table.Database
	// posts are the pipelines in the order of the files; pipes are what runs at each. Both are replaced, never changed.
	posts  []*post
	pipes  []*pipe
	shared map[string]any
	hubs   map[string]*tap.Hub
	slots  map[string]*slot // by pattern
	loaded control.Config
	// reloading is held by the one reload at a time; removed is what pipelines did that are gone.
	reloading sync.Mutex
	works     []*job
	removed   []PipelineSummary
	// soft ends when nothing more is to be begun, hard when nothing may go on.
	soft, hard context.Context
	endSoft    context.CancelFunc
	started    chan struct{} // closed when every pipeline takes events
	announced  bool
	finished   chan struct{} // closed when there is nothing left to wait for
	opened     bool
	unique     string
}

// New makes a daemon; nothing is opened before Run.
func New(cfg *config.Config, o Options) *Daemon {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Clock = clock.Or(o.Clock)
	if o.Now == nil {
		o.Now = o.Clock.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.OpenStore == nil {
		o.OpenStore = func(ctx context.Context, name string, p config.Plugin) (eventstore.Store, error) {
			return eventstore.Open(ctx, p, eventstore.Env{Log: o.Log, Now: o.Now, Metrics: o.Metrics.Store(name)})
		}
	}
	if o.OpenDatabase == nil {
		o.OpenDatabase = func(ctx context.Context, _ string, p config.Plugin) (table.Database, error) {
			return table.Open(ctx, p)
		}
	}
	if o.OpenSink == nil {
		o.OpenSink = sinks.Open
	}
	if o.OpenSource == nil {
		o.OpenSource = sources.Open
	}
	if o.OpenHandler == nil {
		o.OpenHandler = handlers.Open
	}
	return &Daemon{unique: unique(), cfg: cfg, first: cfg, o: o, stores: map[string]eventstore.Store{}, databases: map[string]table.Database{}, shared: map[string]any{}, hubs: map[string]*tap.Hub{}, slots: map[string]*slot{}, started: make(chan struct{}), finished: make(chan struct{})}
}

// Run opens the stores and runs every pipeline until its input has ended and its relays have reached the head of the
// log, or until ctx ends: then it drains. Without pipelines the stores stay open until ctx ends. When hard ends it stops at once. What was not delivered is ErrUndelivered.
func (d *Daemon) Run(ctx, hard context.Context) (Summary, error) {
	d.hard = hard
	d.soft, d.endSoft = context.WithCancel(ctx)
	defer d.endSoft()
	if err := d.open(hard); err != nil {
		return Summary{}, errors.Join(err, d.close())
	}
	for _, x := range d.posts {
		d.launch(x)
	}
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { d.announce(ended) })
	work.Go(func() { d.watchPauses(d.soft) })
	defer context.AfterFunc(d.soft, d.settle)()
	d.settle()
	<-d.finished
	close(ended)
	d.endSoft()
	work.Wait()
	var errs []error
	for _, x := range d.posts {
		errs = append(errs, x.err)
	}
	err := errors.Join(errs...)
	s := d.Summary()
	for i, p := range d.pipes {
		// What waits behind a relay that is paused waits by somebody's wish.
		if n := s.Pipelines[i].Undelivered - p.pausedWork() + s.Pipelines[i].Released; p.ended && n > 0 {
			err = errors.Join(err, fmt.Errorf("pipeline %s: %d undelivered: %w", p.cfg.Name, n, ErrUndelivered))
		}
	}
	return s, errors.Join(err, d.close())
}

// announce closes started when every pipeline takes events.
func (d *Daemon) announce(ended <-chan struct{}) {
	for _, x := range d.postsNow() {
		if x.over == nil {
			continue // paused
		}
		select {
		case <-x.pipe.started:
		case <-ended:
			return
		}
	}
	d.mu.Lock()
	d.announced = true
	d.mu.Unlock()
	close(d.started)
}

func (d *Daemon) open(ctx context.Context) error {
	if err := d.openStores(ctx, d.cfg); err != nil {
		return err
	}
	for _, c := range d.cfg.Pipelines {
		x, err := d.newPost(c, d.cfg.Tables)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.posts, d.pipes = append(d.posts, x), append(d.pipes, x.pipe)
		d.mu.Unlock()
		if err := d.openPost(ctx, x); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.opened = true
	d.loaded.Hash, d.loaded.Loaded = hashOf(d.cfg), d.o.Now()
	d.mu.Unlock()
	d.o.Metrics.Config(d.loaded.Hash)
	d.o.Metrics.Loaded(d.loaded.Loaded)
	return nil
}

// openStores opens those of a config that are not open yet.
func (d *Daemon) openStores(ctx context.Context, cfg *config.Config) error {
	for _, name := range storeNames(cfg) {
		if _, open := d.Store(name); open {
			continue
		}
		plugin, ok := cfg.Stores[name]
		if !ok {
			return fmt.Errorf("pipeline: no store is called %q", name)
		}
		s, err := d.o.OpenStore(ctx, name, plugin)
		if err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		d.mu.Lock()
		d.stores[name] = s
		d.mu.Unlock()
	}
	return d.openDatabases(ctx, cfg)
}

// storeNames lists the stores that pipelines use; without pipelines all that are configured.
func storeNames(cfg *config.Config) []string {
	used := map[string]bool{}
	for _, p := range cfg.Pipelines {
		used[p.Store] = true
		for _, s := range config.AllSteps(p.Steps) {
			if s.Lookup != nil && s.Lookup.Store != "" {
				used[s.Lookup.Store] = true
			}
		}
		if sel, ok := p.LogSelection(); ok {
			used[sel.Store] = true
		}
	}
	if len(used) == 0 {
		return slices.Sorted(maps.Keys(cfg.Stores))
	}
	return slices.Sorted(maps.Keys(used))
}

// unique makes a name that no other process has: host, process and chance, as processes of containers share numbers.
func unique() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%08x", host, os.Getpid(), rand.Uint32())
}

// instance gives the name by which the daemon owns leases in a store.
func (d *Daemon) instance(s eventstore.Store) string {
	switch _, shared := s.(eventstore.Replicas); {
	case d.o.Instance != "":
		return d.o.Instance
	case shared:
		return d.unique
	}
	return "local"
}

func (d *Daemon) close() error {
	var errs []error
	for _, p := range d.pipes {
		if err := p.close(); err != nil {
			errs = append(errs, fmt.Errorf("pipeline %s: close: %w", p.cfg.Name, err))
		}
	}
	for name, db := range d.databases {
		if err := db.Close(); err != nil {
			errs = append(errs, fmt.Errorf("database %s: close: %w", name, err))
		}
	}
	for name, s := range d.stores {
		if err := s.Close(); err != nil {
			errs = append(errs, fmt.Errorf("store %s: close: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Started is closed when every pipeline takes events.
func (d *Daemon) Started() <-chan struct{} { return d.started }

// Ready gives nil when every pipeline runs and none is in trouble; else the trouble in words.
func (d *Daemon) Ready() error {
	d.mu.Lock()
	opened, pipes := d.opened, d.pipes
	changing := map[string]bool{}
	for _, x := range d.posts {
		changing[x.cfg.Name] = x.changing
	}
	d.mu.Unlock()
	if !opened {
		return errors.New("starting")
	}
	var errs []error
	for _, p := range pipes {
		p.mu.Lock()
		state := p.state
		p.mu.Unlock()
		if changing[p.cfg.Name] {
			continue // its listener answers for it meanwhile
		}
		if state != "running" && state != "finishing" && state != "paused" {
			errs = append(errs, fmt.Errorf("pipeline %s is %s", p.cfg.Name, state))
		}
		if err := p.trouble.err(); err != nil {
			errs = append(errs, fmt.Errorf("pipeline %s: %w", p.cfg.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Summary counts what was done so far.
func (d *Daemon) Summary() Summary {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s Summary
	for _, x := range d.posts {
		s.Pipelines = append(s.Pipelines, add(x.before, x.pipe.summary()))
	}
	return s
}

// Status tells what the pipelines are doing.
func (d *Daemon) Status() Status {
	d.mu.Lock()
	posts := slices.Clone(d.posts)
	s := Status{Config: d.loaded}
	d.mu.Unlock()
	s.Works = d.Works()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, x := range posts {
		d.mu.Lock()
		p, before, paused := x.pipe, x.before, x.paused
		d.mu.Unlock()
		st := p.status(ctx)
		st.PipelineSummary = add(before, st.PipelineSummary)
		st.Paused = paused
		s.Pipelines = append(s.Pipelines, st)
	}
	return s
}

// StoreNames gives the names of the open stores, in order.
func (d *Daemon) StoreNames() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.stores))
}

// Store gives an open store.
func (d *Daemon) Store(name string) (eventstore.Store, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.stores[name]
	return s, ok
}

// RetryPoison wakes the retry of entries in state retrying; "" wakes all pipelines.
func (d *Daemon) RetryPoison(_ context.Context, pipeline string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.pipes {
		if pipeline == "" || p.cfg.Name == pipeline {
			select {
			case p.retryWake <- struct{}{}:
			default:
			}
		}
	}
}

// DropPoison removes parked entries and wakes what was held behind them.
func (d *Daemon) DropPoison(ctx context.Context, store string, f poison.Filter) (int64, error) {
	s, ok := d.Store(store)
	if !ok {
		return 0, fmt.Errorf("pipeline: no store is called %q", store)
	}
	n, err := s.DropParked(ctx, f)
	d.RetryPoison(ctx, "")
	return n, err
}
