package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// post is the place of one pipeline in a daemon. A pipeline runs once; what takes its place after a reload or a pause
// is another pipe at the same post.
type post struct {
	cfg    *config.Pipeline
	tables map[string]*config.Table
	print  string // fingerprint of what it runs

	// turn is held by whoever changes what runs here.
	turn sync.Mutex

	// What follows is guarded by Daemon.mu.
	pipe *pipe
	// paused is control.PausedAll, PausedIntake, or "".
	paused   string
	changing bool
	stop     context.CancelFunc // nil where nothing was started
	over     chan struct{}      // closed when the run is over
	err      error
	before   PipelineSummary // what earlier pipes at this post did
}

// newPost makes a post with a pipe that is not open yet.
func (d *Daemon) newPost(c *config.Pipeline, tables map[string]*config.Table) (*post, error) {
	x := &post{cfg: c, tables: tables, print: printOf(c, tables)}
	p, err := d.newPipe(x)
	if err != nil {
		return nil, err
	}
	x.pipe = p
	return x, nil
}

// printOf is a fingerprint of all that makes a pipeline what it is.
func printOf(c *config.Pipeline, tables map[string]*config.Table) string {
	used := map[string]*config.Table{}
	for _, s := range config.AllSteps(c.Steps) {
		if s.Project != nil && tables[s.Project.Table] != nil {
			used[s.Project.Table] = tables[s.Project.Table]
		}
	}
	return config.Fingerprint(*c) + config.Fingerprint(used)
}

func (d *Daemon) newPipe(x *post) (*pipe, error) {
	s, ok := d.Store(x.cfg.Store)
	if !ok {
		return nil, fmt.Errorf("pipeline %s: no store is called %q", x.cfg.Name, x.cfg.Store)
	}
	env := environment{log: d.o.Log, metrics: d.o.Metrics, now: d.o.Now, clock: d.o.Clock, random: d.o.Random, instance: d.instance, database: d.database, tables: x.tables,
		sourceOf: d.openSource, sinkOf: d.openSink, handlerOf: d.openHandler, lookupOf: d.openLookup, hub: d.hub, tracer: d.o.Tracer, logOf: d.logOf}
	return newPipe(x.cfg, s, env)
}

// pausedIn reads whether a pipeline was paused.
func pausedIn(ctx context.Context, s eventstore.Store, pipeline string) (string, error) {
	v, err := s.Cursor(ctx, pipeline, control.PauseKey)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	if v != control.PausedAll && v != control.PausedIntake {
		v = ""
	}
	return v, nil
}

// openPost opens the pipe of a post, unless it is paused.
func (d *Daemon) openPost(ctx context.Context, x *post) error {
	paused, err := pausedIn(ctx, x.pipe.store, x.cfg.Name)
	if err == nil {
		d.mu.Lock()
		x.paused = paused
		d.mu.Unlock()
		d.o.Metrics.Paused(x.cfg.Name, paused)
		x.pipe.resting = paused == control.PausedIntake
		switch paused {
		case control.PausedAll:
			x.pipe.setState("paused")
			d.o.Log.Warn("the pipeline is paused", "pipeline", x.cfg.Name)
			return nil
		case control.PausedIntake:
			d.o.Log.Warn("the pipeline's intake is paused", "pipeline", x.cfg.Name)
		}
		err = x.pipe.open(ctx)
	}
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", x.cfg.Name, err)
	}
	return nil
}

// launch lets the open pipe of a post run.
func (d *Daemon) launch(x *post) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.paused == control.PausedAll {
		return
	}
	p, over := x.pipe, make(chan struct{})
	var ctx context.Context
	ctx, x.stop = context.WithCancel(d.soft)
	x.over, x.err = over, nil
	p.takeUp = func() { d.resumeWorks(x) }
	go func() {
		err := p.run(ctx, d.hard)
		d.mu.Lock()
		x.err = err
		first := !d.announced
		d.mu.Unlock()
		close(over)
		select {
		case <-p.started:
		default:
			if first {
				d.endSoft() // one that does not even start is a mistake to be mended: the others are not left alone with it
			}
		}
		d.settle()
	}()
}

