package filter

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
)

// What a source may be at most. Brackets are counted before the parser sees them: it recurses on each, and a stack
// that overflows ends the process.
const (
	MaxSource   = 8 << 10 // bytes
	MaxNodes    = 500
	MaxBrackets = 64 // within each other
)

// maxExpanded bounds the nodes as they are visited. The parser uses one node twice for a < b < c and for a ?: b, so
// that sixty of these within each other would be visited 2^60 times.
const maxExpanded = 4 * MaxNodes

// parse gives the checked tree of an expression.
func (s *Scope) parse(src string) (tree *parser.Tree, errs []*Error) {
	if errs := preflight(src); errs != nil {
		return nil, errs
	}
	defer func() {
		// A last net: a fault in the parser or checker is a mistake of the expression that meets it, not the daemon's end.
		if r := recover(); r != nil {
			tree, errs = nil, []*Error{mistake(CodeSyntax, src, 0, "", "the expression cannot be read: %v", r)}
		}
	}()
	cfg := s.config()
	tree, err := parser.ParseWithConfig(src, cfg)
	if err != nil {
		return nil, []*Error{explain(src, err, CodeSyntax)}
	}
	if n := expanded(tree.Node); n > maxExpanded {
		return nil, []*Error{mistake(CodeCost, src, 0, "", "the expression is too large")}
	}
	if errs := s.names(src, tree.Node); errs != nil {
		return nil, errs
	}
	_, _ = checker.Check(tree, cfg) // for the types, which rewrite looks at; what it finds wrong it finds again below
	rewrite(tree)
	if _, err := checker.Check(tree, cfg); err != nil {
		e := explain(src, err, CodeType)
		if e.Hint == "" {
			e.Hint = hyphenHint(src, tree.Node, e.Offset)
		}
		return nil, []*Error{e}
	}
	return tree, nil
}

// preflight refuses what the parser must not see.
func preflight(src string) []*Error {
	switch {
	case strings.TrimSpace(src) == "":
		return []*Error{mistake(CodeSyntax, src, 0, "", "the expression is empty")}
	case len(src) > MaxSource:
		return []*Error{mistake(CodeCost, src, 0, "", "the expression has %d bytes, more than %d", len(src), MaxSource)}
	case !utf8.ValidString(src):
		return []*Error{mistake(CodeSyntax, src, 0, "", "the expression is not UTF-8")}
	}
	depth := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '(', '[', '{':
			if depth++; depth > MaxBrackets {
				return []*Error{mistake(CodeCost, src, i, "", "more than %d brackets within each other", MaxBrackets)}
			}
		case ')', ']', '}':
			depth--
		case '"', '\'', '`':
			i = quoted(src, i)
		}
	}
	return nil
}

// quoted gives the index of the quote that ends the literal whose first quote is src[i], or the source's end.
func quoted(src string, i int) int {
	quote := src[i]
	for i++; i < len(src) && src[i] != quote; i++ {
		if src[i] == '\\' && quote != '`' {
			i++
		}
	}
	return i
}

// config says what expr's parser and checker know.
func (s *Scope) config() *conf.Config {
	cfg := conf.CreateNew()
	cfg.MaxNodes = MaxNodes
	for name := range refused {
		cfg.Disabled[name] = true
		delete(cfg.Builtins, name)
	}
	cfg.WithEnv(s.env())
	return cfg
}

// env gives the names with their types.
func (s *Scope) env() types.Map {
	env := types.Map{}
	for _, r := range rootNames {
		if s.roots&r.in != 0 {
			env[r.name] = r.typ
		}
	}
	return env
}

// rootNames are the names that expressions may use, with the type that the checker assumes.
var rootNames = []struct {
	name string
	in   Roots
	typ  types.Type
}{
	{"id", Event, types.String},
	{"source", Event, types.String},
	{"type", Event, types.String},
	{"subject", Event, types.String},
	{"time", Event, types.TypeOf(time.Time{})},
	{"data", Event, types.Any},
	{"metadata", Event, types.Any},
	{"stream", Log, types.String},
	{"revision", Log, types.Int},
	{"position", Log, types.Int},
	{"row", Row, types.Any},
	{"item", Item, types.Any},
	{"index", Item, types.Int},
}

// explain turns an error of expr into ours.
func explain(src string, err error, code string) *Error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return mistake(code, src, 0, "", "%v", err)
	}
	at := byteOffset(src, fe.From)
	msg := fe.Message
	if strings.Contains(msg, "exceeds maximum allowed nodes") {
		return mistake(CodeCost, src, 0, "", "the expression has more than %d parts", MaxNodes)
	}
	if code == CodeSyntax && fe.From >= utf8.RuneCountInString(src) {
		at = len(src)
	}
	e := mistake(code, src, at, "", "%s", soften(msg))
	if code == CodeSyntax {
		e.Hint = syntaxHint(src, at)
	}
	return e
}

// soften replaces expr's words for tokens and types, which are its own and Go's, by plain ones.
func soften(msg string) string {
	msg = tokenWords.ReplaceAllString(msg, "unexpected $1")
	msg = typeWords.ReplaceAllStringFunc(msg, func(w string) string { return plainTypes[w] })
	return softener.Replace(msg)
}

