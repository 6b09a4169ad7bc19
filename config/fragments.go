package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// placed is a step in its place, after fragments were put in.
type placed struct {
	scope
	n *yaml.Node
	// open are the fragments around it.
	open []string
}

// expand puts the fragments into a list of steps.
func (c scope) expand(n *yaml.Node, open []string) []placed {
	items, ok := c.list(n)
	if !ok {
		return nil
	}
	var out []placed
	for i, item := range items {
		at := c.item(i)
		n := deref(item)
		use, ok := at.member(n, "use")
		if n.Kind != yaml.MappingNode || !ok {
			out = append(out, placed{at, n, open})
			continue
		}
		if members, _ := at.quiet(n); len(members) > 1 {
			for _, m := range members {
				if m.key.Value != "use" {
					at.in(m.key.Value).fail(m.key, CodeConflict, fmt.Sprintf("%s cannot stand beside use, which puts a whole list of steps here", m.key.Value), "")
					break
				}
			}
		}
		in := at.in("use")
		name, ok := in.scalar(deref(use.val), "the name of a fragment", asText)
		if !ok {
			continue
		}
		frag, ok := c.l.fragments[name.s]
		if !ok {
			in.fail(deref(use.val), CodeUnknownName, fmt.Sprintf("no fragment is called %q", name.s), suggestOr(name.s, c.l.fragmentNames, "fragments: "))
			continue
		}
		c.l.usedFragments[name.s] = true
		if contains(open, name.s) {
			in.fail(deref(use.val), CodeRecursion, fmt.Sprintf("the fragment %s contains itself: %s", name.s, strings.Join(append(open, name.s), " → ")), "")
			continue
		}
		inner := c
		inner.f = frag.f
		inner.path = &path{up: &path{name: "fragments"}, name: name.s}
		node := deref(use.val)
		inner.uses = append(append([]Related(nil), c.uses...), Related{at.f.name, node.Line, at.f.column(node.Line, node.Column), "used here"})
		out = append(out, inner.expand(frag.val, append(append([]string(nil), open...), name.s))...)
	}
	return out
}
