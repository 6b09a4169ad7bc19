package filter

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// refused are functions of expr that leat does not have, each with the reason.
var refused = map[string]string{
	"now":      `the same event must always give the same answer; use time, the event's own`,
	"timezone": `give the zone's name to date: date("2026-01-02 15:04", "2006-01-02 15:04", "Europe/London")`,
	"repeat":   `its result has no bound`,
	"groupBy":  `its result has no bound`,
}

// names finds the names that the expression uses and the scope does not have: all of them at once.
func (s *Scope) names(src string, root ast.Node) []*Error {
	w := &nameWalk{scope: s, src: src, seen: map[ast.Node]bool{}}
	w.walk(root, nil)
	return w.errs
}

type nameWalk struct {
	scope *Scope
	src   string
	seen  map[ast.Node]bool
	errs  []*Error
}

func (w *nameWalk) walk(n ast.Node, vars []string) {
	if n == nil || w.seen[n] {
		return
	}
	w.seen[n] = true
	switch n := n.(type) {
	case *ast.IdentifierNode:
		w.name(n, n.Value, nil, vars)
		return
	case *ast.MemberNode:
		if id, path, ok := flatten(n); ok {
			w.name(id, id.Value, path, vars)
			return
		}
	case *ast.CallNode:
		w.call(n, vars)
		return
	case *ast.BuiltinNode:
		if why, ok := refused[n.Name]; ok {
			w.errs = append(w.errs, mistake(CodeName, w.src, w.at(n), why, "%s is not available", n.Name))
		}
	case *ast.VariableDeclaratorNode:
		w.walk(n.Value, vars)
		w.walk(n.Expr, append(vars[:len(vars):len(vars)], n.Name))
		return
	}
	for _, k := range children(n) {
		w.walk(k, vars)
	}
}

func (w *nameWalk) at(n ast.Node) int { return byteOffset(w.src, n.Location().From) }

func (w *nameWalk) call(n *ast.CallNode, vars []string) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		if callee.Value == "type" {
			break // rewrite makes it expr's function
		}
		if why, ok := refused[callee.Value]; ok {
			w.errs = append(w.errs, mistake(CodeName, w.src, w.at(n), why, "%s is not available", callee.Value))
			break
		}
		hint := functionSynonyms[callee.Value]
		if hint == "" {
			var known []string
			for _, f := range builtin.Names {
				if _, no := refused[f]; !no {
					known = append(known, f)
				}
			}
			if near := nearest(callee.Value, known); near != "" {
				hint = "did you mean " + near + "?"
			} else if near := nearest(callee.Value, slices.Sorted(maps.Keys(functionSynonyms))); near != "" {
				hint = functionSynonyms[near]
			}
		}
		w.errs = append(w.errs, mistake(CodeName, w.src, w.at(n), hint, "there is no function %s", callee.Value))
	case *ast.MemberNode:
		w.walk(callee.Node, vars)
	default:
		w.walk(callee, vars)
	}
	for _, a := range n.Arguments {
		w.walk(a, vars)
	}
}

// name checks one name, with the steps that follow it.
func (w *nameWalk) name(n ast.Node, name string, path []step, vars []string) {
	if index(vars, name) >= 0 || w.scope.has(name) {
		return
	}
	at := w.at(n)
	hint := hyphenRun(w.src, at, w.scope)
	if hint == "" {
		hint = w.scope.suggest(name, path)
	}
	msg := "there is no name %s"
	if exists(name) {
		msg = "%s cannot be used here"
		hint = ""
	}
	w.errs = append(w.errs, mistake(CodeName, w.src, at, hint, msg, name))
}

func exists(name string) bool {
	for _, r := range rootNames {
		if r.name == name {
			return true
		}
	}
	return false
}

func (s *Scope) has(name string) bool {
	for _, r := range rootNames {
		if r.name == name && s.roots&r.in != 0 {
			return true
		}
	}
	return false
}

// flatten gives the name and the steps of a path such as data.items[0]["a b"], optional steps among them.
func flatten(n ast.Node) (*ast.IdentifierNode, []step, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n, nil, true
	case *ast.ChainNode:
		return flatten(n.Node)
	case *ast.MemberNode:
		if n.Method {
			return nil, nil, false
		}
		id, path, ok := flatten(n.Node)
		if !ok {
			return nil, nil, false
		}
		switch p := n.Property.(type) {
		case *ast.StringNode:
			return id, append(path, step{p.Value, -1}), true
		case *ast.IntegerNode:
			if p.Value >= 0 {
				return id, append(path, step{"", p.Value}), true
			}
		}
	}
	return nil, nil, false
}

