package config

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// source is one file as it was read.
type source struct {
	name string
	// text is what the YAML parser sees: without a byte order mark, and with lines quoted where a trap was repaired.
	text string
	// lines are the offsets in text where lines start.
	lines []int
	// repaired are lines that differ from the file's.
	repaired map[int]repair
	// secret are the stretches that no snippet shows.
	secret []stretch
}

// repair is a line whose expression was put into quotes so that parsing could go on behind it.
type repair struct {
	original string
	// column gives the original column of each column of the repaired line.
	column []int
}

// stretch is a part of one line: columns [from, to), to 0 for the line's end.
type stretch struct{ line, from, to int }

func newSource(name, text string) *source {
	return &source{name: name, text: text, lines: lineStarts(text)}
}

// lineStarts finds lines as the YAML parser counts them: NEL, LS and PS end a line too.
func lineStarts(text string) []int {
	starts := []int{0}
	for i := 0; i < len(text); {
		if n := lineBreak(text[i:]); n > 0 {
			i += n
			starts = append(starts, i)
			continue
		}
		i++
	}
	return starts
}

// lineBreak gives the length of the line break that s starts with, 0 where it starts with none.
func lineBreak(s string) int {
	switch s[0] {
	case '\n':
		return 1
	case '\r':
		if len(s) > 1 && s[1] == '\n' {
			return 2
		}
		return 1
	case 0xc2:
		if strings.HasPrefix(s, "\u0085") {
			return 2
		}
	case 0xe2:
		if strings.HasPrefix(s, "\u2028") || strings.HasPrefix(s, "\u2029") {
			return 3
		}
	}
	return 0
}

// line gives a line of text without its break.
func (f *source) line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	end := len(f.text)
	if n < len(f.lines) {
		end = f.lines[n]
	}
	s := f.text[f.lines[n-1]:end]
	return strings.TrimRight(s, "\r\n\u0085\u2028\u2029")
}

// shown gives a line as it stands in the file.
func (f *source) shown(n int) string {
	if r, ok := f.repaired[n]; ok {
		return r.original
	}
	return f.line(n)
}

// column gives the file's column for one of text.
func (f *source) column(line, col int) int {
	r, ok := f.repaired[line]
	if !ok || col < 1 {
		return col
	}
	if col-1 < len(r.column) {
		return r.column[col-1]
	}
	return utf8.RuneCountInString(r.original) + 1
}

// offset gives the offset in text of a place.
func (f *source) offset(line, col int) int {
	if line < 1 || line > len(f.lines) {
		return len(f.text)
	}
	at := f.lines[line-1]
	for ; col > 1 && at < len(f.text); col-- {
		_, n := utf8.DecodeRuneInString(f.text[at:])
		at += n
	}
	return at
}

// hide keeps a stretch of a line out of snippets.
func (f *source) hide(line, from, to int) {
	f.secret = append(f.secret, stretch{line, from, to})
}

// snippet gives a line for people, secrets masked, and where the columns col and end have gone in it.
func (f *source) snippet(line, col, end int) (string, int, int) {
	s := f.shown(line)
	var masks []stretch
	for _, m := range f.secret {
		if m.line == line {
			masks = append(masks, m)
		}
	}
	masks = append(masks, suspects(s, line)...)
	if len(masks) > 0 {
		s, col, end = mask(s, masks, col, end)
	}
	return cut(s, col, end)
}

// suspects finds values that look like secrets by their key, for lines that were never decoded: those of a file that is
// no YAML, and fields that do not exist.
func suspects(s string, line int) []stretch {
	var out []stretch
	lower := strings.ToLower(s)
	for _, word := range []string{"password", "passwd", "secret", "token", "api_key", "apikey", "dsn", "credential", "private_key"} {
		at := strings.Index(lower, word)
		if at < 0 || len(lower) != len(s) {
			continue
		}
		colon := strings.IndexByte(s[at:], ':')
		if colon < 0 || strings.ContainsAny(s[at:at+colon], " \t,{}[]()") {
			continue
		}
		from := at + colon + 1
		for from < len(s) && (s[from] == ' ' || s[from] == '\t') {
			from++
		}
		value := s[from:]
		if value == "" || strings.HasPrefix(strings.TrimLeft(value, `'"`), "${") || value[0] == '{' || value[0] == '[' {
			continue
		}
		to := len(s)
		if value[0] == '"' || value[0] == '\'' {
			if end := closingQuote(value); end > 0 {
				to = from + end + 1
			}
		} else if i := strings.IndexAny(value, ",}"); i >= 0 && strings.ContainsRune(s[:at], '{') {
			to = from + len(trimRight(value[:i]))
		}
		out = append(out, stretch{line, utf8.RuneCountInString(s[:from]) + 1, utf8.RuneCountInString(s[:to]) + 1})
	}
	return out
}

func mask(s string, masks []stretch, col, end int) (string, int, int) {
	sort.Slice(masks, func(i, j int) bool { return masks[i].from < masks[j].from })
	runes := []rune(s)
	var out []rune
	at := 0
	type shift struct{ from, to, start, end int }
	var shifts []shift
	for _, m := range masks {
		from, to := m.from-1, m.to-1
		if m.to == 0 || to > len(runes) {
			to = len(runes)
		}
		if from < at || from >= to {
			continue
		}
		out = append(out, runes[at:from]...)
		start := len(out)
		out = append(out, []rune(masked)...)
		shifts = append(shifts, shift{from, to, start, len(out)})
		at = to
	}
	out = append(out, runes[at:]...)
	moved := func(c int) int {
		i, delta := c-1, 0
		for _, x := range shifts {
			switch {
			case i >= x.to:
				delta = x.end - x.to
			case i > x.from:
				return x.end + 1
			}
		}
		return i + delta + 1
	}
	return string(out), moved(col), moved(end)
}
