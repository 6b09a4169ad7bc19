package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntaxError reports why the text is no YAML; true where a trap was found and taken out of the text.
func (l *loader) syntaxError(f *source, err error) bool {
	m := syntaxLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	line, message := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m != nil {
		message = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
	}
	line = min(max(line, 1), len(f.lines))
	if l.tabIndent(f, line) || l.oddSpace(f, line) {
		return false
	}
	if l.syntaxTrap(f, line, err) {
		return true
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		for n := range f.lines {
			if at := strings.Index(f.line(n+1), "*"+name); at >= 0 {
				col := utf8.RuneCountInString(f.line(n + 1)[:at])
				l.add(Diagnostic{File: f.name, f: f, Line: n + 1, Col: col + 1, EndCol: col + 2 + utf8.RuneCountInString(name), Code: CodeSyntax, Severity: Error,
					Message: fmt.Sprintf("the alias *%s has no anchor &%s above it", name, name)})
				return false
			}
		}
	}
	hint := ""
	switch {
	case l.openQuote(f, line, err), l.openBracket(f), l.noColon(f, line, err):
		return false
	case strings.Contains(message, "incompatible YAML document"):
		message, hint = "the %YAML line names a version that the parser does not know", "take the line away"
	case strings.Contains(message, "found unexpected end of stream"):
		message = "a quote is never closed"
	case strings.Contains(message, "did not find expected ',' or ']'"):
		message, hint = "a list in brackets is not closed, or lacks a comma", "close it with ]"
	case strings.Contains(message, "did not find expected ',' or '}'"):
		message, hint = "a map in braces is not closed, or lacks a comma", "close it with }"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-' indicator"):
		message, line = "the indentation does not fit what stands above", f.misfit(line)
	case strings.Contains(message, "mapping values are not allowed") && valueStart(f.line(line)) < 0 && strings.Contains(f.line(line), ": "):
		s := f.line(line)
		at := strings.Index(s, ": ")
		l.syntaxAt(f, line, at, at+1, "YAML takes `: ` for the end of a key", "write an expression of several lines as a block: `>-` behind its key, and the lines below")
		l.diags[len(l.diags)-1].Code = CodeYAMLTrap
		return false
	case strings.Contains(message, "mapping values are not allowed"):
		message, hint = "a colon stands where no key can be", "is the line above complete, and the indentation that of its neighbours?"
	case strings.Contains(message, "could not find expected ':'"):
		message, hint = "a key without its colon", "keys are written `name:`"
	}
	s := f.line(line)
	start := len(s) - len(strings.TrimLeft(s, " \t"))
	l.syntaxAt(f, line, start, len(trimRight(s)), message, hint)
	return false
}

// syntaxAt notes a syntax error at bytes [from, to) of a line.
func (l *loader) syntaxAt(f *source, line, from, to int, message, hint string) {
	s := f.line(line)
	l.add(Diagnostic{File: f.name, f: f, Line: line, Col: utf8.RuneCountInString(s[:from]) + 1, EndCol: utf8.RuneCountInString(s[:max(from, to)]) + 1, Code: CodeSyntax, Severity: Error, Message: message, Hint: hint})
}

// guesses is how many repairs may be tried: each one parses the text again.
func (f *source) guesses() int { return min(maxGuesses, max(1, (1<<20)/len(f.text))) }

// mends reports whether the parser takes the text, or at least stumbles over something else, once a line is replaced.
func (f *source) mends(line int, fixed string, err error) (whole, other bool) {
	s := f.line(line)
	var doc yaml.Node
	again := decodeOne(f.text[:f.lines[line-1]]+fixed+f.text[f.lines[line-1]+len(s):], &doc)
	return again == nil, again == nil || again.Error() != err.Error()
}

// openQuote looks for a value whose quote is not closed in its line, and whose closing mends the text.
func (l *loader) openQuote(f *source, line int, err error) bool {
	tries, guess, guessAt := 0, 0, 0
	for n := max(1, line-1); n <= len(f.lines) && tries < f.guesses(); n++ {
		s := f.line(n)
		at := strayQuote(s)
		if at < 0 || len(s) > maxLine {
			continue
		}
		tries++
		body := trimRight(s)
		inner := strings.TrimRight(body, "}] \t")
		atEnd, other := f.mends(n, body+s[at:at+1], err)
		inside, _ := f.mends(n, inner+s[at:at+1]+body[len(inner):], err)
		if atEnd || inside {
			l.syntaxAt(f, n, at, at+1, "the quote that opens here is never closed", "")
			return true
		}
		if other && guess == 0 {
			guess, guessAt = n, at
		}
	}
	if guess == 0 || !strings.Contains(err.Error(), "end of stream") {
		return false
	}
	l.syntaxAt(f, guess, guessAt, guessAt+1, "the quote that opens here is never closed", "")
	return true
}

// strayQuote gives the offset of a quote that starts a value and is not closed in the line, -1 where there is none.
func strayQuote(s string) int {
	before := byte(' ')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c == '"' || c == '\'') && strings.IndexByte(" \t[{,:", before) >= 0 {
			end := closingQuote(s[i:])
			if end < 0 {
				return i
			}
			i += end
			c = 'x'
		}
		if c == '#' && (before == ' ' || before == '\t') {
			return -1
		}
		before = c
	}
	return -1
}