// synonyms are names by which people know what leat calls otherwise.
var synonyms = map[string]string{
	"detail": "data", "payload": "data", "body": "data", "content": "data",
	"detail_type": "type", "detailType": "type", "detail-type": "type", "event_type": "type", "eventType": "type", "kind": "type",
	"meta": "metadata", "headers": "metadata", "attributes": "metadata", "header": "metadata",
	"timestamp": "time", "datetime": "time", "event_id": "id", "eventId": "id", "uuid": "id", "key": "id",
	"version": "revision", "seq": "position", "sequence": "position", "offset": "position", "stream_id": "stream", "streamId": "stream",
	"each": "item", "it": "item", "element": "item", "i": "index",
	"null": "nil", "NULL": "nil", "None": "nil", "undefined": "nil", "Nil": "nil", "none": "nil", "Null": "nil",
	"True": "true", "TRUE": "true", "yes": "true", "False": "false", "FALSE": "false", "no": "false",
}

// wholes are names that people put before the event's fields.
var wholes = []string{"event", "e", "evt", "ev", "msg", "message", "this", "root", "$", "$env", "env", "self", "input", "ce", "cloudevent"}

var functionSynonyms = map[string]string{
	"length": "did you mean len?", "size": "did you mean len?", "count": "did you mean len?",
	"toLower": "did you mean lower?", "lowercase": "did you mean lower?", "toUpper": "did you mean upper?", "uppercase": "did you mean upper?",
	"str": "did you mean string?", "toString": "did you mean string?", "number": "did you mean float?", "exists": "compare with nil: data.x != nil",
	"has": "compare with nil: data.x != nil", "defined": "compare with nil: data.x != nil", "isNull": "compare with nil: data.x == nil",
	"contains": `write data.x contains "y"`, "startsWith": `write data.x startsWith "y"`, "endsWith": `write data.x endsWith "y"`,
	"matches": `write data.x matches "y"`, "env": "the environment is written ${NAME}, outside of expressions", "regex": `write data.x matches "y"`,
	"coalesce": "write data.x ?? data.y", "default": "write data.x ?? data.y", "if": "write a ? b : c", "not": "write not (a)",
}

// suggest gives the hint for an unknown name.
func (s *Scope) suggest(name string, path []step) string {
	if index(wholes, name) >= 0 && len(path) > 0 && path[0].index < 0 {
		if first := s.meant(path[0].key); first != "" {
			return "did you mean " + formatPath(first, path[1:]) + "?"
		}
	}
	if first := s.meant(name); first != "" {
		return "did you mean " + formatPath(first, path) + "?"
	}
	if len(path) > 0 && s.has("data") && (index(wholes, name) >= 0 || nearest(name, wholes) != "") {
		if first := s.meant(path[0].key); first != "" {
			return "did you mean " + formatPath(first, path[1:]) + "?"
		}
		return "did you mean " + formatPath("data", path) + "?"
	}
	if s.roots&Event != 0 {
		return "a field of the payload is written " + formatPath("data", append([]step{{name, -1}}, path...))
	}
	return ""
}

// meant gives the name of the scope that stands closest to one that it does not have.
func (s *Scope) meant(name string) string {
	if s.has(name) {
		return name
	}
	if m := synonyms[name]; m == "nil" || m == "true" || m == "false" || m != "" && s.has(m) {
		return m
	}
	var known []string
	for _, r := range rootNames {
		if s.has(r.name) {
			known = append(known, r.name)
		}
	}
	return nearest(name, known)
}

// nearest gives the word at the least edit distance, where that is small for the name's length; the first of equals.
func nearest(name string, words []string) string {
	best, found := 1+len(name)/4, ""
	if len(name) < 3 {
		return ""
	}
	for _, w := range words {
		if d := distance(strings.ToLower(name), strings.ToLower(w)); d <= best && (found == "" || d < best) {
			best, found = d, w
		}
	}
	return found
}

// distance is the Levenshtein distance, with a swap of neighbours as one step (optimal string alignment).
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// hyphenHint looks for a minus without spaces at or near a type error: data.detail-type is a subtraction.
func hyphenHint(src string, n ast.Node, at int) string {
	hint := ""
	seen := map[ast.Node]bool{}
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		if seen[n] || hint != "" {
			return
		}
		seen[n] = true
		if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "-" {
			if o := byteOffset(src, b.Location().From); o == at {
				hint = hyphenRun(src, o, nil)
			}
		}
		for _, k := range children(n) {
			walk(k)
		}
	}
	walk(n)
	return hint
}