// settle looks whether there is anything left to wait for.
func (d *Daemon) settle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	stopping := d.soft.Err() != nil
	if !stopping && (d.o.Stay || len(d.posts) == 0) {
		return
	}
	for _, x := range d.posts {
		switch {
		case x.changing:
			return
		case x.over == nil:
			if !stopping {
				return // paused: it may go on
			}
		default:
			select {
			case <-x.over:
				if x.paused == control.PausedAll && !stopping {
					return
				}
			default:
				return
			}
		}
	}
	select {
	case <-d.finished:
	default:
		close(d.finished)
	}
}

// halt drains what runs at a post and waits for it.
func (d *Daemon) halt(x *post) {
	d.mu.Lock()
	stop, over := x.stop, x.over
	d.mu.Unlock()
	if stop != nil {
		stop()
		<-over
	}
}

// errStopping says that a daemon takes no more orders.
var errStopping = &control.BusyError{Why: "the daemon is stopping"}

// change drains what runs at a post, closes it, and lets next take its place; where that cannot be opened, the error is
// given and back, if it is not nil, takes the place instead.
func (d *Daemon) change(x *post, next, back func(x *post)) error {
	d.mu.Lock()
	if d.soft.Err() != nil {
		d.mu.Unlock()
		return errStopping
	}
	x.changing = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		x.changing = false
		d.mu.Unlock()
		d.vacate(x.cfg.Name)
		d.settle()
	}()
	d.halt(x)
	old := x.pipe
	d.mu.Lock()
	x.before = add(x.before, old.summary())
	d.mu.Unlock()
	if err := old.close(); err != nil {
		d.o.Log.Warn("the pipeline was not closed cleanly", "pipeline", x.cfg.Name, "error", err)
	}
	err := d.renew(x, next)
	if err == nil || back == nil {
		return err
	}
	if again := d.renew(x, back); again != nil {
		return errors.Join(err, fmt.Errorf("and what ran before does not start again: %w", again))
	}
	return err
}

// renew puts a new pipe at a post and starts it.
func (d *Daemon) renew(x *post, set func(x *post)) error {
	set(x)
	p, err := d.newPipe(x)
	if err != nil {
		return err
	}
	d.mu.Lock()
	x.pipe, x.stop, x.over = p, nil, nil
	d.pipes = slices.Clone(d.pipes)
	for i := range d.posts {
		if d.posts[i] == x {
			d.pipes[i] = p
		}
	}
	d.mu.Unlock()
	if err := d.openPost(d.hard, x); err != nil {
		err = errors.Join(err, p.close())
		p.fallOver(err)
		return err
	}
	d.launch(x)
	return nil
}

// fallOver notes that a pipe could not be opened.
func (p *pipe) fallOver(err error) {
	p.trouble.set("pipeline", err)
	p.setState("failed")
}

// add sums what two pipes at one post did.
func add(a, b PipelineSummary) PipelineSummary {
	b.Received += a.Received
	b.Committed += a.Committed
	b.Delivered += a.Delivered
	b.Filtered += a.Filtered
	b.Duplicate += a.Duplicate
	b.Dropped += a.Dropped
	b.Poisoned += a.Poisoned
	b.Released += a.Released
	b.Projected += a.Projected
	b.Forwarded += a.Forwarded
	b.RelayPoisoned += a.RelayPoisoned
	return b
}

// watchPauses takes up what other processes have paused or resumed, or left behind of rebuilds and replays, in stores that several may have open.
func (d *Daemon) watchPauses(ctx context.Context) {
	tick := d.o.Clock.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, x := range d.postsNow() {
			if _, shared := x.pipe.store.(eventstore.Replicas); !shared {
				continue
			}
			if err := d.syncPause(ctx, x); err != nil && ctx.Err() == nil {
				d.o.Log.Warn("it could not be seen whether the pipeline is paused", "pipeline", x.cfg.Name, "error", err)
			}
			d.watchWorks(x)
		}
	}
}

func (d *Daemon) postsNow() []*post {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.posts)
}

func (d *Daemon) postOf(name string) (*post, error) {
	unknown := &control.UnknownError{Kind: "pipeline", Name: name}
	for _, x := range d.postsNow() {
		if x.cfg.Name == name {
			return x, nil
		}
		unknown.Have = append(unknown.Have, x.cfg.Name)
	}
	return nil, unknown
}
