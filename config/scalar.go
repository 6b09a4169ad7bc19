package config

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// spot is a place in a file's text.
type spot struct{ line, col int }

// spots gives the place of each byte of a scalar's value, and of the one behind it, by reading the scalar's text once
// more beside the value: the parser only says where a scalar starts. Where the two do not agree (which would be a
// fault here), it gives nil, and the scalar's start has to do.
func (f *source) spots(n *yaml.Node) []spot {
	r := &scalarReader{value: n.Value, text: f.text, at: f.offset(n.Line, n.Column), line: n.Line, col: n.Column}
	r.out = make([]spot, 0, len(n.Value)+1)
	r.properties()
	var ok bool
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		r.step()
		ok = r.flow('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		r.step()
		ok = r.flow('\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		ok = r.block()
	default:
		ok = r.flow(0)
	}
	if !ok || len(r.out) != len(n.Value)+1 {
		return nil
	}
	return r.out
}

type scalarReader struct {
	value     string
	text      string
	at        int
	line, col int
	out       []spot
}

func (r *scalarReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// step goes one character on; a line break is one.
func (r *scalarReader) step() {
	if r.at >= len(r.text) {
		return
	}
	if n := lineBreak(r.text[r.at:]); n > 0 {
		r.at += n
		r.line, r.col = r.line+1, 1
		return
	}
	_, n := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += n
	r.col++
}

func (r *scalarReader) atBreak() bool { return r.at < len(r.text) && lineBreak(r.text[r.at:]) > 0 }

func (r *scalarReader) blanks() {
	for r.peek() == ' ' || r.peek() == '\t' {
		r.step()
	}
}

// properties skips anchor and tag.
func (r *scalarReader) properties() {
	for r.peek() == '&' || r.peek() == '!' {
		for r.at < len(r.text) && r.peek() != ' ' && r.peek() != '\t' && !r.atBreak() {
			r.step()
		}
		r.blanks()
		for r.atBreak() {
			r.step()
			r.blanks()
		}
	}
}

// took notes n bytes of the value for the given place; false where the value ends before.
func (r *scalarReader) took(n int, at spot) bool {
	if len(r.out)+n > len(r.value) {
		return false
	}
	for range n {
		r.out = append(r.out, at)
	}
	return true
}

// rest is the part of the value that has no place yet.
func (r *scalarReader) rest() string { return r.value[len(r.out):] }

// plainRune takes a character that stands for itself.
func (r *scalarReader) plainRune() bool {
	_, n := utf8.DecodeRuneInString(r.text[r.at:])
	if !strings.HasPrefix(r.rest(), r.text[r.at:r.at+n]) || !r.took(n, spot{r.line, r.col}) {
		return false
	}
	r.step()
	return true
}

// flow reads a plain scalar (quote 0) or a quoted one, behind its opening quote.
func (r *scalarReader) flow(quote byte) bool {
	for {
		if quote == 0 && r.rest() == "" {
			r.out = append(r.out, spot{r.line, r.col})
			return true
		}
		if r.at >= len(r.text) {
			return false
		}
		here := spot{r.line, r.col}
		switch c := r.peek(); {
		case c == quote && quote == '\'' && strings.HasPrefix(r.text[r.at:], "''"):
			r.step()
			r.step()
			if !r.took(1, here) {
				return false
			}
		case c == quote && quote != 0:
			r.out = append(r.out, here)
			return true
		case c == '\\' && quote == '"':
			if !r.escape() {
				return false
			}
		case r.atBreak():
			if !r.fold() {
				return false
			}
		case (c == ' ' || c == '\t') && r.blanksEndLine():
			r.blanks()
		default:
			if !r.plainRune() {
				return false
			}
		}
	}
}

// blanksEndLine reports whether only blanks follow before the line's end: they are no part of the value.
func (r *scalarReader) blanksEndLine() bool {
	for i := r.at; i < len(r.text); i++ {
		if r.text[i] == ' ' || r.text[i] == '\t' {
			continue
		}
		return lineBreak(r.text[i:]) > 0
	}
	return true
}

// spacesEndLine is blanksEndLine for blocks, where a tab is content.
func (r *scalarReader) spacesEndLine() bool {
	i := r.at + r.spaces()
	return i >= len(r.text) || lineBreak(r.text[i:]) > 0
}

// fold reads the breaks between two lines of a scalar: a single one is a space, n of them are n-1 line feeds.
func (r *scalarReader) fold() bool {
	here, breaks := spot{r.line, r.col}, 0
	for r.atBreak() {
		r.step()
		r.blanks()
		breaks++
	}
	want := max(1, breaks-1)
	if !strings.HasPrefix(r.rest(), " ") && !strings.HasPrefix(r.rest(), "\n") {
		want = 0 // an escaped break before it
	}
	return r.took(want, here)
}

// escape reads a backslash and what it stands for.
func (r *scalarReader) escape() bool {
	here := spot{r.line, r.col}
	r.step()
	c := r.peek()
	if r.atBreak() {
		r.step()
		r.blanks()
		for r.atBreak() { // blank lines behind an escaped break are line feeds
			if !r.took(1, spot{r.line, r.col}) {
				return false
			}
			r.step()
			r.blanks()
		}
		return true
	}
	r.step()
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	for range digits {
		r.step()
	}
	if r.rest() == "" {
		return false
	}
	_, n := utf8.DecodeRuneInString(r.rest())
	return r.took(n, here)
}

// block reads a literal or folded scalar, from its | or >.
func (r *scalarReader) block() bool {
	for r.at < len(r.text) && !r.atBreak() {
		r.step()
	}
	r.step()
	indent := -1
	for r.rest() != "" {
		if r.at >= len(r.text) {
			return r.tail()
		}
		if r.spacesEndLine() && (indent < 0 || r.spaces() <= indent) {
			// A blank line: a line feed of its own where the value has one here.
			if strings.HasPrefix(r.rest(), "\n") && !r.took(1, spot{r.line, r.col}) {
				return false
			}
			r.blanks()
			r.step()
			continue
		}
		if indent < 0 {
			first := r.rest()
			indent = r.spaces() - (len(first) - len(strings.TrimLeft(first, " ")))
		}
		for range indent {
			r.step()
		}
		for r.at < len(r.text) && !r.atBreak() {
			if !r.plainRune() {
				return false
			}
		}
		here := spot{r.line, r.col}
		if rest := r.rest(); strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, " ") {
			if !r.took(1, here) {
				return false
			}
		}
		r.step()
		// In a folded scalar blank lines stand for all line feeds but the first, which the break before them gave.
		if f := r.rest(); !strings.HasPrefix(f, "\n") {
			for r.at < len(r.text) && r.spacesEndLine() && r.spaces() <= indent {
				r.blanks()
				r.step()
			}
		}
	}
	r.out = append(r.out, spot{r.line, r.col})
	return true
}

// spaces counts the spaces that the line starts with.
func (r *scalarReader) spaces() int {
	return len(r.text[r.at:]) - len(strings.TrimLeft(r.text[r.at:], " "))
}

func (r *scalarReader) tail() bool {
	for r.rest() != "" {
		if !r.took(1, spot{r.line, r.col}) {
			return false
		}
	}
	r.out = append(r.out, spot{r.line, r.col})
	return true
}
