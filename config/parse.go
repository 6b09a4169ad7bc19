package config

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds of one file, far above what people write, far below what hurts. A node is a map, a list, a key or a value;
// one that an alias repeats counts again.
const (
	maxNodes = 10_000
	maxDepth = 64
	// maxSigns bounds the line breaks, commas and the like that a text may have before it is parsed at all, as the
	// parser takes about a microsecond for each.
	maxSigns = 40_000
	// maxRepairs bounds how often a text with syntax errors is parsed again after a repair; maxGuesses, how many
	// repairs are tried for one error, fewer where the text is long.
	maxRepairs = 20
	maxGuesses = 20
	// maxLine bounds the lines that are searched for traps.
	maxLine = 8 << 10
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
	for i := range len(text) {
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
			alias := n
			n = n.Alias
			if open[n] {
				l.at(f, alias, nil, CodeRecursion, fmt.Sprintf("the anchor %q contains an alias of itself", n.Anchor), "")
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
