package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

const everything = filter.Event | filter.Log | filter.Row | filter.Item

// sees gives the names that an expression in a field may use here.
func (c scope) sees(f *field) filter.Roots {
	if f != nil && f.roots != 0 {
		return f.roots & c.limit
	}
	return c.roots & c.limit
}

// compiler gives the scope in which expressions are compiled for checking; what they read is not needed here.
func (l *loader) compiler(r filter.Roots) *filter.Scope {
	s := l.scopes[r]
	if s == nil {
		s = filter.NewScope(r)
		l.scopes[r] = s
	}
	return s
}

// expr decodes and compiles an expression.
func (c scope) expr(n *yaml.Node, f *field) (Expr, bool) {
	n = deref(n)
	if n.Kind == yaml.SequenceNode || n.Kind == yaml.MappingNode {
		c.wrongKind(n)
		return Expr{}, false
	}
	t, ok := c.scalar(n, "an expression", asExpr)
	if !ok {
		return Expr{}, false
	}
	e := Expr{Source: t.s, Pos: c.pos(n)}
	if strings.TrimSpace(t.s) == "" {
		c.fail(n, CodeExpression, c.name()+" wants an expression, got nothing", "")
		return e, false
	}
	if n.Tag == "!!timestamp" && !t.replaced {
		c.fail(n, CodeYAMLTrap, fmt.Sprintf("as an expression %s subtracts", n.Value), fmt.Sprintf(`the date is written '"%s"'`, n.Value))
		return e, false
	}
	want := filter.Any
	if f != nil {
		want = f.want
	}
	if _, err := c.l.compiler(c.sees(f)).Compile(t.s, want); err != nil {
		c.compileErrors(n, &t, err)
		return e, false
	}
	return e, true
}

// wrongKind reports a list or map where an expression is wanted, with the line to write where it is one.
func (c scope) wrongKind(n *yaml.Node) {
	if c.tagged(n) {
		return
	}
	hint := ""
	if n.Style&yaml.FlowStyle != 0 {
		from := c.f.offset(n.Line, n.Column)
		s := c.f.line(n.Line)
		at := from - c.f.lines[n.Line-1]
		if end := closingBracket(s[at:]); end >= 0 {
			src := s[at : at+end+1]
			if inner, ok := strings.CutPrefix(src, "{{"); ok {
				hint = "an expression field takes the expression alone: " + strings.TrimSpace(strings.TrimSuffix(inner, "}}"))
			} else {
				hint = "as an expression it needs quotes: " + quoted(src)
			}
		}
	}
	c.fail(n, CodeWrongType, fmt.Sprintf("%s wants an expression, got %s", c.name(), describe(n)), hint)
}

// text decodes and compiles a text with {{ }} in it.
func (c scope) text(n *yaml.Node, f *field) (Text, bool) {
	n = deref(n)
	if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && !isNull(n) {
		from := c.f.offset(n.Line, n.Column)
		if strings.HasPrefix(c.f.text[min(from, len(c.f.text)):], "{{") {
			s := c.f.line(n.Line)
			at := from - c.f.lines[n.Line-1]
			to := len(trimRight(s))
			if end := closingBracket(s[at:]); end >= 0 {
				to = at + end + 1
			}
			c.fail(n, CodeYAMLTrap, "YAML reads {{ as maps of its own", toWrite(s, at, to))
			return Text{}, false
		}
	}
	t, ok := c.scalar(n, "text", asTemplate)
	if !ok {
		return Text{}, false
	}
	out := Text{Source: t.s, Pos: c.pos(n)}
	if _, err := c.l.compiler(c.sees(f)).Template(t.s); err != nil {
		c.compileErrors(n, &t, err)
		return out, false
	}
	if !t.replaced && !c.isDefault && looksLikePath(t.s) {
		c.warn(n, CodeLooksLikeExpression, fmt.Sprintf("%s is text: %q stands for these letters, not for the event's field", c.name(), t.s), fmt.Sprintf("the field is written \"{{ %s }}\"", t.s))
	}
	return out, true
}

