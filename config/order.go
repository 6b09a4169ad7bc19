package config

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// pipelineScope is what the steps of one pipeline share while they are decoded.
type pipelineScope struct {
	pipeline *Pipeline
	// at is where the step in hand stands.
	at place
	// above are the steps on the way to the one in hand; those in other cases of a branch are not on it.
	above []Step
	// handled: a handle stands above, which may name streams.
	handled    bool
	lastAppend *placed
	names      map[string]Related
	forwards   map[string]*Step
	relays     map[string]relayHead
	was        map[string]Related
}

func newPipelineScope(p *Pipeline) *pipelineScope {
	return &pipelineScope{pipeline: p, names: map[string]Related{}, forwards: map[string]*Step{}, relays: map[string]relayHead{}, was: map[string]Related{}}
}

// place is where a list of steps stands among the others.
type place struct {
	// below: the last append on the way to the list stands above it.
	below bool
	// before is an append that comes behind the list.
	before *placed
	// branched: the list is a case's; tail: steps follow on it before the way joins the others of the outermost branch.
	branched, tail bool
	open           []string
	// loose: it is a fragment that nobody uses, which stands nowhere.
	loose bool
}

// list decodes a list of steps, those of the branches in it too, and checks what holds among them.
func (p *pipelineScope) list(list []placed, at place) []Step {
	last := -1
	var lastKey placed
	for i, s := range list {
		if key, ok := s.appends(); ok {
			last, lastKey = i, key
		}
	}
	// An outbox's append stands before the first step that reads the log.
	cut := last
	outbox := p.pipeline.Outbox && p.lastAppend == nil && !at.branched && !at.loose
	if outbox {
		cut = len(list)
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].reads() {
				cut = i - 1
			}
		}
	}
	_, fromLog := p.pipeline.LogSelection()
	out := make([]Step, 0, len(list))
	for i, s := range list {
		in := at
		in.open = s.open
		if i < last {
			in.before = &lastKey
		}
		in.below = in.before == nil && i > cut && (cut >= 0 || outbox || at.below)
		in.tail = at.tail || (at.branched && i < len(list)-1)
		c := s.scope
		c.roots = filter.Event
		if in.below || fromLog || at.loose {
			c.roots |= filter.Log
		}
		p.at = in
		step, ok := p.step(c, s.n)
		p.at = in
		out = append(out, step)
		p.above = append(p.above, step)
		c.l.stepName(c, s.n, &step, p.names)
		kind := c.kindOf(s.n)
		if kind == nil || at.loose {
			continue
		}
		key, found := c.member(s.n, kind.name)
		if found && kind.relay {
			c.checkOrder(p, kind, key.key, in, fromLog)
		}
		if key, shards := c.member(s.n, "shards"); shards && step.Forward != nil && p.lastAppend == nil && !p.pipeline.Outbox && !fromLog {
			c.in("shards").fail(key.key, CodeNeedsLog, "shards share what a relay reads from the log, and nothing in this pipeline writes it", "take shards away, or put an append above it; for calls at the same time there is limits.parallel")
		}
		if found && step.Append != nil && in.branched && in.before == nil && i == last && in.tail && step.Name == "" {
			c.in("append").fail(key.key, CodeMissingField, "this append needs a name: steps follow it in its case, and know by the name which events are theirs", "`name: …` beside append; it is kept with each event, so keep it too")
		}
		if ok && step.Forward != nil && step.Name == "" {
			c.checkTarget(s.n, p.above, len(p.above)-1, p.forwards)
		}
		if ok && step.Was != "" {
			c.checkWas(s.n, &step, p.was)
		}
		if ok {
			c.checkRelay(s.n, &step, p.relays)
			c.checkInline(s.n, &step, p.above)
		}
		if ok && step.Forward != nil {
			c.checkLoop(s.n, &p.pipeline.Source, p.above, &step)
		}
	}
	return out
}

// checkOrder checks that a step which reads the log stands where the log has something for it.
func (c scope) checkOrder(p *pipelineScope, kind *stepKind, key *yaml.Node, at place, fromLog bool) {
	in := c.in(kind.name)
	switch {
	case at.before != nil:
		in.fail(key, CodeOrder, fmt.Sprintf("%s stands above the last append: it reads the log, which that append writes", kind.name), "move it below the append")
		d := &c.l.diags[len(c.l.diags)-1]
		d.Related = append(d.Related, at.before.related("the last append"))
	case !at.below && p.lastAppend != nil:
		in.fail(key, CodeOrder, fmt.Sprintf("%s reads the log, and nothing on the way to it writes the log: the last append stands in another case", kind.name), "put an append above it in its own case, or move it behind the branch")
		d := &c.l.diags[len(c.l.diags)-1]
		d.Related = append(d.Related, p.lastAppend.related("the last append"))
	case !at.below && kind.name == "project" && !p.pipeline.Outbox && !fromLog:
		in.fail(key, CodeNeedsLog, "project reads the log, and nothing in this pipeline writes it", "put an append above it, or `outbox: true` beside steps")
	}
}

// checkInline refuses steps that wait for others above a projection in the append's own transaction, which waits for nobody.
func (c scope) checkInline(n *yaml.Node, s *Step, above []Step) {
	if s.Project == nil || !s.Project.Inline {
		return
	}
	for i := len(above) - 1; i >= 0 && above[i].Append == nil && above[i].Branch == nil; i-- {
		if above[i].Lookup == nil && above[i].Handle == nil {
			continue
		}
		m, _ := c.member(n, "project")
		c.in("project").fail(m.key, CodeConflict, fmt.Sprintf("inline runs in the append's own transaction, and the %s above it waits for others", KindOf(&above[i])), fmt.Sprintf("put the %s above the append, or take inline away", KindOf(&above[i])))
		return
	}
}

func (s placed) related(what string) Related {
	return Related{s.f.name, s.n.Line, s.f.column(s.n.Line, s.n.Column), what}
}

// appends gives the last append in a step: itself, or one in a case of a branch.
func (s placed) appends() (key placed, ok bool) {
	if m, found := s.member(s.n, "append"); found {
		return placed{scope: s.scope, n: m.key}, true
	}
	for _, list := range s.cases() {
		for _, inner := range list {
			if k, found := inner.appends(); found {
				key, ok = k, true
			}
		}
	}
	return key, ok
}

// reads reports whether a step reads the log, or one in a case of a branch does.
func (s placed) reads() bool {
	if k := s.kindOf(s.n); k != nil && k.relay {
		return true
	}
	for _, list := range s.cases() {
		for _, inner := range list {
			if inner.reads() {
				return true
			}
		}
	}
	return false
}

// cases gives the lists of steps in a branch. What is wrong with them is reported elsewhere.
func (s placed) cases() (lists [][]placed) {
	b, ok := s.member(s.n, "branch")
	if !ok {
		return nil
	}
	n := deref(b.val)
	if n.Kind != yaml.SequenceNode {
		return nil
	}
	before := len(s.l.diags)
	defer func() { s.l.diags = s.l.diags[:before] }()
	for i, item := range n.Content {
		c := s.in("branch").item(i)
		if m, found := c.member(deref(item), "steps"); found && deref(m.val).Kind == yaml.SequenceNode {
			lists = append(lists, c.in("steps").expand(m.val, s.open))
		}
	}
	return lists
}
