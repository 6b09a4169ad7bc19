package config

import (
	"encoding/json"
	"errors"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/pattern"
)

// pattern decodes and compiles an event pattern: a YAML map, or JSON in a string.
func (c scope) pattern(n *yaml.Node) (Pattern, bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		t, ok := c.scalar(n, "an event pattern", asJSON)
		if !ok {
			return Pattern{}, false
		}
		p := Pattern{JSON: []byte(t.s), Pos: c.pos(n)}
		return p, c.compilePattern(p, func(offset int) (*yaml.Node, int) { return n, t.offset(offset) })
	}
	if n.Kind != yaml.MappingNode {
		c.wrongType(n, "an event pattern (a map, or JSON text)")
		return Pattern{}, false
	}
	w := &jsonWriter{scope: c}
	if ok := w.value(n, false); !ok {
		return Pattern{}, false
	}
	p := Pattern{JSON: []byte(w.b.String()), Pos: c.pos(n)}
	return p, c.compilePattern(p, w.place)
}

// compilePattern compiles a pattern and reports its faults at the place that its JSON came from.
func (c scope) compilePattern(p Pattern, place func(offset int) (*yaml.Node, int)) bool {
	compiled, err := pattern.Compile(p.JSON)
	if err == nil {
		c.checkPattern(compiled, place)
		return true
	}
	var e *pattern.Error
	if !errors.As(err, &e) {
		n, _ := place(0)
		c.fail(n, CodePattern, err.Error(), "")
		return false
	}
	c.patternFault(CodePattern, Error, e.Reason, e.Offset, place)
	d := &c.l.diags[len(c.l.diags)-1]
	n, _ := place(e.Offset)
	d.Hint = patternHint(e.Reason, n)
	return false
}

// matchTypes are the words that stand in the objects of a pattern's lists.
var matchTypes = []string{"prefix", "suffix", "equals-ignore-case", "anything-but", "wildcard", "numeric", "cidr", "exists"}

// patternHint says what to write for the service's reason; n is what it is about.
func patternHint(reason string, n *yaml.Node) string {
	if name, ok := strings.CutPrefix(reason, "Unrecognized match type "); ok {
		return suggestOr(name, matchTypes, "one of ")
	}
	switch {
	case strings.HasSuffix(reason, "must be an object or an array") && n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && !strings.ContainsAny(n.Value, "{[\n"):
		return "values stand in a list: [" + shorten(n.Value) + "]"
	case strings.HasPrefix(reason, "Value of numeric must be an array"):
		return `for example numeric: [">", 0, "<=", 5]`
	case strings.HasPrefix(reason, "exists match pattern"):
		return "write true or false, without quotes"
	}
	return ""
}

func (c scope) patternFault(code Code, severity Severity, message string, offset int, place func(int) (*yaml.Node, int)) {
	n, at := place(offset)
	if n.Kind == yaml.ScalarNode && at > 0 {
		c.l.span(c, n, at, at+jsonTokenLength(n.Value[min(at, len(n.Value)):]), code, message, "")
	} else {
		c.fail(n, code, message, "")
	}
	c.l.diags[len(c.l.diags)-1].Severity = severity
}

func jsonTokenLength(s string) int {
	if s == "" {
		return 0
	}
	if s[0] == '"' {
		if end := closingQuote(s); end > 0 {
			return end + 1
		}
	}
	if i := strings.IndexAny(s, " ,:[]{}\"\n"); i > 0 {
		return i
	}
	return 1
}

// jsonWriter writes a YAML value as JSON, and remembers what came from where.
type jsonWriter struct {
	scope
	b     strings.Builder
	table []struct {
		at int
		n  *yaml.Node
	}
}

func (w *jsonWriter) mark(n *yaml.Node) {
	w.table = append(w.table, struct {
		at int
		n  *yaml.Node
	}{w.b.Len(), n})
}

// place gives the node that made the byte at an offset.
func (w *jsonWriter) place(offset int) (*yaml.Node, int) {
	i := sort.Search(len(w.table), func(i int) bool { return w.table[i].at > offset })
	return w.table[max(i-1, 0)].n, 0
}

func (w *jsonWriter) text(s string) {
	b, err := json.Marshal(s)
	if err != nil {
		b = []byte(`""`)
	}
	w.b.Write(b)
}

// value writes a node; number says that it stands where a pattern wants a number, so that a value from outside is one.
func (w *jsonWriter) value(n *yaml.Node, number bool) bool {
	n = deref(n)
	w.mark(n)
	if w.tagged(n) {
		return false
	}
	ok := true
	switch n.Kind {
	case yaml.MappingNode:
		w.b.WriteByte('{')
		first := true
		w.members(n, &first, &ok)
		w.b.WriteByte('}')
	case yaml.SequenceNode:
		w.b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.b.WriteByte(',')
			}
			ok = w.value(item, number) && ok
		}
		w.b.WriteByte(']')
	default:
		return w.scalar(n, number)
	}
	return ok
}

func (w *jsonWriter) members(n *yaml.Node, first, ok *bool) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := deref(n.Content[i]), n.Content[i+1]
		if k.Tag == "!!merge" {
			if m := deref(v); m.Kind == yaml.MappingNode {
				w.members(m, first, ok)
				continue
			}
		}
		if k.Kind != yaml.ScalarNode {
			w.fail(k, CodePattern, "a key of a pattern is text", "")
			*ok = false
			continue
		}
		if !*first {
			w.b.WriteByte(',')
		}
		*first = false
		w.mark(k)
		w.text(k.Value)
		w.b.WriteByte(':')
		*ok = w.value(v, k.Value == "numeric") && *ok
	}
}

func (w *jsonWriter) scalar(n *yaml.Node, number bool) bool {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	t, ok := w.interpolate(n, asText)
	if t.unknown && w.unknown != nil {
		*w.unknown = true
	}
	switch {
	case !ok:
		w.b.WriteString(`""`)
	case t.replaced && number && t.unknown:
		w.b.WriteByte('0')
	case t.replaced && number && isJSONNumber(t.s):
		w.b.WriteString(t.s)
	case t.replaced || quoted:
		w.text(t.s)
	case n.Tag == "!!null":
		w.b.WriteString("null")
	case n.Tag == "!!bool":
		w.b.WriteString(strings.ToLower(n.Value))
	case (n.Tag == "!!int" || n.Tag == "!!float") && isJSONNumber(n.Value):
		w.b.WriteString(n.Value)
	case n.Tag == "!!int" || n.Tag == "!!float":
		w.fail(n, CodePattern, "a number in a pattern is written as in JSON, got "+describe(n), "text needs quotes")
		w.b.WriteByte('0')
		return false
	default:
		w.text(n.Value)
	}
	return ok
}

func isJSONNumber(s string) bool {
	return s != "" && strings.IndexByte("-0123456789", s[0]) >= 0 && json.Valid([]byte(s))
}

// checkPattern reports what is valid in a pattern, but hardly meant.
func (c scope) checkPattern(p *pattern.Pattern, place func(int) (*yaml.Node, int)) {
	for _, w := range pattern.Check(p) {
		c.patternFault(CodePatternWarning, Warning, w.Message, w.Offset, place)
	}
}