var eventPath = regexp.MustCompile(`^(?:(?:data|metadata)(?:\??\.[A-Za-z_]\w*|\[[^\]]+\])+|data|id|type|source|subject|time|stream|revision|position)$`)

// looksLikePath reports whether a text looks like an expression that lost its {{ }}.
func looksLikePath(s string) bool { return eventPath.MatchString(s) }

// rootHints says where the names are there that not every expression sees.
var rootHints = map[string]string{
	"item":     "item and index are there beside `each`",
	"index":    "item and index are there beside `each`",
	"row":      "row, the present row, is there in set, add, append, delete and where",
	"stream":   "an event has a stream, a revision and a position below the last append",
	"revision": "an event has a stream, a revision and a position below the last append",
	"position": "an event has a stream, a revision and a position below the last append",
}

var filterCodes = map[string]Code{filter.CodeCost: CodeExpressionCost, filter.CodeTemplate: CodeTemplate}

// compileErrors reports what the compiler says, at the place in the file.
func (c scope) compileErrors(n *yaml.Node, t *text, err error) {
	all := filter.Errors(err)
	if len(all) == 0 {
		c.fail(n, CodeExpression, strings.TrimPrefix(err.Error(), "filter: "), "")
		return
	}
	for _, e := range all {
		code, message, hint := CodeExpression, e.Message, e.Hint
		if to, ok := filterCodes[e.Code]; ok {
			code = to
		}
		from := t.offset(e.Offset)
		to := from + tokenLength(n.Value[min(from, len(n.Value)):])
		if hint == "" && e.Code == filter.CodeName {
			hint = rootHints[t.s[e.Offset:min(len(t.s), e.Offset+tokenLength(t.s[e.Offset:]))]]
		}
		if s, h, ok := c.exprTrap(n, e); ok {
			code, hint = CodeYAMLTrap, h
			if s != "" {
				message = s
			}
		} else if h := bareWord(n, t, e); h != "" {
			hint = h
		} else if hint == "" && t.replaced && e.Code == filter.CodeType && strings.Contains(message, "number") {
			hint = "in an expression ${…} is always text: a number is written int(${…}) or float(${…})"
		}
		c.l.span(c, n, from, to, code, message, hint)
	}
}

// tokenLength gives the length in bytes of the word or sign that s starts with.
func tokenLength(s string) int {
	n := 0
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		n = i + utf8.RuneLen(r)
	}
	if n > 0 || s == "" {
		return n
	}
	if s[0] == '"' || s[0] == '\'' {
		if end := closingQuote(s); end > 0 {
			return end + 1
		}
	}
	for _, op := range []string{"==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "**", "{{", "}}"} {
		if strings.HasPrefix(s, op) {
			return len(op)
		}
	}
	return 1
}

// exprTrap recognises expressions that YAML cut short.
func (c scope) exprTrap(n *yaml.Node, e *filter.Error) (message, hint string, ok bool) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return "", "", false
	}
	switch strings.ToLower(n.Value) {
	case "yes", "on":
		return fmt.Sprintf("%s is a word of YAML 1.1, not of expressions", n.Value), "write true", true
	case "no", "off":
		return fmt.Sprintf("%s is a word of YAML 1.1, not of expressions", n.Value), "write false", true
	}
	if e.Code != filter.CodeSyntax {
		return "", "", false
	}
	spots := c.f.spots(n)
	if spots == nil {
		return "", "", false
	}
	end := spots[len(spots)-1]
	line := c.f.line(end.line)
	at := c.f.offset(end.line, end.col) - c.f.lines[end.line-1]
	rest := strings.TrimLeft(line[at:], " \t")
	start := c.f.offset(n.Line, n.Column) - c.f.lines[n.Line-1]
	switch {
	case end.line != n.Line:
		return "", "", false
	case strings.HasPrefix(rest, "#"):
		return "YAML takes ` #` for the start of a comment, and the expression ends before it", toWrite(line, start, len(trimRight(line))), true
	case strings.HasPrefix(rest, ",") && strings.ContainsAny(line[:start], "{["):
		return "inside { } and [ ] a comma ends the expression", toWrite(line, start, flowEnd(line, start)), true
	}
	return "", "", false
}

