package pipeline

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/schemas"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// plan is a pipeline's configuration, compiled.
type plan struct {
	cfg *config.Pipeline
	// intake holds the steps up to the last append; without a log those above the first target.
	intake *program
	// eventMap makes events of plain bodies; nil where the YAML has none.
	eventMap *eventMap
	orderBy  *filter.Program
	// log is false where the pipeline appends nothing, and its targets get the source's events at once.
	log bool
	// reads is what an event_log source reads. Follows: the pipeline appends nothing, so that its targets read the log
	// by themselves, and nothing is taken in.
	reads   *config.LogSelection
	follows bool
	relays  []*relayPlan
	// inline are the projections that run in the append's transaction.
	inline []*relayPlan
	// handles are the steps that call handlers.
	handles []*handleStep
	// parallel is how many events of a batch may go through the intake's steps at a time: what those that wait for others allow.
	parallel int
	// waits: the intake has steps that wait for others (a handle, a lookup).
	waits bool
	// lookups are what the steps that look into tables share.
	lookups []*lookupMemo
}

// relayPlan is one target of a pipeline with the steps above it.
type relayPlan struct {
	id     string
	name   string // for people: the step's name, else kind and target
	was    string // the id that it had before, "" none
	kind   string // project or forward
	target string
	prog   *program
	// origins are those of the events that it reads.
	origins []string

	sink  config.Plugin
	table string
	// projects are the project steps into the table, in file order; items say which of them they are for.
	projects []config.Project

	// shard of how many; of is 0 where there is one alone.
	shard, of int

	frame      config.Step // of its first step
	retry      config.Retry
	definition string
}

const (
	kindProject = "project"
	kindForward = "forward"
)

func newPlan(c *config.Pipeline, wrong func(step string, err error)) (*plan, error) {
	steps := c.Steps
	if c.Outbox {
		steps = withOutbox(c)
	}
	if m, ok := c.Source.Plugin.Config.(sources.Matching); ok {
		if pattern := m.Match(); !pattern.IsZero() {
			steps = append([]config.Step{{Name: "source", Match: &pattern}}, steps...)
		}
	}
	b := &builder{pipeline: c.Name, tree: nodesOf(steps), retry: &c.Retry, wrong: wrong, plan: &plan{cfg: c}}
	p := b.plan
	p.log = lastIn(b.tree) >= 0
	roots := filter.Event
	if sel, ok := c.LogSelection(); ok {
		p.reads, p.follows, p.log = &sel, !p.log, true
		roots |= filter.Log
	}
	var intake []*node
	switch {
	case p.follows:
		b.ways = []way{{rest: b.tree}}
	case p.log:
		b.findWays(b.tree, nil, false, false)
		intake = upToLast(b.tree)
	default:
		cut := firstTarget(b.tree)
		intake = b.tree[:cut]
		b.ways = []way{{rest: b.tree[cut:]}}
	}
	var err error
	if p.intake, err = b.program(roots, intake, nil); err != nil {
		return nil, err
	}
	p.intake.collect = !p.log
	walk(intake, func(n *node) {
		if n.s.Handle != nil || n.s.Lookup != nil {
			p.waits, p.parallel = true, max(p.parallel, n.s.Limits.Parallel)
		}
	})
	if !c.Source.OrderBy.IsZero() {
		if p.orderBy, err = p.intake.scope.Compile(c.Source.OrderBy.Source, filter.Any); err != nil {
			return nil, fmt.Errorf("order_by: %w", err)
		}
	}
	if p.eventMap, err = compileEventMap(&c.Source.Event); err != nil {
		return nil, err
	}
	if err := p.addRelays(b); err != nil {
		return nil, err
	}
	p.intake.metadata = p.intake.metadata || readsMetadata(p.orderBy)
	return p, nil
}

// withOutbox puts the outbox's append before the first target.
func withOutbox(c *config.Pipeline) []config.Step {
	id := "id"
	if !c.Source.OrderBy.IsZero() {
		id = c.Source.OrderBy.Source
	}
	at := firstTarget(nodesOf(c.Steps))
	out := append([]config.Step{}, c.Steps[:at]...)
	out = append(out, config.Step{
		Name:   "outbox",
		Append: &config.Append{Stream: config.Text{Source: "$outbox." + c.Name + "/{{ " + id + " }}"}, OnConflict: config.OnConflict{Behind: "retry", Ahead: "retry"}},
	})
	return append(out, c.Steps[at:]...)
}

