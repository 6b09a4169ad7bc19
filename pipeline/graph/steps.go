package graph

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/leatdev/leat/config"
)

// way is a case of a branch.
type way struct {
	label string
	steps []config.Step
}

// ways gives the cases of a branch, nil for other steps.
func ways(s *config.Step) []way {
	var out []way
	for i := range s.Branch {
		c := &s.Branch[i]
		w := way{label: "else", steps: c.Steps}
		switch {
		case c.Match != nil:
			w.label = patternText(c.Match)
		case !c.When.IsZero():
			w.label = c.When.Source
		}
		out = append(out, w)
	}
	return out
}

// lookups lead from tables to the steps that read them, once every table is known. One that no pipeline writes stands
// below the pipeline that reads it.
func (b *builder) lookups() {
	for _, l := range b.looks {
		t, ok := b.tables[l.table]
		if !ok {
			b.band = b.g.Nodes[l.node].band
			row := 0
			for i := range b.g.Nodes {
				if n := &b.g.Nodes[i]; n.band == b.band {
					row = max(row, n.row+1)
				}
			}
			t = b.node(Table, "table", l.table, row)
			b.tables[l.table] = t
		}
		b.edge(t, l.node, "", Look)
	}
}

// show says what a step is: its kind, and its name or what it does.
func show(s *config.Step) (kind Kind, title, text string) {
	kind = Step
	switch {
	case s.Filter != nil:
		title, text = "filter", s.Filter.Source
	case s.Match != nil:
		title, text = "match", patternText(s.Match)
	case s.Map != nil:
		title, text = "map", mapText(s.Map)
	case s.Append != nil:
		kind, title, text = Append, "append", first(s.Append.Stream.Source, "as the handler says")
	case s.Validate != nil:
		title, text = "validate", s.Validate.Schema
	case s.Lookup != nil:
		title, text = "lookup", s.Lookup.Table
	case s.Split != nil:
		title, text = "split", s.Split.Each.Source
	case s.Branch != nil:
		title = "branch"
	case s.Handle != nil:
		title, text = "handle", s.Handle.Name
	case s.Validate != nil:
		title, text = "validate", s.Validate.Schema
	case s.Lookup != nil:
		title, text = "lookup", s.Lookup.Table
	case s.Split != nil:
		title, text = "split", s.Split.Each.Source
	default:
		title = "step"
	}
	if s.Name != "" {
		title += " " + s.Name
	}
	return kind, title, text
}

func first(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// patternText is a pattern in one line.
func patternText(p *config.Pattern) string {
	var b bytes.Buffer
	if err := json.Compact(&b, p.JSON); err != nil {
		return string(p.JSON)
	}
	return b.String()
}

// mapText lists the paths that a map changes.
func mapText(m *config.Map) string {
	var paths []string
	var walk func(prefix string, t config.Tree)
	walk = func(prefix string, t config.Tree) {
		if t.Leaf != nil {
			paths = append(paths, prefix)
			return
		}
		for _, f := range t.Fields {
			walk(strings.TrimPrefix(prefix+"."+f.Name, "."), f.Tree)
		}
	}
	walk("", m.Set)
	for _, p := range m.Unset {
		paths = append(paths, "-"+p)
	}
	return strings.Join(paths, ", ")
}
