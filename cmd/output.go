package cmd

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func writeLine(w io.Writer, v any) error {
	line, err := wire.Line(v)
	if err == nil {
		_, err = w.Write(line)
	}
	return err
}

// grid writes rows in aligned columns. It holds them all, as the widest one decides: lists that may be long are cut
// into pages of maxGrid rows, each aligned by itself.
type grid struct {
	w     *bufio.Writer
	color bool
	head  []string
	right []bool
	rows  [][]string
}

const maxGrid = 1000

// newGrid makes a grid; heads that start with > are columns of numbers, aligned to the right.
func newGrid(w io.Writer, color bool, head ...string) *grid {
	g := &grid{w: bufio.NewWriter(w), color: color, head: head, right: make([]bool, len(head))}
	for i, h := range head {
		g.head[i] = strings.TrimPrefix(h, ">")
		g.right[i] = strings.HasPrefix(h, ">")
	}
	return g
}

func (g *grid) add(cells ...string) error {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	g.rows = append(g.rows, cells)
	if len(g.rows) >= maxGrid {
		return g.page()
	}
	return nil
}

func (g *grid) page() error {
	width := make([]int, len(g.head))
	for i, h := range g.head {
		width[i] = utf8.RuneCountInString(h)
	}
	for _, row := range g.rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	line := func(cells []string, before, after string) {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i > 0 {
				b.WriteString("  ")
			}
			if g.right[i] {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		_, _ = g.w.WriteString(before + strings.TrimRight(b.String(), " ") + after + "\n") // Flush tells
	}
	if g.head != nil {
		before, after := "", ""
		if g.color {
			before, after = "\x1b[1m", "\x1b[0m"
		}
		line(g.head, before, after)
	}
	for _, row := range g.rows {
		line(row, "", "")
	}
	g.rows = g.rows[:0]
	return g.w.Flush()
}

func (g *grid) done() error {
	if len(g.rows) == 0 {
		return nil
	}
	return g.page()
}

// visible keeps text from events from breaking a line or steering the terminal.
func visible(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			q := strconv.Quote(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}

// count writes a number with its noun: 1 event, 2 events.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		return number(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return number(n) + " " + noun + "s"
}

// number writes 1234567 as 1,234,567.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if s[0] == '-' {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// ago writes how long ago t was, in the largest unit that fits.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return ""
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// cut shortens text to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// progress counts long work on a terminal, in one line that goes away at the end.
type progress struct {
	a     *app
	what  string
	total int64 // 0: unknown
	n     int64
	last  time.Time
	shown bool
}

func (a *app) progress(what string, total int64) *progress {
	return &progress{a: a, what: what, total: total, last: a.now()}
}

// add counts; it writes at most four times a second, and nothing where stderr is no terminal.
func (p *progress) add(n int64) {
	p.n += n
	if !p.a.errTTY || p.a.quiet || p.n&1023 != 0 && p.n != p.total {
		return
	}
	now := p.a.now()
	if now.Sub(p.last) < 250*time.Millisecond {
		return
	}
	p.last, p.shown = now, true
	if p.total > 0 {
		const width = 30
		full := int(min(p.n*width/p.total, width))
		fmt.Fprintf(p.a.err, "\r\x1b[K%s [%s%s] %s/%s", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), number(p.n), number(p.total))
		return
	}
	fmt.Fprintf(p.a.err, "\r\x1b[K%s %s", p.what, number(p.n))
}

func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.a.err, "\r\x1b[K")
	}
}
