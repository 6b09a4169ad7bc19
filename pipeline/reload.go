package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/control"
)

// hashOf is a hash over what a configuration means, without secrets.
func hashOf(cfg *config.Config) string {
	var b strings.Builder
	for _, p := range cfg.Pipelines {
		b.WriteString(config.Meaning(*p))
	}
	b.WriteString(config.Meaning(cfg.Tables))
	b.WriteString(config.Meaning(cfg.Stores))
	b.WriteString(config.Meaning(cfg.Server))
	b.WriteString(config.Meaning(cfg.Telemetry))
	return config.Hash(b.String())
}

// Reload lets the daemon run another configuration. Each pipeline whose meaning differs is drained and started anew,
// one after another, pipelines that are gone are drained, new ones are started; the others are not touched. Where
// something in cfg cannot work at all nothing is changed and the error says why. A pipeline that cannot be opened goes
// on as it was. Changes of the listener and of open stores are for the next start; they are said.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) (control.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	out, err := d.reload(ctx, cfg)
	d.mu.Lock()
	switch {
	case err != nil:
		d.loaded.Failed++
		d.loaded.Error = err.Error()
		d.o.Metrics.Reload("failed")
	case len(out.Added)+len(out.Changed)+len(out.Removed) == 0:
		d.o.Metrics.Reload("unchanged")
		d.loaded.Error = ""
	default:
		d.loaded.Reloads++
		d.loaded.Error = ""
		d.o.Metrics.Reload("applied")
	}
	if err == nil {
		d.loaded.Hash, d.loaded.Loaded, d.loaded.Pending = hashOf(cfg), d.o.Now(), out.Pending
		d.o.Metrics.Config(d.loaded.Hash)
		d.o.Metrics.Loaded(d.loaded.Loaded)
	}
	hash := d.loaded.Hash
	d.mu.Unlock()
	for _, p := range out.Pending {
		d.o.Log.Warn("a change of the configuration needs a restart", "change", p)
	}
	if err != nil {
		d.o.Log.Error("the configuration was not reloaded; what ran before goes on", "error", err)
		return out, err
	}
	d.o.Log.Info("the configuration is reloaded", "hash", hash, "added", out.Added, "changed", out.Changed, "removed", out.Removed, "unchanged", len(out.Unchanged))
	return out, nil
}

// ConfigHash gives the hash over what the files mean by which the daemon runs, as leat_config_info has it.
func (d *Daemon) ConfigHash() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loaded.Hash
}

// NotReloaded notes that a configuration could not even be read.
func (d *Daemon) NotReloaded(why error) {
	d.mu.Lock()
	d.loaded.Failed++
	d.loaded.Error = why.Error()
	d.mu.Unlock()
	d.o.Metrics.Reload("failed")
	d.o.Log.Error("the configuration was not reloaded; what ran before goes on", "error", why)
}

func (d *Daemon) reload(ctx context.Context, cfg *config.Config) (control.Reloaded, error) {
	var out control.Reloaded
	if d.soft.Err() != nil {
		return out, errStopping
	}
	out.Pending = d.pending(cfg)
	have := map[string]*post{}
	for _, x := range d.postsNow() {
		have[x.cfg.Name] = x
	}
	if err := d.openStores(ctx, cfg); err != nil {
		return out, err
	}
	// Everything is planned before anything is changed.
	type plannedChange struct {
		x    *post
		next *post // its config alone counts where x is there already
	}
	var todo []plannedChange
	var order []string
	for _, c := range cfg.Pipelines {
		order = append(order, c.Name)
		x := have[c.Name]
		if x != nil && x.print == printOf(c, cfg.Tables) && !d.failed(x) {
			out.Unchanged = append(out.Unchanged, c.Name)
			continue
		}
		next, err := d.newPost(c, cfg.Tables)
		if err != nil {
			return out, err
		}
		if x == nil {
			out.Added = append(out.Added, c.Name)
		} else {
			if x.cfg.Store != c.Store {
				return out, &control.RefusedError{Why: fmt.Sprintf("pipeline %s moves from store %s to %s: that needs a restart", c.Name, x.cfg.Store, c.Store)}
			}
			out.Changed = append(out.Changed, c.Name)
		}
		todo = append(todo, plannedChange{x, next})
	}
	for name := range have {
		if !slices.Contains(order, name) {
			out.Removed = append(out.Removed, name)
		}
	}
	slices.Sort(out.Removed)

	// What goes away frees tables, queues and paths that others may take over.
	var errs []error
	for _, name := range out.Removed {
		errs = append(errs, d.remove(have[name]))
	}
	for _, t := range todo {
		if t.x == nil {
			errs = append(errs, d.addPost(ctx, t.next, order))
			continue
		}
		errs = append(errs, d.reloadPost(t.x, t.next))
	}
	d.mu.Lock()
	d.sortPosts(order)
	d.cfg = cfg
	d.mu.Unlock()
	return out, errors.Join(errs...)
}

