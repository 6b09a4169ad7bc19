package graph

import (
	"fmt"
	"strings"
)

// palette is the fill and the stroke of each kind of node.
var palette = map[Kind][2]string{
	Outside: {"#eef2f7", "#64748b"}, Step: {"#ffffff", "#94a3b8"}, Branch: {"#f5f3ff", "#7c3aed"}, Append: {"#dbeafe", "#1d4ed8"},
	Relay: {"#fef3c7", "#b45309"}, Table: {"#dcfce7", "#15803d"}, Log: {"#dbeafe", "#1d4ed8"},
}

// strokes is the colour, width and dashes of each kind of edge.
var strokes = map[Link][3]string{
	Flow: {"#475569", "1.4", ""}, Read: {"#1d4ed8", "2.4", ""}, Look: {"#15803d", "1.2", "4 3"}, Poison: {"#9f1239", "1.2", "4 3"}, Loop: {"#dc2626", "2.2", ""},
}

// SVG draws a graph. It stands alone: no script, no font and no file from elsewhere.
func (g *Graph) SVG() []byte {
	l := g.arrange()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12">`+"\n", l.width, l.height, l.width, l.height)
	b.WriteString("<title>leat pipelines</title>\n<defs>\n")
	for _, link := range []Link{Flow, Read, Look, Poison, Loop} {
		fmt.Fprintf(&b, `<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerUnits="userSpaceOnUse" markerWidth="11" markerHeight="11" orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="%s"/></marker>`+"\n", link, strokes[link][0])
	}
	fmt.Fprintf(&b, "</defs>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", l.width, l.height)
	for i, name := range g.Pipelines {
		f := l.bands[i]
		if f.w == 0 {
			continue
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="10" fill="#f8fafc" stroke="#cbd5e1"/>`+"\n", f.x, f.y, f.w, f.h)
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="600" fill="#0f172a">%s</text>`+"\n", f.x+padX, f.y+17, xmlText(name))
	}
	back := 0
	for i, e := range g.Edges {
		if l.back[i] {
			back++
		}
		l.edge(&b, e, l.back[i], back)
	}
	for i := range g.Nodes {
		l.node(&b, &g.Nodes[i], l.boxes[i])
	}
	// Labels come last, so that no line crosses them.
	for i, e := range g.Edges {
		l.label(&b, e, l.back[i])
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// edge draws a curve from the right of one box to the left of another; what leads back goes round below everything.
func (l *layout) edge(b *strings.Builder, e Edge, back bool, nth int) {
	from, to := l.boxes[e.From], l.boxes[e.To]
	x1, y1, x2, y2 := from.x+from.w, from.y+from.h/2, to.x, to.y+to.h/2
	s := strokes[e.Link]
	var d string
	switch {
	case back || x2 <= x1:
		low := l.height - margin/2 - (nth-1)*channel
		if !back {
			low = max(from.y+from.h, to.y+to.h) + gapY/2
		}
		d = fmt.Sprintf("M%d,%d h10 q6,0 6,6 V%d q0,6 -6,6 H%d q-6,0 -6,-6 V%d q0,-6 6,-6 H%d", x1, y1, low-6, x2-10, y2+6, x2)
	case y1 == y2:
		d = fmt.Sprintf("M%d,%d H%d", x1, y1, x2)
	default:
		// The bend lies in the gap before the target's column: no box is there.
		bend := max(x1, x2-gapX)
		mid := (bend + x2) / 2
		d = fmt.Sprintf("M%d,%d H%d C%d,%d %d,%d %d,%d", x1, y1, bend, mid, y1, mid, y2, x2, y2)
		if e.Label != "" {
			mid = x1 + gapX/2
			d = fmt.Sprintf("M%d,%d C%d,%d %d,%d %d,%d H%d", x1, y1, mid, y1, x1, y2, x1+gapX/2+4, y2, x2)
		}
	}
	dashes := ""
	if s[2] != "" {
		dashes = fmt.Sprintf(` stroke-dasharray="%s"`, s[2])
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%s"%s marker-end="url(#%s)"/>`+"\n", d, s[0], s[1], dashes, e.Link)
}

func (l *layout) label(b *strings.Builder, e Edge, back bool) {
	if e.Label == "" {
		return
	}
	from, to := l.boxes[e.From], l.boxes[e.To]
	x, y := to.x-16, to.y+to.h/2-5
	anchor := "end"
	if back {
		x, y, anchor = from.x+from.w+20, from.y+from.h/2+4, "start"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="11" text-anchor="%s" fill="%s" stroke="#ffffff" stroke-width="3" paint-order="stroke">%s</text>`+"\n",
		x, y, anchor, strokes[e.Link][0], xmlText(e.Label))
}

func (l *layout) node(b *strings.Builder, n *Node, at box) {
	fill, stroke := palette[n.Kind][0], palette[n.Kind][1]
	r := map[Kind]int{Outside: at.h / 2, Step: 5, Branch: 14, Append: 3, Relay: 5, Table: 3, Log: 3}[n.Kind]
	fmt.Fprintf(b, `<g><rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s" stroke="%s"/>`, at.x, at.y, at.w, at.h, r, fill, stroke)
	switch n.Kind {
	case Append, Log: // a double frame: what is written here stays
		fmt.Fprintf(b, `<path d="M%d,%d V%d M%d,%d V%d" stroke="%s"/>`, at.x+5, at.y, at.y+at.h, at.x+at.w-5, at.y, at.y+at.h, stroke)
	case Table: // a head line
		fmt.Fprintf(b, `<path d="M%d,%d H%d" stroke="%s"/>`, at.x, at.y+padY+lineHeight, at.x+at.w, stroke)
	}
	lines := n.lines()
	top := at.y + padY + 12
	for i, t := range lines {
		style := ` fill="#334155"`
		switch {
		case i == 0:
			style = ` font-weight="600" fill="#0f172a"`
		case n.When != "" && i == len(lines)-1:
			style = ` font-style="italic" fill="#64748b"`
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle"%s>%s</text>`, at.x+at.w/2, top+i*lineHeight, style, xmlText(t))
	}
	b.WriteString("</g>\n")
}

// xmlText writes text for XML 1.0, which has no word for most control characters.
func xmlText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff:
			b.WriteRune('\ufffd')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
