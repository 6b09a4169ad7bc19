package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// entries gives the members of a map, merge keys put in; false where n is no map. Null is an empty map.
func (c scope) entries(n *yaml.Node) ([]entry, bool) {
	n = deref(n)
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		c.wrongType(n, "a map")
		return nil, false
	}
	if c.tagged(n) {
		return nil, false
	}
	out := make([]entry, 0, len(n.Content)/2)
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			hint := ""
			if k.Kind == yaml.MappingNode {
				hint = "{{ }} at the start of a value needs quotes: YAML reads { as a map"
			}
			c.fail(k, CodeWrongType, "a key wants text, got "+describe(k), hint)
			continue
		}
		if k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if before := first[k.Value]; before != nil {
			d := c.l.at(c.f, k, (&path{up: c.path, name: k.Value}), CodeDuplicateKey, fmt.Sprintf("the key %q stands here a second time", k.Value), "")
			d.Related = append(d.Related, Related{c.f.name, before.Line, c.f.column(before.Line, before.Column), "first here"})
			continue
		}
		if strings.Contains(k.Value, "${") {
			c.fail(k, CodeInterpolation, "a key cannot hold ${…}: only values are replaced", "")
			continue
		}
		first[k.Value] = k
		out = append(out, entry{c.f, k, v})
	}
	for _, m := range merges {
		out = c.merge(out, first, m)
	}
	return out, true
}

// merge puts in what a `<<` key names: members that the map has itself stay.
func (c scope) merge(out []entry, have map[string]*yaml.Node, n *yaml.Node) []entry {
	n = deref(n)
	if n.Kind == yaml.SequenceNode {
		for _, m := range n.Content {
			out = c.merge(out, have, m)
		}
		return out
	}
	if n.Kind != yaml.MappingNode {
		c.fail(n, CodeWrongType, "<< wants a map or an alias of one, got "+describe(n), "")
		return out
	}
	inner, _ := c.entries(n)
	for _, e := range inner {
		if have[e.key.Value] == nil {
			have[e.key.Value] = e.key
			out = append(out, e)
		}
	}
	return out
}

// list gives the items of a list; false where n is none.
func (c scope) list(n *yaml.Node) ([]*yaml.Node, bool) {
	n = deref(n)
	if n.Kind != yaml.SequenceNode {
		c.wrongType(n, "a list")
		return nil, false
	}
	if c.tagged(n) {
		return nil, false
	}
	return n.Content, true
}

func (c scope) wrongType(n *yaml.Node, want string) {
	hint := ""
	if want == "a list" && n.Kind == yaml.MappingNode {
		hint = "put a - before each item"
	}
	c.fail(n, CodeWrongType, fmt.Sprintf("%s wants %s, got %s", c.name(), want, describe(n)), hint)
}

// describe says in words what a node is.
func describe(n *yaml.Node) string {
	switch n = deref(n); n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%q", shorten(n.Value))
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}