// relayKey says which relay a target step belongs to: kind and target, apart by name where it has one.
func relayKey(s *config.Step) (kind, target string) {
	if s.Project != nil {
		return kindProject, s.Project.Table
	}
	return kindForward, sinks.TargetOf(s.Forward.Sink)
}

// RelayID is a relay's identity: the pipeline, and the step's name or its kind and target; never an index.
func RelayID(pipeline string, s *config.Step) string {
	if s.Name != "" {
		return pipeline + "/" + s.Name
	}
	kind, target := relayKey(s)
	return pipeline + "/" + kind + " " + target
}

func (p *plan) addRelays(b *builder) error {
	var ids []string
	byID := map[string][]*node{}
	walk(b.tree, func(n *node) {
		if !n.target() {
			return
		}
		id := RelayID(b.pipeline, n.s)
		if n.s.Project != nil {
			// A table has one relay, whatever its steps are called; the first name is the relay's.
			for other, at := range byID {
				if o := at[0].s.Project; o != nil && o.Table == n.s.Project.Table {
					id = other
				}
			}
		}
		if byID[id] == nil {
			ids = append(ids, id)
		}
		byID[id] = append(byID[id], n)
	})
	for _, id := range ids {
		r, err := b.relay(id, byID[id])
		if err != nil {
			return err
		}
		if r.kind == kindProject && r.projects[0].Inline {
			p.inline = append(p.inline, r)
			continue
		}
		p.relays = append(p.relays, r)
	}
	return nil
}

// builder compiles the steps of one pipeline.
type builder struct {
	pipeline string
	tree     []*node
	ways     []way
	retry    *config.Retry
	wrong    func(step string, err error)
	plan     *plan
	sets     map[string]*schemas.Set // by folder
}

// program compiles a list of steps; of the targets among them only those in keep, which gives their numbers.
func (b *builder) program(roots filter.Roots, list []*node, keep map[*node]int) (*program, error) {
	p := &program{scope: filter.NewScope(roots | filter.Item), wrong: b.wrong}
	var err error
	p.steps, err = b.compile(p, list, nil, keep)
	return p, err
}

