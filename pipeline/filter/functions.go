package filter

import (
	"encoding/base64"
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// function is one of expr's. Those of one argument are called without a slice, so that lower(data.x) needs no memory
// but the text's.
type function struct {
	typ      typ
	min, max int
	// null tells that a nil first argument is the function's to handle; else it gives nil.
	null bool
	one  func(v *View, s *site, a value) value
	many func(v *View, s *site, args []value) value
}

const many = 100

var functions = map[string]function{
	"len":         {typ: tNumber, min: 1, max: 1, null: true, one: (*View).length},
	"type":        {typ: tText, min: 1, max: 1, null: true, one: func(_ *View, _ *site, a value) value { return textValue(kindWords[a.k]) }},
	"string":      {typ: tText, min: 1, max: 1, one: (*View).text},
	"abs":         {typ: tNumber, min: 1, max: 1, one: (*View).abs},
	"ceil":        {typ: tNumber, min: 1, max: 1, one: rounding(math.Ceil)},
	"floor":       {typ: tNumber, min: 1, max: 1, one: rounding(math.Floor)},
	"round":       {typ: tNumber, min: 1, max: 1, one: rounding(math.Round)},
	"int":         {typ: tNumber, min: 1, max: 1, one: (*View).toInt},
	"float":       {typ: tNumber, min: 1, max: 1, one: (*View).toFloat},
	"lower":       {typ: tText, min: 1, max: 1, one: ofText(func(s string) value { return textValue(strings.ToLower(s)) })},
	"upper":       {typ: tText, min: 1, max: 1, one: ofText(func(s string) value { return textValue(strings.ToUpper(s)) })},
	"trim":        {typ: tText, min: 1, max: 2, many: texts(func(a []string) value { return textValue(trim(a)) })},
	"trimPrefix":  {typ: tText, min: 1, max: 2, many: texts(func(a []string) value { return textValue(strings.TrimPrefix(a[0], second(a))) })},
	"trimSuffix":  {typ: tText, min: 1, max: 2, many: texts(func(a []string) value { return textValue(strings.TrimSuffix(a[0], second(a))) })},
	"hasPrefix":   {typ: tBool, min: 2, max: 2, many: texts(func(a []string) value { return boolValue(strings.HasPrefix(a[0], a[1])) })},
	"hasSuffix":   {typ: tBool, min: 2, max: 2, many: texts(func(a []string) value { return boolValue(strings.HasSuffix(a[0], a[1])) })},
	"indexOf":     {typ: tNumber, min: 2, max: 2, many: texts(func(a []string) value { return intValue(int64(strings.Index(a[0], a[1]))) })},
	"lastIndexOf": {typ: tNumber, min: 2, max: 2, many: texts(func(a []string) value { return intValue(int64(strings.LastIndex(a[0], a[1]))) })},
	"split":       {typ: tList, min: 2, max: 3, many: splitting(strings.SplitN)},
	"splitAfter":  {typ: tList, min: 2, max: 3, many: splitting(strings.SplitAfterN)},
	"replace":     {typ: tText, min: 3, max: 4, many: (*View).replace},
	"join":        {typ: tText, min: 1, max: 2, many: (*View).join},
	"toJSON":      {typ: tText, min: 1, max: 1, null: true, one: (*View).toJSON},
	"fromJSON":    {typ: tAny, min: 1, max: 1, one: (*View).fromJSON},
	"toBase64":    {typ: tText, min: 1, max: 1, one: ofText(func(s string) value { return textValue(base64.StdEncoding.EncodeToString(rawBytes(s))) })},
	"fromBase64":  {typ: tText, min: 1, max: 1, one: (*View).fromBase64},
	"duration":    {typ: tDuration, min: 1, max: 1, one: (*View).duration},
	"date":        {typ: tTime, min: 1, max: 3, many: (*View).date},
	"max":         {typ: tNumber, min: 1, max: many, null: true, many: extreme(1)},
	"min":         {typ: tNumber, min: 1, max: many, null: true, many: extreme(-1)},
	"mean":        {typ: tNumber, min: 1, max: many, null: true, many: (*View).mean},
	"median":      {typ: tNumber, min: 1, max: many, null: true, many: (*View).median},
	"get":         {typ: tAny, min: 2, max: 2, many: func(v *View, s *site, a []value) value { return v.get(s, a[0], a[1]) }},
	"first":       {typ: tAny, min: 1, max: 1, one: func(v *View, s *site, a value) value { return v.listed(s, a, 0) }},
	"last":        {typ: tAny, min: 1, max: 1, one: func(v *View, s *site, a value) value { return v.listed(s, a, -1) }},
	"take":        {typ: tList, min: 2, max: 2, many: (*View).take},
	"keys":        {typ: tList, min: 1, max: 1, null: true, one: (*View).keys},
	"values":      {typ: tList, min: 1, max: 1, null: true, one: (*View).values},
	"toPairs":     {typ: tList, min: 1, max: 1, null: true, one: (*View).toPairs},
	"fromPairs":   {typ: tMap, min: 1, max: 1, null: true, one: (*View).fromPairs},
	"reverse":     {typ: tList, min: 1, max: 1, null: true, one: (*View).reverse},
	"uniq":        {typ: tList, min: 1, max: 1, null: true, one: (*View).uniq},
	"concat":      {typ: tList, min: 1, max: many, null: true, many: (*View).concat},
	"flatten":     {typ: tList, min: 1, max: 1, null: true, one: (*View).flatten},
	"sort":        {typ: tList, min: 1, max: 2, null: true, many: (*View).sort},
	"bitand":      {typ: tNumber, min: 2, max: 2, many: bitwise(func(a, b int64) int64 { return a & b })},
	"bitor":       {typ: tNumber, min: 2, max: 2, many: bitwise(func(a, b int64) int64 { return a | b })},
	"bitxor":      {typ: tNumber, min: 2, max: 2, many: bitwise(func(a, b int64) int64 { return a ^ b })},
	"bitnand":     {typ: tNumber, min: 2, max: 2, many: bitwise(func(a, b int64) int64 { return a &^ b })},
	"bitshl":      {typ: tNumber, min: 2, max: 2, many: shifting(func(a int64, n uint64) int64 { return a << n })},
	"bitshr":      {typ: tNumber, min: 2, max: 2, many: shifting(func(a int64, n uint64) int64 { return a >> n })},
	"bitushr":     {typ: tNumber, min: 2, max: 2, many: shifting(func(a int64, n uint64) int64 { return int64(uint64(a) >> n) })},
	"bitnot": {typ: tNumber, min: 1, max: 1, one: func(v *View, s *site, a value) value {
		i, ok := integer(a)
		if !ok {
			return v.fault(s, a.k)
		}
		return intValue(^i)
	}},
}

var kindWords = [...]string{
	kNil: "nil", kBool: "bool", kInt: "int", kFloat: "float", kText: "string", kTime: "time", kDuration: "duration",
	kArray: "array", kObject: "map", kList: "array", kMap: "map", kRow: "map", kFault: "nil",
}

func (c *compiler) builtin(n *ast.BuiltinNode) *node {
	if why, ok := refused[n.Name]; ok {
		return c.fail(n, CodeName, why, "%s is not available", n.Name)
	}
	if index(predicates, n.Name) >= 0 {
		return c.predicate(n)
	}
	f, ok := functions[n.Name]
	if !ok {
		return c.fail(n, CodeName, "", "%s is not available", n.Name)
	}
	if len(n.Arguments) < f.min || len(n.Arguments) > f.max {
		return c.fail(n, CodeType, "", "%s does not take %d arguments", n.Name, len(n.Arguments))
	}
	args := make([]*node, len(n.Arguments))
	for i := range args {
		args[i] = c.compile(n.Arguments[i])
	}
	if n.Name == "date" && len(args) == 3 && !args[2].fixed {
		return c.fail(n.Arguments[2], CodeCost, "", "the time zone must be written in the expression")
	}
	s := c.site(n, n.Name)
	if f.one != nil {
		a, call := args[0].eval, f.one
		return c.fold(n, valueNode(f.typ, func(v *View) value {
			x := a(v)
			if x.k == kFault || x.k == kNil && !f.null {
				return x
			}
			return call(v, s, x)
		}, args...), args...)
	}
	out := valueNode(f.typ, func(v *View) value {
		vals := make([]value, len(args))
		for i, a := range args {
			if vals[i] = a.eval(v); vals[i].k == kFault {
				return faultValue
			}
		}
		if vals[0].k == kNil && !f.null {
			return nilValue
		}
		return f.many(v, s, vals)
	}, args...)
	return c.fold(n, out, args...)
}
