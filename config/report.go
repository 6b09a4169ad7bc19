package config

import (
	"fmt"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// add notes a diagnostic.
func (l *loader) add(d Diagnostic) {
	if d.EndCol <= d.Col {
		d.EndCol = d.Col + 1
	}
	if d.Line == 0 {
		d.Col, d.EndCol = 0, 0
	}
	l.diags = append(l.diags, d)
}

// whole notes an error of a file as a whole.
func (l *loader) whole(file string, code Code, message, hint string) {
	if file == "" {
		file = "leat"
	}
	l.add(Diagnostic{File: file, Code: code, Severity: Error, Message: message, Hint: hint})
}

// at notes an error at a node.
func (l *loader) at(f *source, n *yaml.Node, p *path, code Code, message, hint string) *Diagnostic {
	start, end := extent(f, n)
	l.add(Diagnostic{File: f.name, f: f, Line: start.line, Col: start.col, EndCol: end, Path: p.String(), Code: code, Severity: Error, Message: message, Hint: hint})
	return &l.diags[len(l.diags)-1]
}

// span notes an error at a part of a scalar: bytes [from, to) of its value.
func (l *loader) span(c scope, n *yaml.Node, from, to int, code Code, message, hint string) *Diagnostic {
	d := l.at(c.f, n, c.path, code, message, hint)
	d.Related = append(d.Related, c.uses...)
	if len(n.Value) > 8*maxLine {
		return d
	}
	spots := c.f.spots(n)
	if spots == nil {
		return d
	}
	from, to = min(max(from, 0), len(n.Value)), min(max(to, from), len(n.Value))
	d.Line, d.Col = spots[from].line, spots[from].col
	d.EndCol = d.Col + 1
	if to > from {
		if spots[to-1].line == d.Line {
			_, size := utf8.DecodeLastRuneInString(n.Value[:to])
			d.EndCol = spots[to-size].col + 1
			if spots[to].line == d.Line && spots[to].col > d.EndCol {
				d.EndCol = spots[to].col
			}
		} else {
			d.EndCol = utf8.RuneCountInString(trimRight(c.f.line(d.Line))) + 1
		}
	}
	return d
}

// extent gives where a node starts, and where its text ends in that line.
func extent(f *source, n *yaml.Node) (spot, int) {
	start := spot{n.Line, n.Column}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			return start, start.col + 1
		}
		spots := []spot(nil)
		if len(n.Value) <= maxLine {
			spots = f.spots(n)
		}
		if spots == nil {
			return start, start.col + max(1, utf8.RuneCountInString(n.Value))
		}
		last := spots[len(spots)-1]
		end := last.col
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			end++
		}
		if last.line != start.line {
			end = utf8.RuneCountInString(trimRight(f.line(start.line))) + 1
		}
		return start, max(end, start.col+1)
	case yaml.AliasNode:
		return start, start.col + 1 + utf8.RuneCountInString(n.Value)
	}
	if n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0 && n.Kind == yaml.MappingNode && n.Content[0].Kind == yaml.ScalarNode {
		return extent(f, n.Content[0])
	}
	return start, start.col + 1
}

// path is the place of something in the config, from the root.
type path struct {
	up    *path
	name  string
	index int // used where name is empty
}

func (p *path) String() string {
	if p == nil {
		return ""
	}
	s := p.up.String()
	switch {
	case p.name == "":
		return fmt.Sprintf("%s[%d]", s, p.index)
	case s == "":
		return p.name
	}
	return s + "." + p.name
}

// withoutEchoes takes away what is said of an expression at the very sign of which a trap was reported.
func (ds Diagnostics) withoutEchoes() Diagnostics {
	type place struct {
		file      string
		line, col int
	}
	traps := map[place]bool{}
	for _, d := range ds {
		if d.Code == CodeYAMLTrap {
			traps[place{d.File, d.Line, d.Col}] = true
		}
	}
	out := ds[:0]
	for _, d := range ds {
		if d.Code != CodeExpression && d.Code != CodeTemplate || !traps[place{d.File, d.Line, d.Col}] {
			out = append(out, d)
		}
	}
	return out
}

// distinct takes away repeats of one mistake at one place, which a fragment used twice gives; their uses are kept.
func (ds Diagnostics) distinct() Diagnostics {
	out := ds[:0]
	for _, d := range ds {
		known := false
		for i := len(out) - 1; i >= 0 && out[i].File == d.File && out[i].Line == d.Line && out[i].Col == d.Col; i-- {
			if out[i].Code != d.Code || out[i].Message != d.Message {
				continue
			}
			known = true
			for _, r := range d.Related {
				seen := false
				for _, q := range out[i].Related {
					seen = seen || q == r
				}
				if !seen {
					out[i].Related = append(out[i].Related, r)
				}
			}
			break
		}
		if !known {
			out = append(out, d)
		}
	}
	return out
}
