package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// quoted writes an expression as a YAML scalar in single quotes, where nothing but the quote itself is special.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var keyBefore = regexp.MustCompile(`^(\s*(?:- +)*)((?:[A-Za-z_][\w.-]*|"[^"]*"|'[^']*') *:[ \t]+)?`)

// valueStart gives where the value of a line `- key: value` or `- value` starts, -1 where there is none.
func valueStart(s string) int {
	m := keyBefore.FindStringSubmatchIndex(s)
	if m == nil || m[4] < 0 && !strings.Contains(s[m[2]:m[3]], "-") {
		return -1
	}
	return m[1]
}

// aliasOrAnchor is an alias or anchor that is meant as one.
var aliasOrAnchor = regexp.MustCompile(`^[*&][A-Za-z0-9_-]+$`)

// commentStart gives where the comment of a value starts, its length where it has none.
func commentStart(v string) int {
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"', '\'':
			if end := closingQuote(v[i:]); end > 0 {
				i += end
			}
		case '#':
			if i > 0 && (v[i-1] == ' ' || v[i-1] == '\t') {
				return i
			}
		}
	}
	return len(v)
}

// closingQuote gives the offset of the quote that closes the one s starts with, -1 where there is none.
func closingQuote(s string) int {
	q := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && q == '"':
			i++
		case s[i] == q && q == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == q:
			return i
		}
	}
	return -1
}

// trap is an expression in a line that YAML reads as something else.
type trap struct {
	from, to int // the expression, bytes of the line
	mark     int // the sign that YAML takes for its own
	markLen  int
	why      string
}

// leadingSign says what YAML makes of a sign at the start of a value.
var leadingSign = map[byte]string{
	'!': "YAML reads a leading ! as a tag",
	'&': "YAML reads a leading & as an anchor",
	'*': "YAML reads a leading * as an alias",
	'@': "YAML allows no value that starts with @",
	'`': "YAML allows no value that starts with `",
	'%': "YAML allows no value that starts with %",
}

// findTrap looks for an expression without quotes in a line that the parser refused.
func findTrap(s string) (trap, bool) {
	if len(s) > maxLine {
		return trap{}, false
	}
	at := valueStart(s)
	if at < 0 || at >= len(s) {
		return trap{}, false
	}
	v := trimRight(s[at : at+commentStart(s[at:])])
	if v == "" || v[0] == '#' || aliasOrAnchor.MatchString(v) {
		return trap{}, false
	}
	whole := func(mark, n int, why string) (trap, bool) { return trap{at, at + len(v), at + mark, n, why}, true }
	switch v[0] {
	case '"', '\'':
		if end := closingQuote(v); end >= 0 {
			if rest := strings.TrimSpace(v[end+1:]); rest != "" && rest[0] != '#' && rest[0] != ',' {
				return whole(0, end+1, fmt.Sprintf("YAML ends the text at the closing %c: an expression that starts with a quote needs quotes around all of it", v[0]))
			}
		}
		return trap{}, false
	case '!', '&', '*', '@', '`', '%':
		return whole(0, 1, leadingSign[v[0]])
	case '|', '>':
		if len(v) > 1 && (v[1] == ' ' || v[1] == '=' || v[1] == '|') {
			return whole(0, 1, fmt.Sprintf("YAML reads a leading %c as the start of a block of text", v[0]))
		}
	case '?', '-':
		if len(v) > 1 && v[1] == ' ' {
			return whole(0, 1, fmt.Sprintf("YAML reads a leading %c as a sign of its own", v[0]))
		}
	case '[', '{':
		end := closingBracket(v)
		if end >= 0 {
			if rest := strings.TrimSpace(v[end+1:]); rest != "" && rest[0] != '#' && rest[0] != ',' && rest[0] != ':' {
				return whole(0, 1, fmt.Sprintf("YAML reads a leading %c as a list or map of its own", v[0]))
			}
		}
		return flowTrap(s, at)
	}
	if i := strings.Index(v, ": "); i >= 0 {
		return whole(i, 1, "YAML takes `: ` for the end of a key")
	}
	if strings.HasSuffix(v, ":") && strings.ContainsAny(v, " ?") {
		return whole(len(v)-1, 1, "YAML takes a `:` at the end for the end of a key")
	}
	return trap{}, false
}

// closingBracket gives the offset of the bracket that closes the one s starts with, quotes respected.
func closingBracket(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i
			}
		case '"', '\'':
			if i > 0 && (s[i-1] == ' ' || strings.IndexByte("[{(,=", s[i-1]) >= 0) {
				end := closingQuote(s[i:])
				if end < 0 {
					return -1
				}
				i += end
			}
		}
	}
	return -1
}

