package config

import (
	"fmt"
	"reflect"

	"gopkg.in/yaml.v3"
)

func decodeSplit(_ *pipelineScope, c scope, e entry, s *Step) bool {
	s.Split = &Split{}
	return c.stepStruct(e, "split", reflect.ValueOf(s.Split).Elem())
}

func decodeHandle(p *pipelineScope, c scope, e entry, s *Step) bool {
	p.handled = true
	h, ok := c.plugin(e.val, KindHandler)
	s.Handle = &h
	return ok
}

// decodeBranch decodes the cases of a branch with the steps in them.
func decodeBranch(p *pipelineScope, c scope, e entry, s *Step) bool {
	items, ok := c.list(e.val)
	if !ok {
		return false
	}
	if len(items) == 0 {
		c.fail(e.key, CodeMissingField, "branch has no cases", "for example `- when: data.amount > 500` with `steps` below it")
		return false
	}
	at := p.at
	s.Branch = make([]Case, len(items))
	var otherwise *yaml.Node
	for i, item := range items {
		in := c.item(i)
		if otherwise != nil {
			in.fail(deref(item), CodeOrder, "no event comes to this case: the one above is for all", "put else last")
			ok = false
		}
		p.at = at
		if !in.branchCase(p, deref(item), &s.Branch[i]) {
			ok = false
		}
		if s.Branch[i].Else {
			otherwise = deref(item)
		}
	}
	p.at = at
	return ok
}

// branchCase decodes one case.
func (c scope) branchCase(p *pipelineScope, n *yaml.Node, out *Case) bool {
	out.Pos = c.pos(n)
	entries, ok := c.entries(n)
	if !ok {
		return false
	}
	var conditions []entry
	var steps *entry
	frame := object{scope: c, what: "a case", node: n, v: reflect.ValueOf(out).Elem(), others: []string{"steps"},
		other: func(e entry) bool {
			if e.key.Value == "steps" {
				steps = &e
			}
			return steps != nil && e.key.Value == "steps"
		},
		explain: func(name string) string {
			if stepNamed(name) != nil {
				return fmt.Sprintf("%s is a step: write it as `- %s: …` under steps", name, name)
			}
			return ""
		},
	}
	var rest []entry
	for _, e := range entries {
		switch e.key.Value {
		case "match", "when", "else":
			conditions = append(conditions, e)
		}
		if v := deref(e.val); e.key.Value == "else" && isNull(v) {
			out.Else = true
			continue
		} else if e.key.Value == "else" && v.Kind != yaml.ScalarNode {
			c.in("else").fail(v, CodeWrongType, "else wants true, got "+describe(v), "write `else: true`, and the steps under `steps` beside it")
			out.Else = true
			return false
		}
		rest = append(rest, e)
	}
	ok = frame.decode(rest) && ok
	switch {
	case len(conditions) == 0:
		c.fail(n, CodeMissingField, "the case says for which events it is in no way", "match: PATTERN, when: EXPRESSION, or else: true")
		ok = false
	case len(conditions) > 1:
		c.fail(conditions[1].key, CodeConflict, fmt.Sprintf("a case has one condition, this one %s and %s", conditions[0].key.Value, conditions[1].key.Value), "")
		ok = false
	case conditions[0].key.Value == "else" && !out.Else:
		c.in("else").fail(deref(conditions[0].val), CodeBadValue, "else cannot be false", "leave the case out")
		ok = false
	}
	if steps == nil {
		c.fail(n, CodeMissingField, "the case has no steps", "`steps: []` lets its events go on behind the branch")
		return false
	}
	in := c.in("steps")
	in.f = steps.f
	if isNull(deref(steps.val)) {
		in.fail(steps.key, CodeMissingField, "the case has no steps", "`steps: []` lets its events go on behind the branch")
		return false
	}
	before := len(c.l.diags)
	above := len(p.above)
	p.at.branched = true
	out.Steps = p.list(in.expand(steps.val, p.at.open), p.at)
	p.above = p.above[:above]
	return ok && !errorsIn(c.l.diags[before:])
}
