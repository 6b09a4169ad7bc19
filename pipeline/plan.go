package pipeline

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// plan is a pipeline's configuration, compiled.
type plan struct {
	cfg *config.Pipeline
	// steps are those of cfg, and what runs before them.
	steps *steps.Tree
	// intake holds the steps up to the last append; without a log those above the first target.
	intake *steps.Program
	// frame makes events of plain bodies; nil where the YAML has none.
	frame   *steps.Frame
	orderBy *filter.Program
	// log is false where the pipeline appends nothing, and its targets get the source's events at once.
	log bool
	// reads is what an event_log source reads. Follows: the pipeline appends nothing, so that its targets read the log
	// by themselves, and nothing is taken in.
	reads   *config.LogSelection
	follows bool
	relays  []*relayPlan
	// inline are the projections that run in the append's transaction.
	inline []*relayPlan
	// parallel is how many events of a batch may go through the intake's steps at a time: what those that wait for others allow.
	parallel int
	// waits: the intake has steps that wait for others (a handle, a lookup).
	waits bool
}

// relayPlan is one target of a pipeline with the steps above it.
type relayPlan struct {
	id     string
	name   string // for people: the step's name, else kind and target
	was    string // the id that it had before, "" none
	kind   string // project or forward
	target string
	prog   *steps.Program
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
	list := c.Steps
	if c.Outbox {
		list = withOutbox(c)
	}
	if m, ok := c.Source.Plugin.Config.(sources.Matching); ok {
		if pattern := m.Match(); !pattern.IsZero() {
			list = append([]config.Step{{Name: "source", Match: &pattern}}, list...)
		}
	}
	p := &plan{cfg: c, steps: steps.New(c, list, wrong)}
	p.log, p.follows = p.steps.Log, p.steps.Follows
	if sel, ok := c.LogSelection(); ok {
		p.reads = &sel
	}
	var err error
	if p.intake, err = p.steps.Intake(); err != nil {
		return nil, err
	}
	for _, s := range p.steps.Waiting() {
		p.waits, p.parallel = true, max(p.parallel, s.Limits.Parallel)
	}
	if !c.Source.OrderBy.IsZero() {
		if p.orderBy, err = p.intake.Compile(c.Source.OrderBy.Source); err != nil {
			return nil, fmt.Errorf("order_by: %w", err)
		}
	}
	if p.frame, err = steps.NewFrame(&c.Source.Event); err != nil {
		return nil, err
	}
	if err := p.addRelays(); err != nil {
		return nil, err
	}
	return p, nil
}

// withOutbox puts the outbox's append before the first target.
func withOutbox(c *config.Pipeline) []config.Step {
	id := "id"
	if !c.Source.OrderBy.IsZero() {
		id = c.Source.OrderBy.Source
	}
	at := steps.FirstTarget(c.Steps)
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

func (p *plan) addRelays() error {
	var ids []string
	byID := map[string][]*config.Step{}
	for _, s := range p.steps.Targets() {
		id := RelayID(p.cfg.Name, s)
		if s.Project != nil {
			// A table has one relay, whatever its steps are called; the first name is the relay's.
			for other, at := range byID {
				if o := at[0].Project; o != nil && o.Table == s.Project.Table {
					id = other
				}
			}
		}
		if byID[id] == nil {
			ids = append(ids, id)
		}
		byID[id] = append(byID[id], s)
	}
	for _, id := range ids {
		r, err := p.relay(id, byID[id])
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

// relay makes the plan of one relay; at are its target steps.
func (p *plan) relay(id string, at []*config.Step) (*relayPlan, error) {
	first := at[0]
	r := &relayPlan{id: id, frame: *first, name: strings.TrimPrefix(id, p.cfg.Name+"/")}
	r.kind, r.target = relayKey(first)
	if first.Was != "" {
		r.was = p.cfg.Name + "/" + first.Was
	}
	for _, s := range at {
		if s.Project != nil {
			r.table = s.Project.Table
			r.projects = append(r.projects, *s.Project)
		} else {
			r.sink = s.Forward.Sink
		}
	}
	var err error
	if r.prog, err = p.steps.Relay(at); err != nil {
		return nil, err
	}
	r.origins, r.definition = r.prog.Origins(), config.Hash(r.prog.Meaning())
	return r, nil
}
