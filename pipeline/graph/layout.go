package graph

import "unicode"

// A layout puts nodes into columns by how far they are from a source, and pipelines into bands one below the other, with
// the rows that Build gave. It is deterministic, and good for pictures that people look at: a main way straight from left
// to right, what hangs on it below.

// Measures in pixels.
const (
	charWidth  = 7
	lineHeight = 16
	padX, padY = 12, 8
	gapX       = 44 // between columns
	gapY       = 18 // between rows
	titleHigh  = 26 // of a band
	bandGap    = 26
	margin     = 20
	channel    = 12 // between lines that lead back
)

type box struct{ x, y, w, h int }

type layout struct {
	boxes  []box // of the nodes
	bands  []box // of the pipelines
	back   []bool
	width  int
	height int
}

// arrange makes the layout of a graph.
func (g *Graph) arrange() layout {
	l := layout{boxes: make([]box, len(g.Nodes)), bands: make([]box, len(g.Pipelines)), back: g.backEdges()}
	col := g.columns(l.back)
	l.place(g, col)
	l.frame(g)
	return l
}

// backEdges marks the edges that lead back: those of a depth-first walk to a node on its way, loops first.
func (g *Graph) backEdges() []bool {
	back := make([]bool, len(g.Edges))
	out := make([][]int, len(g.Nodes))
	for i, e := range g.Edges {
		out[e.From] = append(out[e.From], i)
	}
	state := make([]uint8, len(g.Nodes)) // 1: on the way, 2: done
	var walk func(n int)
	walk = func(n int) {
		state[n] = 1
		for _, i := range out[n] {
			switch state[g.Edges[i].To] {
			case 0:
				walk(g.Edges[i].To)
			case 1:
				back[i] = true
			}
		}
		state[n] = 2
	}
	for n := range g.Nodes {
		if state[n] == 0 {
			walk(n)
		}
	}
	return back
}

// columns gives each node's column: one behind the farthest that leads to it, and what pipelines write behind all of
// their own nodes. Rows that are looked up do not count.
func (g *Graph) columns(back []bool) []int {
	col := make([]int, len(g.Nodes))
	for range len(g.Nodes) + 1 { // no way is longer
		changed := false
		raise := func(n, to int) {
			if col[n] < to {
				col[n], changed = to, true
			}
		}
		last := make([]int, len(g.Pipelines))
		for i := range g.Nodes {
			if n := &g.Nodes[i]; n.Pipeline != "" {
				last[n.band] = max(last[n.band], col[i])
			}
		}
		for i, e := range g.Edges {
			if back[i] || e.Link == Look {
				continue
			}
			raise(e.To, col[e.From]+1)
			if from := &g.Nodes[e.From]; from.Pipeline != "" && g.Nodes[e.To].Pipeline == "" {
				raise(e.To, last[from.band]+1)
			}
		}
		if !changed {
			break
		}
	}
	return col
}

// place gives each node its box: columns as wide as their widest node, rows as high as their highest.
func (l *layout) place(g *Graph, col []int) {
	columns := 0
	for _, c := range col {
		columns = max(columns, c+1)
	}
	width, gap := make([]int, columns), make([]int, columns)
	for i := range g.Nodes {
		b := &l.boxes[i]
		lines := g.Nodes[i].lines()
		for _, t := range lines {
			b.w = max(b.w, textWidth(t)+2*padX)
		}
		b.h = len(lines)*lineHeight + 2*padY
		width[col[i]] = max(width[col[i]], b.w)
	}
	for i, e := range g.Edges {
		if c := col[e.To]; c > 0 && !l.back[i] && e.Label != "" {
			gap[c] = max(gap[c], textWidth(e.Label)+gapX-8)
		}
	}
	left := make([]int, columns)
	x := margin
	for c := range columns {
		if c > 0 {
			x += max(gap[c], gapX)
		}
		left[c] = x
		x += width[c]
	}
	y := margin
	for band := range g.Pipelines {
		rows := map[int]int{}
		last := 0
		for i := range g.Nodes {
			if n := &g.Nodes[i]; n.band == band {
				rows[n.row] = max(rows[n.row], l.boxes[i].h)
				last = max(last, n.row)
			}
		}
		y += titleHigh
		for row := 0; row <= last; row++ {
			for i := range g.Nodes {
				if n := &g.Nodes[i]; n.band == band && n.row == row {
					b := &l.boxes[i]
					b.x, b.y = left[col[i]], y+(rows[row]-b.h)/2
				}
			}
			if rows[row] > 0 {
				y += rows[row] + gapY
			}
		}
		y += bandGap - gapY
	}
	l.width, l.height = x+margin, y
}

// frame draws the pipelines' frames around their own nodes.
func (l *layout) frame(g *Graph) {
	for band := range g.Pipelines {
		f := &l.bands[band]
		for i := range g.Nodes {
			if n := &g.Nodes[i]; n.Pipeline == "" || n.band != band {
				continue
			}
			b := l.boxes[i]
			if f.w == 0 {
				*f = b
				continue
			}
			right, bottom := max(f.x+f.w, b.x+b.w), max(f.y+f.h, b.y+b.h)
			f.x, f.y = min(f.x, b.x), min(f.y, b.y)
			f.w, f.h = right-f.x, bottom-f.y
		}
		if f.w == 0 {
			continue
		}
		need := textWidth(g.Pipelines[band]) + 2*padX
		f.x, f.y, f.w, f.h = f.x-12, f.y-titleHigh, max(f.w+24, need), f.h+titleHigh+10
		l.width = max(l.width, f.x+f.w+margin)
	}
	back := 0
	for i := range g.Edges {
		if l.back[i] {
			back++
		}
	}
	l.height += back*channel + margin
}

// textWidth is about how wide a text is drawn; letters of East Asian scripts and symbols take two places.
func textWidth(s string) (w int) {
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r >= 0x1f300 && r < 0x1fb00 || r >= 0xff00 && r < 0xff61:
			w += 2 * charWidth
		default:
			w += charWidth
		}
	}
	return w
}
