package graph

import (
	"strings"
	"unicode"
)

// Text draws a graph for a terminal: each pipeline from its source down, what branches off beside it.
func (g *Graph) Text() []byte {
	t := texter{g: g, out: make([][]Edge, len(g.Nodes)), done: make([]bool, len(g.Nodes))}
	entered := make([][]int, len(g.Pipelines))
	for _, e := range g.Edges {
		t.out[e.From] = append(t.out[e.From], e)
		if from, to := &g.Nodes[e.From], &g.Nodes[e.To]; from.Pipeline == "" && to.Pipeline != "" && e.Link != Look {
			entered[to.band] = append(entered[to.band], e.From)
		}
	}
	for p, name := range g.Pipelines {
		if p > 0 {
			t.b.WriteByte('\n')
		}
		t.b.WriteString(plainText(name) + "\n")
		for _, n := range entered[p] {
			t.b.WriteString("  " + t.show(n) + "\n")
			for _, e := range t.out[n] {
				if to := &g.Nodes[e.To]; to.Pipeline != "" && to.band == p {
					t.walk(e, p, "  ↓ ", "  ")
				}
			}
		}
	}
	return []byte(t.b.String())
}

type texter struct {
	g    *Graph
	b    strings.Builder
	out  [][]Edge
	done []bool
}

// show is a node in a line.
func (t *texter) show(n int) string {
	x := &t.g.Nodes[n]
	words := append([]string{x.Title}, x.lines()[1:]...)
	for i := range words {
		words[i] = plainText(words[i])
	}
	return strings.Join(words, "  ")
}

// walk draws an edge's end and all behind it. First stands before its line, rest before those below.
func (t *texter) walk(e Edge, band int, first, rest string) {
	label := ""
	if e.Label != "" {
		label = "[" + plainText(e.Label) + "] "
	}
	if t.done[e.To] {
		t.b.WriteString(first + label + "… " + t.show(e.To) + " (as above)\n")
		return
	}
	t.done[e.To] = true
	line := first + label + t.show(e.To)
	var on []Edge
	for _, next := range t.out[e.To] {
		to := &t.g.Nodes[next.To]
		switch {
		case to.Pipeline != "" && to.band == band:
			on = append(on, next)
		case next.Link == Poison:
			line += "  (poisoned ⇢ " + t.show(next.To) + ")"
		case next.Link == Loop:
			line += "  ─▶ " + t.show(next.To) + "  ↻ loop"
		default:
			line += "  ─▶ " + t.show(next.To)
		}
	}
	t.b.WriteString(line + "\n")
	for i, next := range on {
		switch {
		case len(on) == 1:
			arrow := "↓ "
			if next.Link == Read {
				arrow = "⇓ "
			}
			t.walk(next, band, rest+arrow, rest)
		case i < len(on)-1:
			t.walk(next, band, rest+"├"+stem(next)+" ", rest+"│  ")
		default:
			t.walk(next, band, rest+"└"+stem(next)+" ", rest+"   ")
		}
	}
}

func stem(e Edge) string {
	if e.Link == Read {
		return "═"
	}
	return "─"
}

// plainText takes away what could steer a terminal.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}