// openBracket looks for a bracket that another kind closes, or none.
func (l *loader) openBracket(f *source) bool {
	type bracket struct {
		c        byte
		line, at int
	}
	var open []bracket
	report := func(b bracket) bool {
		want := map[byte]string{'[': "]", '{': "}"}[b.c]
		l.syntaxAt(f, b.line, b.at, b.at+1, fmt.Sprintf("the %c that opens here is not closed", b.c), "close it with "+want)
		return true
	}
	block := -1 // the indentation of the line that opened a block of text
	for n := 1; n <= len(f.lines); n++ {
		s := f.line(n)
		t := strings.TrimLeft(s, " ")
		indent := len(s) - len(t)
		if t == "" || t[0] == '#' || block >= 0 && indent > block {
			continue
		}
		if len(s) > maxLine {
			return false
		}
		block = -1
		i := 0
		if len(open) == 0 {
			at := valueStart(s)
			if at < 0 || at >= len(s) {
				continue
			}
			if s[at] == '|' || s[at] == '>' {
				block = indent
			}
			if s[at] != '[' && s[at] != '{' {
				continue
			}
			i = at
		} else if m := keyBefore.FindStringSubmatchIndex(s); m != nil && (m[4] >= 0 && indent <= len(f.line(open[0].line))-len(strings.TrimLeft(f.line(open[0].line), " "))) {
			return report(open[len(open)-1]) // a key of the block around: the bracket should have been closed
		}
		for ; i < len(s); i++ {
			switch c := s[i]; c {
			case '"', '\'':
				if end := closingQuote(s[i:]); end >= 0 && i > 0 && strings.IndexByte(" [{,:", s[i-1]) >= 0 {
					i += end
				}
			case '#':
				if i > 0 && s[i-1] == ' ' {
					i = len(s)
				}
			case '[', '{':
				open = append(open, bracket{c, n, i})
			case ']', '}':
				if len(open) == 0 {
					return false
				}
				if last := open[len(open)-1]; (last.c == '[') != (c == ']') {
					return report(last)
				}
				open = open[:len(open)-1]
			}
		}
	}
	if len(open) > 0 {
		return report(open[len(open)-1])
	}
	return false
}

// noColon looks for a key that lacks its colon at the line or just before.
func (l *loader) noColon(f *source, line int, err error) bool {
	for n := line; n >= max(1, line-2); n-- {
		s := f.line(n)
		t := strings.TrimSpace(s)
		if t == "" || len(t) > maxLine || strings.ContainsAny(t, ":#") || !isWord(strings.TrimPrefix(t, "- ")) {
			continue
		}
		if _, other := f.mends(n, trimRight(s)+":", err); other {
			l.syntaxAt(f, n, len(s)-len(strings.TrimLeft(s, " -")), len(trimRight(s)), "a key without its colon", fmt.Sprintf("write %s:", strings.TrimPrefix(t, "- ")))
			return true
		}
	}
	return false
}

// misfit finds the line below from whose indentation is none of those that are open: the parser names the line where
// the block starts, not the one that breaks it.
func (f *source) misfit(from int) int {
	var open []int
	for n := from; n <= len(f.lines); n++ {
		s := f.line(n)
		t := strings.TrimLeft(s, " ")
		if t == "" || t[0] == '#' {
			continue
		}
		indent := len(s) - len(t)
		for len(open) > 0 && open[len(open)-1] > indent {
			open = open[:len(open)-1]
			if len(open) == 0 || open[len(open)-1] < indent {
				return n
			}
		}
		for strings.HasPrefix(t, "- ") {
			if len(open) == 0 || open[len(open)-1] < indent {
				open = append(open, indent)
			}
			rest := strings.TrimLeft(t[1:], " ")
			indent += len(t) - len(rest)
			t = rest
		}
		if len(open) == 0 || open[len(open)-1] < indent {
			open = append(open, indent)
		}
	}
	return from
}

// oddSpaces are characters that look like a space, or like nothing, and are none to YAML.
var oddSpaces = map[rune]string{'\u00a0': "a no-break space", '\u2007': "a figure space", '\u202f': "a narrow no-break space", '\u3000': "a wide space", '\u200b': "a space without width", '\ufeff': "a byte order mark"}

// oddSpace reports such a character outside of quotes where the parser stumbles: it comes from web pages and word processors.
func (l *loader) oddSpace(f *source, line int) bool {
	for n := max(1, line-1); n <= min(line+1, len(f.lines)); n++ {
		s := f.line(n)
		for at, r := range s {
			what, odd := oddSpaces[r]
			if !odd || strings.Count(s[:at], `"`)%2 == 1 || strings.Count(s[:at], "'")%2 == 1 {
				continue
			}
			l.syntaxAt(f, n, at, at+utf8.RuneLen(r), fmt.Sprintf("%s (U+%04X), which YAML does not take for a space", what, r), "write a plain space")
			l.diags[len(l.diags)-1].Code = CodeYAMLTrap
			return true
		}
	}
	return false
}

// tabIndent reports a tab in the indentation at the line or just before, which is what YAML stumbles over there.
func (l *loader) tabIndent(f *source, line int) bool {
	for n := max(1, line-1); n <= min(line+1, len(f.lines)); n++ {
		s := f.line(n)
		blank := s[:len(s)-len(strings.TrimLeft(s, " \t"))]
		if at := strings.IndexByte(blank, '\t'); at >= 0 && blank != s {
			l.add(Diagnostic{File: f.name, f: f, Line: n, Col: at + 1, EndCol: at + 2, Code: CodeYAMLTrap, Severity: Error,
				Message: "a tab in the indentation: YAML indents with spaces", Hint: "two spaces for each level"})
			return true
		}
	}
	return false
}
