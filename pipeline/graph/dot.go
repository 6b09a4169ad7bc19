package graph

import (
	"fmt"
	"strings"
)

// DOT writes a graph for Graphviz.
func (g *Graph) DOT() []byte {
	var b strings.Builder
	b.WriteString("digraph leat {\n  rankdir=LR;\n  node [fontname=\"Helvetica\", fontsize=10, shape=box, style=\"rounded,filled\", fillcolor=white];\n  edge [fontname=\"Helvetica\", fontsize=9];\n")
	styles := map[Kind]string{
		Outside: `fillcolor="#eef2f7"`, Step: ``, Branch: `shape=diamond, style=filled`, Append: `fillcolor="#dbeafe", peripheries=2`,
		Relay: `fillcolor="#fef3c7"`, Table: `shape=cylinder, style=filled, fillcolor="#dcfce7"`, Log: `fillcolor="#dbeafe", peripheries=2`,
	}
	line := func(indent string, i int) {
		n := &g.Nodes[i]
		lines := n.lines()
		for i, l := range lines {
			lines[i] = dotText(l)
		}
		label := strings.Join(lines, `\n`)
		style := styles[n.Kind]
		if style != "" {
			style = ", " + style
		}
		fmt.Fprintf(&b, "%s%s [label=\"%s\"%s];\n", indent, id(i), label, style)
	}
	for p, name := range g.Pipelines {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=\"%s\";\n", p, dotText(name))
		for i := range g.Nodes {
			if g.Nodes[i].Pipeline != "" && g.Nodes[i].band == p {
				line("    ", i)
			}
		}
		b.WriteString("  }\n")
	}
	for i := range g.Nodes {
		if g.Nodes[i].Pipeline == "" {
			line("  ", i)
		}
	}
	for _, e := range g.Edges {
		var attributes []string
		if e.Label != "" {
			attributes = append(attributes, `label="`+dotText(e.Label)+`"`)
		}
		switch e.Link {
		case Read:
			attributes = append(attributes, "penwidth=2")
		case Look, Poison:
			attributes = append(attributes, "style=dashed")
		case Loop:
			attributes = append(attributes, `color="#dc2626", fontcolor="#dc2626", constraint=false`)
		}
		set := ""
		if len(attributes) > 0 {
			set = " [" + strings.Join(attributes, ", ") + "]"
		}
		fmt.Fprintf(&b, "  %s -> %s%s;\n", id(e.From), id(e.To), set)
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

// dotText writes text for a quoted string of DOT. Graphviz reads HTML entities within strings too.
func dotText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '&':
			b.WriteString("&amp;")
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