var words = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]*( [\p{L}\p{N}_-]+)*$`)

// bareWord gives the hint for a text that was written as an expression: set: {status: placed}.
func bareWord(n *yaml.Node, t *text, e *filter.Error) string {
	if t.replaced || !words.MatchString(n.Value) || looksLikePath(n.Value) || e.Code == filter.CodeCost {
		return ""
	}
	text := `'"` + n.Value + `"'`
	if e.Hint != "" && e.Code == filter.CodeName {
		return e.Hint + "; the text is written " + text
	}
	return "the text is written " + text
}

// exprs decodes a map from names to expressions.
func (c scope) exprs(n *yaml.Node, f *field) (Exprs, bool) {
	entries, ok := c.entries(n)
	if !ok {
		return nil, false
	}
	out := make(Exprs, 0, len(entries))
	for _, e := range entries {
		x, good := c.in(e.key.Value).leaf(e, f)
		ok = ok && good
		out = append(out, NamedExpr{Name: e.key.Value, Expr: x})
	}
	return out, ok
}

// leaf decodes an expression that may be null.
func (c scope) leaf(e entry, f *field) (Expr, bool) {
	n := deref(e.val)
	if isNull(n) {
		switch {
		case n.Value != "":
			return Expr{Source: "nil", Pos: c.pos(n)}, true
		case !isWord(e.key.Value):
			c.fail(e.key, CodeYAMLTrap, fmt.Sprintf("inside { } a comma ends a value: YAML takes %q for a key", shorten(e.key.Value)), "put the whole expression into quotes")
		default:
			c.fail(e.key, CodeExpression, c.name()+" wants an expression, got nothing", "null makes it nothing")
		}
		return Expr{}, false
	}
	return c.expr(n, f)
}

// tree decodes a nested map whose leaves are expressions.
func (c scope) tree(n *yaml.Node, f *field) (Tree, bool) {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		if n.Style&yaml.FlowStyle != 0 && strings.HasPrefix(c.f.text[min(c.f.offset(n.Line, n.Column), len(c.f.text)):], "{{") {
			c.wrongKind(n)
			return Tree{}, false
		}
		entries, ok := c.entries(n)
		if !ok {
			return Tree{}, false
		}
		t := Tree{Fields: make([]Field, 0, len(entries))}
		for _, e := range entries {
			inner := c.in(e.key.Value)
			var sub Tree
			var good bool
			if isNull(deref(e.val)) {
				var x Expr
				x, good = inner.leaf(e, f)
				sub.Leaf = &x
			} else {
				sub, good = inner.tree(e.val, f)
			}
			ok = ok && good
			t.Fields = append(t.Fields, Field{Name: e.key.Value, Tree: sub})
		}
		return t, c.disjoint(entries) && ok
	default:
		e, ok := c.expr(n, f)
		return Tree{Leaf: &e}, ok
	}
}

// disjoint checks that no path of a tree is another one's part: a dotted name is a nested path.
func (c scope) disjoint(entries []entry) bool {
	ok := true
	for i, e := range entries {
		for _, before := range entries[:i] {
			a, b := e.key.Value, before.key.Value
			nested := deref(e.val).Kind == yaml.MappingNode && deref(before.val).Kind == yaml.MappingNode
			if strings.HasPrefix(a, b+".") && deref(before.val).Kind != yaml.MappingNode || strings.HasPrefix(b, a+".") && deref(e.val).Kind != yaml.MappingNode || a == b && !nested {
				c.fail(e.key, CodeConflict, fmt.Sprintf("%s and %s set the same place", b, a), "")
				ok = false
			}
		}
	}
	return ok
}
