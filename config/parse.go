package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds of one file, far above what people write, far below what hurts. A node is a map, a list, a key or a value;
// one that an alias repeats counts again.
const (
	maxNodes = 10_000
	maxDepth = 64
	// maxSigns bounds the line breaks, commas and the like that a text may have before it is parsed at all, as the
	// parser takes about a microsecond for each.
	maxSigns = 60_000
	// maxRepairs bounds how often a text with syntax errors is parsed again.
	maxRepairs = 20
)

// parse gives the root map of a file, nil where there is none. Syntax errors that come from expressions without quotes
// are repaired after they are reported, so that what follows is checked too.
func (l *loader) parse(f *source) *yaml.Node {
	if signs(f.text) > maxSigns {
		l.whole(f.name, CodeTooLarge, fmt.Sprintf("the file has more than %d parts", maxNodes), "split it, or take the data out of it")
		return nil
	}
	var doc yaml.Node
	for range maxRepairs {
		err := decodeOne(f.text, &doc)
		if err == nil {
			break
		}
		if errors.Is(err, errSecondDocument) {
			l.secondDocument(f)
			return nil
		}
		if !l.syntaxError(f, err) {
			return nil
		}
		doc = yaml.Node{}
	}
	if doc.Kind == 0 || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		l.whole(f.name, CodeMissingField, "the file is empty", "a pipeline file starts with `pipelines:`")
		return nil
	}
	root := doc.Content[0]
	if !l.bounded(f, root) {
		return nil
	}
	return root
}

func signs(text string) int {
	n := strings.Count(text, ",") + strings.Count(text, "[") + strings.Count(text, "{") +
		strings.Count(text, "- ") + strings.Count(text, ": ") + strings.Count(text, "? ")
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' || text[i] == '\r' {
			n++
		}
	}
	return n
}

var errSecondDocument = errors.New("a second document")

func decodeOne(text string, doc *yaml.Node) (err error) {
	// The parser panics on some malformed texts.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	d := yaml.NewDecoder(strings.NewReader(text))
	if err := d.Decode(doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case len(second.Content) > 0 && isNull(second.Content[0]):
		return nil // a closing --- or ...
	}
	return errSecondDocument
}

func (l *loader) secondDocument(f *source) {
	seen := false
	for n := range f.lines {
		s := f.line(n + 1)
		if strings.HasPrefix(s, "---") && seen {
			l.add(Diagnostic{File: f.name, Line: n + 1, Col: 1, EndCol: 4, Code: CodeSyntax, Severity: Error, f: f,
				Message: "a second document starts here: a pipeline file is one document", Hint: "take the --- away, or put what follows into a file of its own"})
			return
		}
		if t := strings.TrimSpace(s); t != "" && t[0] != '#' && t[0] != '%' {
			seen = true
		}
	}
	l.whole(f.name, CodeSyntax, "the file holds more than one document", "put the second one into a file of its own")
}

// bounded counts what a file holds with its aliases expanded, and refuses loops, tags and keys that are no text.
func (l *loader) bounded(f *source, root *yaml.Node) bool {
	type size struct{ nodes, depth int }
	done := map[*yaml.Node]size{}
	open := map[*yaml.Node]bool{}
	ok := true
	var walk func(n *yaml.Node, depth int) size
	walk = func(n *yaml.Node, depth int) size {
		if !ok {
			return size{}
		}
		if depth > maxDepth {
			l.at(f, n, nil, CodeTooLarge, fmt.Sprintf("more than %d levels deep", maxDepth), "")
			ok = false
			return size{}
		}
		if n.Kind == yaml.AliasNode {
			n = n.Alias
			if open[n] {
				l.at(f, n, nil, CodeRecursion, fmt.Sprintf("the anchor %q contains an alias of itself", n.Anchor), "")
				ok = false
				return size{}
			}
		}
		if s, known := done[n]; known {
			if depth+s.depth > maxDepth {
				l.at(f, n, nil, CodeTooLarge, fmt.Sprintf("more than %d levels deep", maxDepth), "")
				ok = false
			}
			return s
		}
		open[n] = true
		s := size{nodes: 1}
		for _, c := range n.Content {
			inner := walk(c, depth+1)
			s.nodes = min(s.nodes+inner.nodes, maxNodes+1)
			s.depth = max(s.depth, inner.depth+1)
		}
		delete(open, n)
		done[n] = s
		return s
	}
	s := walk(root, 0)
	if ok && s.nodes > maxNodes {
		l.whole(f.name, CodeTooLarge, fmt.Sprintf("the file has more than %d parts, aliases counted each time", maxNodes), "split it, or take the data out of it")
		return false
	}
	return ok
}

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
	if l.tabIndent(f, line) {
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
	case strings.Contains(message, "found unexpected end of stream"):
		if at, ok := openQuote(f); ok {
			l.add(Diagnostic{File: f.name, f: f, Line: at.line, Col: at.col, EndCol: at.col + 1, Code: CodeSyntax, Severity: Error, Message: "the quote that opens here is never closed"})
			return false
		}
		message = "a quote is never closed"
	case strings.Contains(message, "did not find expected ',' or ']'"):
		message, hint = "a list in brackets is not closed, or lacks a comma", "close it with ]"
	case strings.Contains(message, "did not find expected ',' or '}'"):
		message, hint = "a map in braces is not closed, or lacks a comma", "close it with }"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-' indicator"):
		message, line = "the indentation does not fit what stands above", f.misfit(line)
	case strings.Contains(message, "mapping values are not allowed"):
		message, hint = "a colon stands where no key can be", "is the line above complete, and the indentation that of its neighbours?"
	case strings.Contains(message, "could not find expected ':'"):
		message, hint = "a key without its colon", "keys are written `name:`"
		line = f.withoutColon(line)
	}
	s := f.line(line)
	col := len(s) - len(strings.TrimLeft(s, " \t")) + 1
	l.add(Diagnostic{File: f.name, f: f, Line: line, Col: col, EndCol: utf8.RuneCountInString(trimRight(s)) + 1, Code: CodeSyntax, Severity: Error, Message: message, Hint: hint})
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

// withoutColon finds the line near n that has no colon.
func (f *source) withoutColon(n int) int {
	for i := n; i > max(0, n-3); i-- {
		if t := strings.TrimSpace(f.line(i)); t != "" && t[0] != '#' && !strings.Contains(t, ":") {
			return i
		}
	}
	return n
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

// openQuote finds the last quote that starts a value and is not closed in its line.
func openQuote(f *source) (spot, bool) {
	for n := len(f.lines); n >= 1; n-- {
		s := f.line(n)
		at := valueStart(s)
		if at < 0 || at >= len(s) || s[at] != '"' && s[at] != '\'' {
			continue
		}
		if closingQuote(s[at:]) < 0 {
			return spot{n, utf8.RuneCountInString(s[:at]) + 1}, true
		}
	}
	return spot{}, false
}

func isNull(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// deref follows an alias.
func deref(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
