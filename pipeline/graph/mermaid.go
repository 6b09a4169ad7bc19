package graph

import (
	"fmt"
	"strings"
)

// Mermaid writes a graph as a Mermaid flowchart, which GitHub and GitLab draw within Markdown.
func (g *Graph) Mermaid() []byte {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	shapes := map[Kind][2]string{
		Outside: {"([", "])"}, Step: {"[", "]"}, Branch: {"{", "}"}, Append: {"[[", "]]"}, Relay: {"[/", "/]"}, Table: {"[(", ")]"}, Log: {"[[", "]]"},
	}
	line := func(indent string, i int) {
		n := &g.Nodes[i]
		lines := n.lines()
		for i, l := range lines {
			lines[i] = mermaidText(l)
		}
		label := strings.Join(lines, "<br/>")
		fmt.Fprintf(&b, "%s%s%s\"%s\"%s\n", indent, id(i), shapes[n.Kind][0], label, shapes[n.Kind][1])
	}
	for p, name := range g.Pipelines {
		fmt.Fprintf(&b, "  subgraph p%d [\"%s\"]\n    direction LR\n", p, mermaidText(name))
		for i := range g.Nodes {
			if g.Nodes[i].Pipeline != "" && g.Nodes[i].band == p {
				line("    ", i)
			}
		}
		b.WriteString("  end\n")
	}
	for i := range g.Nodes {
		if g.Nodes[i].Pipeline == "" {
			line("  ", i)
		}
	}
	var loops []string
	for i, e := range g.Edges {
		arrow := "-->"
		switch e.Link {
		case Read:
			arrow = "==>"
		case Look, Poison:
			arrow = "-.->"
		case Loop:
			loops = append(loops, fmt.Sprint(i))
		}
		label := ""
		if e.Label != "" {
			label = "|\"" + mermaidText(e.Label) + "\"|"
		}
		fmt.Fprintf(&b, "  %s %s%s %s\n", id(e.From), arrow, label, id(e.To))
	}
	classes := []struct {
		kind  Kind
		style string
	}{
		{Outside, "fill:#eef2f7,stroke:#64748b,color:#0f172a"}, {Append, "fill:#dbeafe,stroke:#1d4ed8,color:#0f172a"}, {Log, "fill:#dbeafe,stroke:#1d4ed8,color:#0f172a"},
		{Relay, "fill:#fef3c7,stroke:#b45309,color:#0f172a"}, {Table, "fill:#dcfce7,stroke:#15803d,color:#0f172a"},
	}
	for _, c := range classes {
		var ids []string
		for i := range g.Nodes {
			if g.Nodes[i].Kind == c.kind {
				ids = append(ids, id(i))
			}
		}
		if len(ids) > 0 {
			fmt.Fprintf(&b, "  classDef %s %s\n  class %s %s\n", c.kind, c.style, strings.Join(ids, ","), c.kind)
		}
	}
	if len(loops) > 0 {
		fmt.Fprintf(&b, "  linkStyle %s stroke:#dc2626,stroke-width:2px,color:#dc2626\n", strings.Join(loops, ","))
	}
	return []byte(b.String())
}

// mermaidText writes text for a quoted label: what Mermaid or HTML would read as its own is an entity in Mermaid's
// spelling. A label that starts with a backtick would be Markdown.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune("\"#<>&`\\[]{}|;", r) || r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