// hyphenRun gives the hint for the run of names, dots and hyphens around an offset, where it has a hyphen before a
// letter.
func hyphenRun(src string, at int, s *Scope) string {
	in := func(i int) bool {
		c := src[i]
		return c == '.' || c == '-' || c == '_' || c-'0' <= 9 || c|0x20-'a' < 26
	}
	if at >= len(src) || !in(at) {
		return ""
	}
	from, to := at, at
	for from > 0 && in(from-1) {
		from--
	}
	for to < len(src) && in(to) {
		to++
	}
	run := strings.Split(src[from:to], ".")
	hyphen := false
	for _, r := range run {
		for i := 0; i+1 < len(r); i++ {
			hyphen = hyphen || i > 0 && r[i] == '-' && r[i+1]|0x20-'a' < 26
		}
		if r == "" {
			return ""
		}
	}
	if !hyphen {
		return ""
	}
	root := run[0]
	if s != nil && !s.has(root) {
		if root = s.meant(root); root == "" {
			return ""
		}
		if len(run) == 1 {
			return "did you mean " + root + "?"
		}
	}
	path := make([]step, 0, len(run))
	for _, r := range run[1:] {
		path = append(path, step{r, -1})
	}
	return "a - without spaces subtracts; write " + formatPath(root, path)
}

// syntaxHint explains what people trip over where the parser stopped.
func syntaxHint(src string, at int) string {
	rest := src[at:]
	before := ""
	if at > 0 {
		before = src[at-1 : at]
	}
	first, _ := utf8.DecodeRuneInString(rest)
	switch {
	case strings.ContainsRune("\u201c\u201d\u201e\u00ab\u00bb", first):
		return `these are quotes of a word processor: write "`
	case strings.ContainsRune("\u2018\u2019\u201a", first):
		return "these are quotes of a word processor: write '"
	case strings.ContainsRune("\u200b\u2060\ufeff", first):
		return "a character without width stands here: take it away"
	case strings.HasPrefix(rest, ".") && strings.TrimSpace(src[:at]) == "":
		return "a path of the event starts with a name: data.x, not .data.x or .x"
	case strings.HasPrefix(strings.TrimSpace(src), "{{"):
		return "this field is an expression already: leave out the {{ }}"
	case strings.HasPrefix(rest, "=~") || before == "=" && strings.HasPrefix(rest, "~"):
		return `a pattern is written data.x matches "^a"`
	case strings.HasPrefix(rest, "=") && before == "=":
		return "write == to compare"
	case strings.HasPrefix(rest, "="):
		return "= does not compare: write =="
	case strings.HasPrefix(rest, ">") && before == "<":
		return "write != to say not equal"
	case strings.HasPrefix(rest, ":") && strings.Contains(src[:at], "{"):
		return "an object in a predicate stands in parentheses: map(data.items, ({sku: .sku}))"
	case strings.HasPrefix(rest, "&"):
		return "write && or and"
	}
	word := rest
	for i := 0; i < len(word); i++ {
		if word[i]|0x20-'a' >= 26 {
			word = word[:i]
			break
		}
	}
	switch strings.ToLower(word) {
	case "and", "or", "not", "in", "contains", "matches":
		if word != strings.ToLower(word) {
			return "write " + strings.ToLower(word) + ", in lower case"
		}
	case "startswith", "starts_with":
		return "write startsWith"
	case "endswith", "ends_with":
		return "write endsWith"
	case "like", "regex", "regexp", "rlike":
		return `write contains, or matches "^a.*b$"`
	case "is":
		return "write == nil, or != nil"
	case "between":
		return "write 1 <= data.x && data.x <= 5"
	case "eq", "ne", "gt", "lt", "ge", "le":
		return "operators are == != > < >= <="
	}
	if single(src, '|') {
		return "write || or or; | passes a value to a function"
	}
	return ""
}

// single reports whether the source has this character alone, not doubled, outside of quotes.
func single(src string, c byte) bool {
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '"', '\'', '`':
			i = quoted(src, i)
		case c:
			if i+1 < len(src) && src[i+1] == c {
				i++
				continue
			}
			return true
		}
	}
	return false
}
