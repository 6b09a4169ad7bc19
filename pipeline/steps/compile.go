package steps

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
)

// Intake compiles the steps up to the last append on each way; those above the first target where there is no log.
func (t *Tree) Intake() (*Program, error) {
	p, err := t.program(t.roots, t.intake, nil)
	if err != nil {
		return nil, err
	}
	p.collect = !t.Log
	return p, nil
}

// Relay compiles the steps that lead to some targets, on each way to one of them. Items say by its index which they are for.
func (t *Tree) Relay(targets []*config.Step) (*Program, error) {
	keep := map[*config.Step]int{}
	for i, s := range targets {
		keep[s] = i
	}
	p := &Program{pipeline: t.pipeline, scope: filter.NewScope(filter.Event | filter.Log | filter.Item), wrong: t.wrong, byOrigin: map[string][]framed{}}
	var text strings.Builder
	for _, w := range t.ways {
		list, some := prune(w.rest, keep, false)
		if !some {
			continue
		}
		steps, err := t.compile(p, list, nil, keep)
		if err != nil {
			return nil, err
		}
		if w.origin != t.pipeline && w.origin != "" {
			text.WriteString(w.origin + ": ")
		}
		for _, n := range list {
			text.WriteString(config.Meaning(n.plain()))
		}
		p.byOrigin[w.origin] = steps
		p.origins = append(p.origins, w.origin)
		p.steps = steps
	}
	p.meaning = text.String()
	return p, nil
}

// program compiles a list of steps; of the targets among them only those in keep, which gives their numbers.
func (t *Tree) program(roots filter.Roots, list []*node, keep map[*config.Step]int) (*Program, error) {
	p := &Program{pipeline: t.pipeline, scope: filter.NewScope(roots | filter.Item), wrong: t.wrong}
	var err error
	p.steps, err = t.compile(p, list, nil, keep)
	return p, err
}

// compile gives the steps of a list with those that come after it. Behind a branch each case goes on with what follows.
func (t *Tree) compile(p *Program, list []*node, after []framed, keep map[*config.Step]int) ([]framed, error) {
	if len(list) == 0 {
		return after, nil
	}
	n := list[0]
	rest, err := t.compile(p, list[1:], after, keep)
	if err != nil {
		return nil, err
	}
	if _, kept := keep[n.s]; n.target() && !kept {
		return rest, nil
	}
	f := framed{name: n.name, retry: n.s.Retry}
	if f.retry == nil {
		f.retry = t.retry
	}
	if !n.s.When.IsZero() {
		if f.when, err = p.scope.Compile(n.s.When.Source, filter.Bool); err != nil {
			return nil, fmt.Errorf("%s: when: %w", f.name, err)
		}
		p.metadata = p.metadata || readsMetadata(f.when)
	}
	if n.cases != nil {
		f.fork, err = t.fork(p, n, rest, keep)
	} else {
		f.step, err = t.step(p, n, keep)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	f.many, _ = f.step.(fanning)
	p.metadata = p.metadata || strings.Contains(config.Meaning(*n.s), "metadata") // any text that names it
	return append([]framed{f}, rest...), nil
}

func (t *Tree) fork(p *Program, n *node, rest []framed, keep map[*config.Step]int) (*forkStep, error) {
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
		if way.steps, err = t.compile(p, n.cases[i].steps, rest, keep); err != nil {
			return nil, err
		}
		f.cases = append(f.cases, way)
	}
	return f, nil
}

func (t *Tree) step(p *Program, n *node, keep map[*config.Step]int) (step, error) {
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
		return t.validate(p, s)
	case s.Lookup != nil:
		return t.lookup(p, n)
	case s.Split != nil:
		return compileSplit(p.scope, s.Split)
	case s.Handle != nil:
		return t.handle(n), nil
	case s.Append != nil:
		a, err := compileAppend(p.scope, s.Append)
		if err != nil {
			return nil, err
		}
		a.by.Name, a.by.Last, a.by.Retry, a.origin = n.name, n.last, s.Retry, n.origin
		a.ownLog = t.ownLog
		return a, nil
	case s.Project != nil:
		return &projectStep{op: keep[n.s]}, nil
	case s.Forward != nil:
		return compileForward(p.scope, s.Forward)
	}
	return nil, fmt.Errorf("steps: the step at %s:%d has no kind", s.Pos.File, s.Pos.Line)
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
