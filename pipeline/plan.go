package pipeline

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
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
}

// relayPlan is one target of a pipeline with the steps above it.
type relayPlan struct {
	id     string
	name   string // for people: the step's name, else kind and target
	was    string // the id that it had before, "" none
	kind   string // project or forward
	target string
	prog   *program

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
	last := lastAppend(steps)
	p := &plan{cfg: c, log: last >= 0}
	roots := filter.Event
	if sel, ok := c.LogSelection(); ok {
		p.reads, p.follows, p.log = &sel, !p.log, true
		roots |= filter.Log
	}
	cut := last + 1
	if !p.log {
		cut = firstTarget(steps)
	}
	b := builder{pipeline: c.Name, names: stepNames(steps), steps: steps, wrong: wrong}
	var err error
	if p.intake, err = b.program(roots, 0, cut, last, nil); err != nil {
		return nil, err
	}
	if !c.Source.OrderBy.IsZero() {
		if p.orderBy, err = p.intake.scope.Compile(c.Source.OrderBy.Source, filter.Any); err != nil {
			return nil, fmt.Errorf("order_by: %w", err)
		}
	}
	if p.eventMap, err = compileEventMap(&c.Source.Event); err != nil {
		return nil, err
	}
	if err := p.addRelays(&b, cut); err != nil {
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
	at := firstTarget(c.Steps)
	out := append([]config.Step{}, c.Steps[:at]...)
	out = append(out, config.Step{
		Name:   "outbox",
		Append: &config.Append{Stream: config.Text{Source: "$outbox." + c.Name + "/{{ " + id + " }}"}, OnConflict: config.OnConflict{Behind: "retry", Ahead: "retry"}},
	})
	return append(out, c.Steps[at:]...)
}

func lastAppend(steps []config.Step) int {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Append != nil {
			return i
		}
	}
	return -1
}

func firstTarget(steps []config.Step) int {
	for i := range steps {
		if steps[i].Project != nil || steps[i].Forward != nil {
			return i
		}
	}
	return len(steps)
}

// stepNames gives each step a name that is unique in its pipeline: its own, else its kind, counted from the second on.
func stepNames(steps []config.Step) []string {
	seen := map[string]int{}
	names := make([]string, len(steps))
	for i := range steps {
		n := steps[i].Name
		if n == "" {
			n = kindOf(&steps[i])
			if seen[n]++; seen[n] > 1 {
				n = fmt.Sprintf("%s#%d", n, seen[n])
			}
		}
		names[i] = n
	}
	return names
}

func kindOf(s *config.Step) string {
	switch {
	case s.Filter != nil:
		return "filter"
	case s.Match != nil:
		return "match"
	case s.Map != nil:
		return "map"
	case s.Append != nil:
		return "append"
	case s.Project != nil:
		return kindProject
	case s.Forward != nil:
		return kindForward
	}
	return "step"
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

func (p *plan) addRelays(b *builder, from int) error {
	var ids []string
	byID := map[string][]int{}
	for i := from; i < len(b.steps); i++ {
		s := &b.steps[i]
		if s.Project == nil && s.Forward == nil {
			continue
		}
		id := RelayID(b.pipeline, s)
		if s.Project != nil {
			// A table has one relay, whatever its steps are called; the first name is the relay's.
			for other, at := range byID {
				if o := b.steps[at[0]].Project; o != nil && o.Table == s.Project.Table {
					id = other
				}
			}
		}
		if byID[id] == nil {
			ids = append(ids, id)
		}
		byID[id] = append(byID[id], i)
	}
	for _, id := range ids {
		r, err := b.relay(id, from, byID[id])
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
	names    []string
	steps    []config.Step
	wrong    func(step string, err error)
}

// program compiles steps[from:to]; of the targets among them only those in keep.
func (b *builder) program(roots filter.Roots, from, to, last int, keep []int) (*program, error) {
	p := &program{scope: filter.NewScope(roots), wrong: b.wrong}
	for i := from; i < to; i++ {
		s := &b.steps[i]
		nth := indexOf(keep, i)
		if (s.Project != nil || s.Forward != nil) && nth < 0 {
			continue
		}
		f := framed{name: b.names[i]}
		var err error
		if !s.When.IsZero() {
			if f.when, err = p.scope.Compile(s.When.Source, filter.Bool); err != nil {
				return nil, fmt.Errorf("%s: when: %w", f.name, err)
			}
			p.metadata = p.metadata || readsMetadata(f.when)
		}
		if f.step, err = b.step(p, i, last, nth); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		p.steps = append(p.steps, f)
	}
	p.metadata = p.metadata || b.mentionsMetadata(from, to)
	return p, nil
}

func indexOf(list []int, v int) int {
	for i, x := range list {
		if x == v {
			return i
		}
	}
	return -1
}

func (b *builder) step(p *program, i, last, nth int) (step, error) {
	s := &b.steps[i]
	switch {
	case s.Filter != nil:
		cond, err := p.scope.Compile(s.Filter.Source, filter.Bool)
		return &filterStep{cond: cond, name: b.names[i]}, err
	case s.Match != nil:
		m, err := pattern.Compile(s.Match.JSON)
		return &matchStep{pattern: m}, err
	case s.Map != nil:
		return compileMap(p.scope, s.Map)
	case s.Append != nil:
		a, err := compileAppend(p.scope, s.Append)
		if err != nil {
			return nil, err
		}
		a.stamp, a.last, a.retry = b.names[i], i == last, s.Retry
		a.origin = b.pipeline
		if !a.last {
			a.origin += "/" + b.names[i]
		}
		return a, nil
	case s.Project != nil:
		return &projectStep{op: nth}, nil
	case s.Forward != nil:
		return compileForward(p.scope, s.Forward)
	}
	return nil, fmt.Errorf("pipeline: the step at %s:%d has no kind", s.Pos.File, s.Pos.Line)
}

// mentionsMetadata reports whether any text of the steps names the metadata: then it is built for every event.
func (b *builder) mentionsMetadata(from, to int) bool {
	for i := from; i < to; i++ {
		if strings.Contains(describe(b.steps[i]), "metadata") {
			return true
		}
	}
	return false
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

func (b *builder) relay(id string, from int, at []int) (*relayPlan, error) {
	first := &b.steps[at[0]]
	r := &relayPlan{id: id, frame: *first, name: strings.TrimPrefix(id, b.pipeline+"/")}
	r.kind, r.target = relayKey(first)
	if first.Was != "" {
		r.was = b.pipeline + "/" + first.Was
	}
	for _, i := range at {
		if s := &b.steps[i]; s.Project != nil {
			r.table = s.Project.Table
			r.projects = append(r.projects, *s.Project)
		} else {
			r.sink = s.Forward.Sink
		}
	}
	end := at[len(at)-1] + 1
	var err error
	if r.prog, err = b.program(filter.Event|filter.Log, from, end, -1, at); err != nil {
		return nil, err
	}
	var text strings.Builder
	for i := from; i < end; i++ {
		if s := b.steps[i]; (s.Project == nil && s.Forward == nil) || indexOf(at, i) >= 0 {
			s.Retry, s.Name, s.Was, s.From, s.Limits, s.Batch = nil, "", "", "", config.StepLimits{}, config.StepBatch{}
			s.Shards = 0
			text.WriteString(describe(s))
		}
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