var (
	tokenWords = regexp.MustCompile(`unexpected token \w+\((".*")\)`)
	typeWords  = regexp.MustCompile(`\b(int|float64|string|bool|time\.Time|time\.Duration|map\[string\]interface \{\}|\[\]interface \{\}|interface \{\})`)
	plainTypes = map[string]string{
		"int": "a number", "float64": "a number", "string": "text", "bool": "a boolean", "time.Time": "a time",
		"time.Duration": "a duration", "map[string]interface {}": "an object", "[]interface {}": "an array", "interface {}": "unknown",
	}
	softener = strings.NewReplacer(
		"unexpected token EOF", "unexpected end of the expression",
		"invalid operation: ", "operator ", "(mismatched types ", "(these do not fit together: ", "(mismatched type ", "(this does not fit: ",
	)
)

// expanded counts the nodes as often as a walk meets them.
func expanded(n ast.Node) int {
	seen := map[ast.Node]int{}
	var count func(n ast.Node) int
	count = func(n ast.Node) int {
		if c, ok := seen[n]; ok {
			return c
		}
		c := 1
		for _, k := range children(n) {
			if c += count(k); c > maxExpanded {
				c = maxExpanded + 1
			}
		}
		seen[n] = c
		return c
	}
	return count(n)
}

func children(n ast.Node) []ast.Node {
	var c []ast.Node
	switch n := n.(type) {
	case *ast.UnaryNode:
		c = []ast.Node{n.Node}
	case *ast.BinaryNode:
		c = []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		c = []ast.Node{n.Node}
	case *ast.MemberNode:
		c = []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		c = []ast.Node{n.Node}
		if n.From != nil {
			c = append(c, n.From)
		}
		if n.To != nil {
			c = append(c, n.To)
		}
	case *ast.CallNode:
		c = append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		c = n.Arguments
	case *ast.PredicateNode:
		c = []ast.Node{n.Node}
	case *ast.ConditionalNode:
		c = []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		c = []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		c = n.Nodes
	case *ast.ArrayNode:
		c = n.Nodes
	case *ast.MapNode:
		c = n.Pairs
	case *ast.PairNode:
		c = []ast.Node{n.Key, n.Value}
	}
	return c
}

// rewrite makes the tree say what leat means by it: text beside a time is a date, type(x) is expr's function even
// though type is a name of ours, and a month is a number as any other.
func rewrite(tree *parser.Tree) {
	seen, wrapped := map[ast.Node]bool{}, map[ast.Node]bool{}
	var walk func(n ast.Node)
	fix := func(n *ast.Node) {
		call, ok := (*n).(*ast.CallNode)
		if !ok || wrapped[call] {
			return
		}
		if id, ok := call.Callee.(*ast.IdentifierNode); ok && id.Value == "type" {
			ast.Patch(n, &ast.BuiltinNode{Name: "type", Arguments: call.Arguments})
		}
		if t := call.Nature().Type; t == reflect.TypeFor[time.Month]() || t == reflect.TypeFor[time.Weekday]() {
			wrapped[call] = true
			ast.Patch(n, &ast.BuiltinNode{Name: "int", Arguments: []ast.Node{call}})
		}
	}
	walk = func(n ast.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if b, ok := n.(*ast.BinaryNode); ok {
			switch b.Operator {
			case "==", "!=", "<", "<=", ">", ">=", "-":
				asDate(&b.Left, b.Right)
				asDate(&b.Right, b.Left)
			}
		}
		for _, slot := range slots(n) {
			fix(slot)
		}
		for _, k := range children(n) {
			walk(k)
		}
	}
	fix(&tree.Node)
	walk(tree.Node)
}

// slots gives the places in a node where type(x) may stand.
func slots(n ast.Node) []*ast.Node {
	var s []*ast.Node
	each := func(list []ast.Node) {
		for i := range list {
			s = append(s, &list[i])
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		s = append(s, &n.Node)
	case *ast.BinaryNode:
		s = append(s, &n.Left, &n.Right)
	case *ast.ChainNode:
		s = append(s, &n.Node)
	case *ast.MemberNode:
		s = append(s, &n.Node, &n.Property)
	case *ast.SliceNode:
		s = append(s, &n.Node)
	case *ast.CallNode:
		each(n.Arguments)
	case *ast.BuiltinNode:
		each(n.Arguments)
	case *ast.PredicateNode:
		s = append(s, &n.Node)
	case *ast.ConditionalNode:
		s = append(s, &n.Cond, &n.Exp1, &n.Exp2)
	case *ast.VariableDeclaratorNode:
		s = append(s, &n.Value, &n.Expr)
	case *ast.SequenceNode:
		each(n.Nodes)
	case *ast.ArrayNode:
		each(n.Nodes)
	case *ast.PairNode:
		s = append(s, &n.Key, &n.Value)
	}
	return s
}

// asDate wraps text that stands beside a time.
func asDate(text *ast.Node, beside ast.Node) {
	if isNature(*text, (*nature.Nature).IsString) && isNature(beside, (*nature.Nature).IsTime) {
		at := (*text).Location()
		*text = &ast.BuiltinNode{Name: "date", Arguments: []ast.Node{*text}}
		(*text).SetLocation(at)
	}
}

func isNature(n ast.Node, is func(*nature.Nature) bool) bool { return is(n.Nature()) }