// compile gives the steps of a list with those that come after it. Behind a branch each case goes on with what follows.
func (b *builder) compile(p *program, list []*node, after []framed, keep map[*node]int) ([]framed, error) {
	if len(list) == 0 {
		return after, nil
	}
	n := list[0]
	rest, err := b.compile(p, list[1:], after, keep)
	if err != nil {
		return nil, err
	}
	if _, kept := keep[n]; n.target() && !kept {
		return rest, nil
	}
	f := framed{name: n.name, retry: n.s.Retry}
	if f.retry == nil {
		f.retry = b.retry
	}
	if !n.s.When.IsZero() {
		if f.when, err = p.scope.Compile(n.s.When.Source, filter.Bool); err != nil {
			return nil, fmt.Errorf("%s: when: %w", f.name, err)
		}
		p.metadata = p.metadata || readsMetadata(f.when)
	}
	if n.cases != nil {
		f.fork, err = b.fork(p, n, rest, keep)
	} else {
		f.step, err = b.step(p, n, keep)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	f.many, _ = f.step.(fanning)
	p.metadata = p.metadata || strings.Contains(describe(*n.s), "metadata") // any text that names it
	return append([]framed{f}, rest...), nil
}

func (b *builder) fork(p *program, n *node, rest []framed, keep map[*node]int) (*forkStep, error) {
	f := &forkStep{}
	for i := range n.cases {
		c := n.cases[i].c
		way := forkCase{}
		var err error
		switch {
		case c.Match != nil:
			way.match, err = pattern.Compile(c.Match.JSON)
		case !c.When.IsZero():
			way.when, err = p.scope.Compile(c.When.Source, filter.Bool)
		}
		if err != nil {
			return nil, fmt.Errorf("case %d: %w", i+1, err)
		}
		if way.steps, err = b.compile(p, n.cases[i].steps, rest, keep); err != nil {
			return nil, err
		}
		f.cases = append(f.cases, way)
	}
	return f, nil
}

func (b *builder) step(p *program, n *node, keep map[*node]int) (step, error) {
	s := n.s
	switch {
	case s.Filter != nil:
		cond, err := p.scope.Compile(s.Filter.Source, filter.Bool)
		return &filterStep{cond: cond, name: n.name}, err
	case s.Match != nil:
		m, err := pattern.Compile(s.Match.JSON)
		return &matchStep{pattern: m}, err
	case s.Map != nil:
		return compileMap(p.scope, s.Map)
	case s.Validate != nil:
		return b.validate(p, s)
	case s.Lookup != nil:
		return b.lookup(p, n)
	case s.Split != nil:
		return compileSplit(p.scope, s.Split)
	case s.Handle != nil:
		return b.handle(n), nil
	case s.Append != nil:
		a, err := compileAppend(p.scope, s.Append)
		if err != nil {
			return nil, err
		}
		a.stamp, a.last, a.retry, a.origin = n.name, n.last, s.Retry, n.origin
		a.ownLog = b.plan.reads != nil && b.plan.reads.Store == b.plan.cfg.Store
		return a, nil
	case s.Project != nil:
		return &projectStep{op: keep[n]}, nil
	case s.Forward != nil:
		return compileForward(p.scope, s.Forward)
	}
	return nil, fmt.Errorf("pipeline: the step at %s:%d has no kind", s.Pos.File, s.Pos.Line)
}

func readsMetadata(p *filter.Program) bool {
	if p == nil {
		return false
	}
	for _, path := range p.Paths() {
		if path == "metadata" || strings.HasPrefix(path, "metadata.") || strings.HasPrefix(path, "metadata[") {
			return true
		}
	}
	return false
}

func (b *builder) relay(id string, at []*node) (*relayPlan, error) {
	first := at[0].s
	r := &relayPlan{id: id, frame: *first, name: strings.TrimPrefix(id, b.pipeline+"/")}
	r.kind, r.target = relayKey(first)
	if first.Was != "" {
		r.was = b.pipeline + "/" + first.Was
	}
	keep := map[*node]int{}
	for i, n := range at {
		keep[n] = i
		if n.s.Project != nil {
			r.table = n.s.Project.Table
			r.projects = append(r.projects, *n.s.Project)
		} else {
			r.sink = n.s.Forward.Sink
		}
	}
	r.prog = &program{scope: filter.NewScope(filter.Event | filter.Log | filter.Item), wrong: b.wrong, byOrigin: map[string][]framed{}}
	var text strings.Builder
	for _, w := range b.ways {
		list, some := prune(w.rest, keep, false)
		if !some {
			continue
		}
		steps, err := b.compile(r.prog, list, nil, keep)
		if err != nil {
			return nil, err
		}
		if w.origin != b.pipeline && w.origin != "" {
			text.WriteString(w.origin + ": ")
		}
		for _, n := range list {
			text.WriteString(describe(n.plain()))
		}
		r.prog.byOrigin[w.origin] = steps
		r.origins = append(r.origins, w.origin)
		r.prog.steps = steps
	}
	r.definition = hash(text.String())
	return r, nil
}

// eventMap makes an event of a plain body: the source frame's `event`.
type eventMap struct {
	prog *program
	fns  [5]*filter.Program // id type source subject time
	data *filter.Program
}

func compileEventMap(c *config.EventMap) (*eventMap, error) {
	m := &eventMap{prog: &program{scope: filter.NewScope(filter.Event)}}
	some := false
	for i, x := range []config.Expr{c.ID, c.Type, c.Source, c.Subject, c.Time, c.Data} {
		if x.IsZero() {
			continue
		}
		some = true
		p, err := m.prog.scope.Compile(x.Source, filter.Any)
		if err != nil {
			return nil, fmt.Errorf("event: %w", err)
		}
		m.prog.metadata = m.prog.metadata || readsMetadata(p)
		if i == 5 {
			m.data = p
		} else {
			m.fns[i] = p
		}
	}
	if !some {
		return nil, nil
	}
	return m, nil
}

var eventMapPaths = [5][]string{{"id"}, {"type"}, {"source"}, {"subject"}, {"time"}}

// apply fills the event's fields. The body it came in is no longer what the event says in its envelope, but an event
// that no step changed still leaves as those bytes: so Changed stays as it is.
func (m *eventMap) apply(x *exec) error {
	e := x.ev.Event
	for i, p := range m.fns {
		if p == nil {
			continue
		}
		v, err := p.JSON(nil, x.view)
		if err != nil {
			return fmt.Errorf("event.%s: %w", eventMapPaths[i][0], err)
		}
		if err := assign(&e, eventMapPaths[i], v); err != nil {
			return fmt.Errorf("event.%s: %w", eventMapPaths[i][0], err)
		}
	}
	if m.data != nil {
		v, err := m.data.JSON(nil, x.view)
		if err != nil {
			return fmt.Errorf("event.data: %w", err)
		}
		codec.FillMetadata(&e)
		e.Data = v
	}
	x.ev.Event = e
	return nil
}