// failed reports whether what runs at a post ended by a fault.
func (d *Daemon) failed(x *post) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return x.err != nil || x.pipe.failed()
}

func (p *pipe) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == "failed"
}

// reloadPost lets a pipeline go on by another config, or by its old one where the new cannot be opened.
func (d *Daemon) reloadPost(x, next *post) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	was := post{cfg: x.cfg, tables: x.tables, print: x.print}
	set := func(from *post) func(*post) {
		return func(x *post) {
			d.mu.Lock()
			defer d.mu.Unlock()
			x.cfg, x.tables, x.print = from.cfg, from.tables, from.print
		}
	}
	if err := d.change(x, set(next), set(&was)); err != nil {
		return fmt.Errorf("the new %s does not start, the one before goes on: %w", x.cfg.Name, err)
	}
	return nil
}

func (d *Daemon) addPost(ctx context.Context, x *post, order []string) error {
	d.mu.Lock()
	d.posts, d.pipes = append(slices.Clone(d.posts), x), append(slices.Clone(d.pipes), x.pipe)
	d.sortPosts(order)
	d.mu.Unlock()
	if err := d.openPost(ctx, x); err != nil {
		err = errors.Join(err, x.pipe.close())
		x.pipe.fallOver(err)
		return err
	}
	d.launch(x)
	return nil
}

// remove drains a pipeline and forgets it. What the store keeps of it stays.
func (d *Daemon) remove(x *post) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	d.halt(x)
	d.mu.Lock()
	if i := slices.Index(d.posts, x); i >= 0 {
		d.posts = slices.Delete(slices.Clone(d.posts), i, i+1)
		d.pipes = slices.Delete(slices.Clone(d.pipes), i, i+1)
	}
	d.removed = append(d.removed, add(x.before, x.pipe.summary()))
	d.mu.Unlock()
	if err := x.pipe.close(); err != nil {
		d.o.Log.Warn("the pipeline was not closed cleanly", "pipeline", x.cfg.Name, "error", err)
	}
	d.vacate(x.cfg.Name)
	return x.err
}

// sortPosts brings the posts into the order of the files; d.mu is held.
func (d *Daemon) sortPosts(order []string) {
	at := func(x *post) int { return slices.Index(order, x.cfg.Name) }
	d.posts = slices.Clone(d.posts)
	slices.SortStableFunc(d.posts, func(a, b *post) int { return at(a) - at(b) })
	d.pipes = make([]*pipe, len(d.posts))
	for i, x := range d.posts {
		d.pipes[i] = x.pipe
	}
}

// pending names what differs in cfg and cannot be changed while the daemon runs.
func (d *Daemon) pending(cfg *config.Config) []string {
	var out []string
	was, now := d.first.Server, cfg.Server
	if was.Auth.Required() && now.Auth.Required() {
		was.Auth, now.Auth = config.Auth{}, config.Auth{} // the listener takes new keys at once
	}
	if config.Fingerprint(was) != config.Fingerprint(now) {
		out = append(out, "server")
	}
	if config.Fingerprint(d.first.Telemetry) != config.Fingerprint(cfg.Telemetry) {
		out = append(out, "telemetry")
	}
	for _, name := range slices.Sorted(maps.Keys(d.first.Stores)) {
		if _, open := d.Store(name); !open {
			continue
		}
		if now, there := cfg.Stores[name]; there && config.Fingerprint(d.first.Stores[name]) != config.Fingerprint(now) {
			out = append(out, "stores."+name)
		}
	}
	return out
}