// flowTrap looks inside a flow map or list for a plain value that holds one of its signs.
func flowTrap(s string, at int) (trap, bool) {
	i := at
	for i < len(s) {
		c := s[i]
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			end := strings.Index(s[i:], "}}")
			if end < 0 {
				return trap{}, false
			}
			return trap{i, flowEnd(s, i+end+2), i, 2, "YAML reads {{ as maps of its own"}, true
		case strings.IndexByte("[]{}, \t", c) >= 0:
			i++
		case (c == '"' || c == '\''):
			end := closingQuote(s[i:])
			if end < 0 {
				return trap{}, false
			}
			i += end + 1
			if rest := strings.TrimLeft(s[i:], " "); rest != "" && strings.IndexByte(",]}:#", rest[0]) < 0 {
				from := i - end - 1
				to := flowEnd(s, i)
				return trap{from, to, from, end + 1, fmt.Sprintf("YAML ends the text at the closing %c: an expression that starts with a quote needs quotes around all of it", c)}, true
			}
		default:
			// A plain word: a key, or a value up to the next sign.
			from := i
			if why := leadingSign[c]; why != "" && !aliasOrAnchor.MatchString(s[i:flowEnd(s, i)]) {
				return trap{from, flowEnd(s, i), i, 1, why}, true
			}
			for i < len(s) {
				if s[i] == ':' && (i+1 == len(s) || strings.IndexByte(" ,[]{}", s[i+1]) >= 0) {
					break
				}
				if strings.IndexByte(",]}", s[i]) >= 0 {
					break
				}
				if s[i] == '[' || s[i] == '{' || s[i] == '?' && i+1 < len(s) && s[i+1] == ' ' {
					to := flowEnd(s, i)
					if s[i] == '{' && i > from && s[i-1] == '$' {
						return trap{from, to, i - 1, 2, "inside { } and [ ] YAML takes the { of ${…} for a sign of its own"}, true
					}
					return trap{from, to, i, 1, fmt.Sprintf("inside { } and [ ] YAML takes %c for a sign of its own", s[i])}, true
				}
				if s[i] == '"' || s[i] == '\'' {
					if end := closingQuote(s[i:]); end >= 0 {
						if j := strings.IndexAny(s[i:i+end], ",]}"); j >= 0 || strings.Contains(s[i:i+end], ": ") {
							to := flowEnd(s, i)
							return trap{from, to, i, end + 1, "inside { } and [ ] YAML takes the signs in these quotes for its own"}, true
						}
						i += end
					}
				}
				i++
			}
			if i < len(s) && s[i] == ':' {
				i++
			}
		}
	}
	return trap{}, false
}

// flowEnd guesses where the expression around i ends: at the comma or bracket that its own brackets do not hold.
func flowEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"', '\'':
			if end := closingQuote(s[i:]); end >= 0 {
				i += end
			}
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			if depth == 0 {
				return len(trimRight(s[:i]))
			}
			depth--
		case ',':
			if depth == 0 {
				return len(trimRight(s[:i]))
			}
		}
	}
	return len(trimRight(s))
}

// syntaxTrap looks for the expression that made err, at the line which the parser names or behind it (for some
// mistakes it names where the block starts). A guess counts when quoting it changes the parser's mind.
func (l *loader) syntaxTrap(f *source, line int, err error) bool {
	tries := 0
	for n := max(1, line-1); n <= len(f.lines) && tries < f.guesses(); n++ {
		if _, done := f.repaired[n]; done {
			continue
		}
		s := f.line(n)
		t, ok := findTrap(s)
		if !ok {
			continue
		}
		tries++
		// A line may hold several: the parser changes its mind when the last one is out of the way.
		traps := []trap{}
		lines := []string{s}
		for range maxTrapsInLine {
			traps = append(traps, t)
			fixed := s[:t.from] + quoted(s[t.from:t.to]) + s[t.to:]
			lines = append(lines, fixed)
			text := f.text[:f.lines[n-1]] + fixed + f.text[f.lines[n-1]+len(lines[0]):]
			var doc yaml.Node
			again := decodeOne(text, &doc)
			if again == nil || again.Error() != err.Error() {
				l.repaired(f, n, lines, traps, text)
				return true
			}
			s = fixed
			if t, ok = findTrap(s); !ok {
				break
			}
		}
	}
	return false
}

// maxTrapsInLine bounds how many expressions of one line are put into quotes before it is given up.
const maxTrapsInLine = 8

// repaired notes the traps of a line, and puts the text in place that has quotes around them. lines are the line as it is in
// the file, and as it is after each repair.
func (l *loader) repaired(f *source, n int, lines []string, traps []trap, text string) {
	columns := make([]int, 0, len(lines[0])+1)
	for i := range utf8.RuneCountInString(lines[0]) + 1 {
		columns = append(columns, i+1)
	}
	for i, t := range traps {
		s := lines[i]
		at := utf8.RuneCountInString(s[:t.mark])
		d := Diagnostic{File: f.name, f: f, Line: n, Col: columns[at], EndCol: columns[at+utf8.RuneCountInString(s[t.mark:t.mark+t.markLen])], exact: true,
			Code: CodeYAMLTrap, Severity: Error, Message: t.why, Hint: toWrite(s, t.from, t.to)}
		l.add(d)
		columns = quotedColumns(columns, s, t)
	}
	if f.repaired == nil {
		f.repaired = map[int]repair{}
	}
	f.repaired[n] = repair{original: lines[0], column: columns}
	f.text = text
	f.lines = lineStarts(text)
}

// quotedColumns gives the columns in the file of each column of a line, once a trap in it stands in quotes.
func quotedColumns(columns []int, s string, t trap) []int {
	from, to := utf8.RuneCountInString(s[:t.from]), utf8.RuneCountInString(s[:t.to])
	out := append(make([]int, 0, len(columns)+2), columns[:from]...)
	out = append(out, columns[from]) // the opening quote
	for i, r := range []rune(s[t.from:t.to]) {
		out = append(out, columns[from+i])
		if r == '\'' {
			out = append(out, columns[from+i])
		}
	}
	out = append(out, columns[to]) // the closing quote
	return append(out, columns[to:]...)
}

// toWrite is the hint that shows the quoted expression behind its key; not where it may be a secret.
func toWrite(s string, from, to int) string {
	before, value := s[:from], s[from:to]
	for _, m := range suspects(s, 0) {
		if start := utf8.RuneCountInString(before) + 1; start < m.to && m.from < start+utf8.RuneCountInString(value) {
			return "put the value into quotes"
		}
	}
	if i := strings.LastIndexAny(before, "{[,"); i >= 0 {
		before = before[i+1:]
	}
	return "write " + strings.TrimLeft(before, " \t-") + quoted(value)
}
