package filter

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/leatdev/leat/pipeline/rawjson"
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

// length counts characters, elements or members.
func (v *View) length(s *site, a value) value {
	n := 0
	switch a.k {
	case kNil:
	case kText:
		if !v.charge(s, len(a.s)/16) {
			return faultValue
		}
		n = utf8.RuneCountInString(a.s)
	case kList:
		n = len(a.list())
	case kMap:
		n = len(a.object().keys)
	case kArray:
		if !v.charge(s, len(a.s)/8) {
			return faultValue
		}
		walkArray(a.s, func(string) bool { n++; return true })
	case kObject:
		m, ok := v.fields(s, a)
		if !ok {
			return faultValue
		}
		n = len(m)
	default:
		return v.fault(s, a.k)
	}
	return intValue(int64(n))
}

func (v *View) text(s *site, a value) value {
	if a.k == kText {
		return a
	}
	if a.k == kRow {
		return v.fault(s, a.k)
	}
	b := appendText(nil, a)
	if !v.charge(s, len(b)) {
		return faultValue
	}
	return textValue(view(b))
}

func (v *View) abs(s *site, a value) value {
	if a.isNumber() && a.number() >= 0 {
		return a
	}
	return v.negate(s, a)
}

func rounding(f func(float64) float64) func(*View, *site, value) value {
	return func(v *View, s *site, a value) value {
		switch a.k {
		case kInt:
			return a
		case kFloat:
			return floatValue(f(a.float()))
		}
		return v.fault(s, a.k)
	}
}

func (v *View) toInt(s *site, a value) value {
	switch a.k {
	case kInt:
		return a
	case kFloat:
		if i, ok := integer(floatValue(math.Trunc(a.float()))); ok {
			return intValue(i)
		}
		return v.faultWhy(s, "the number is too large for an integer")
	case kText:
		i, err := strconv.ParseInt(a.s, 10, 64)
		if err != nil {
			return v.faultWhy(s, "the text is no integer")
		}
		return intValue(i)
	}
	return v.fault(s, a.k)
}

func (v *View) toFloat(s *site, a value) value {
	switch a.k {
	case kInt, kFloat:
		return v.finite(s, a.number())
	case kText:
		f, err := strconv.ParseFloat(a.s, 64)
		if err != nil {
			return v.faultWhy(s, "the text is no number")
		}
		return v.finite(s, f)
	}
	return v.fault(s, a.k)
}

// ofText is a function of one text whose result is about as long.
func ofText(f func(string) value) func(*View, *site, value) value {
	return func(v *View, s *site, a value) value {
		if a.k != kText {
			return v.fault(s, a.k)
		}
		if !v.charge(s, 2*len(a.s)) {
			return faultValue
		}
		return f(a.s)
	}
}

// texts is a function of texts alone; nil among the later ones is a fault.
func texts(f func([]string) value) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		list := make([]string, len(args))
		for i, a := range args {
			if a.k != kText {
				return v.fault(s, a.k)
			}
			if !v.charge(s, 1+len(a.s)) {
				return faultValue
			}
			list[i] = a.s
		}
		return f(list)
	}
}

func trim(a []string) string {
	if len(a) == 1 {
		return strings.TrimSpace(a[0])
	}
	return strings.Trim(a[0], a[1])
}

func second(a []string) string {
	if len(a) == 1 {
		return " "
	}
	return a[1]
}

func splitting(f func(s, sep string, n int) []string) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		n := int64(-1)
		if len(args) == 3 {
			var ok bool
			if n, ok = integer(args[2]); !ok {
				return v.fault(s, args[2].k)
			}
		}
		if args[0].k != kText || args[1].k != kText {
			return v.fault(s, args[0].k, args[1].k)
		}
		text, sep := args[0].s, args[1].s
		if !v.charge(s, 1+len(text)/4) || !v.charge(s, elementCost*(1+strings.Count(text, sep))) {
			return faultValue
		}
		list := []value{}
		for _, part := range f(text, sep, int(min(max(n, -1), budget))) {
			list = append(list, textValue(part))
		}
		return listValue(list)
	}
}

func (v *View) replace(s *site, args []value) value {
	for _, a := range args[:3] {
		if a.k != kText {
			return v.fault(s, a.k)
		}
	}
	n := int64(-1)
	if len(args) == 4 {
		var ok bool
		if n, ok = integer(args[3]); !ok {
			return v.fault(s, args[3].k)
		}
	}
	text, was, is := args[0].s, args[1].s, args[2].s
	if !v.charge(s, 1+len(text)) || !v.charge(s, strings.Count(text, was)*(1+len(is))) {
		return faultValue
	}
	return textValue(strings.Replace(text, was, is, int(min(max(n, -1), budget))))
}

func (v *View) join(s *site, args []value) value {
	sep := ""
	if len(args) == 2 {
		if args[1].k != kText {
			return v.fault(s, args[1].k)
		}
		sep = args[1].s
	}
	var b []byte
	ok := v.each(s, args[0], 8, func(i int, e value) bool {
		if i > 0 {
			b = append(b, sep...)
		}
		if e.isList() || e.isMap() || e.k == kNil || e.k == kRow {
			v.fault(s, e.k)
			return false
		}
		b = appendText(b, e)
		return v.charge(s, len(e.s)+len(sep))
	})
	if !ok {
		return faultValue
	}
	return textValue(view(b))
}

func (v *View) toJSON(s *site, a value) value {
	b := appendJSON(nil, a)
	if !v.charge(s, len(b)) {
		return faultValue
	}
	return textValue(view(b))
}

func (v *View) fromJSON(s *site, a value) value {
	if a.k != kText {
		return v.fault(s, a.k)
	}
	if !v.charge(s, len(a.s)) {
		return faultValue
	}
	b := rawBytes(a.s)
	if rawjson.Check(b) != nil {
		return v.faultWhy(s, "the text is not JSON")
	}
	raw, _ := rawjson.Get(b)
	return typed(view(raw))
}

func (v *View) fromBase64(s *site, a value) value {
	if a.k != kText {
		return v.fault(s, a.k)
	}
	if !v.charge(s, len(a.s)) {
		return faultValue
	}
	b, err := base64.StdEncoding.DecodeString(a.s)
	if err != nil || !utf8.Valid(b) {
		return v.faultWhy(s, "the text is not base64 of a text")
	}
	return textValue(view(b))
}

func (v *View) duration(s *site, a value) value {
	if a.k == kDuration {
		return a
	}
	if a.k != kText {
		return v.fault(s, a.k)
	}
	d, err := time.ParseDuration(a.s)
	if err != nil {
		return v.faultWhy(s, `the text is no duration, such as "1h30m"`)
	}
	return durationValue(int64(d))
}

func (v *View) date(s *site, args []value) value {
	if len(args) == 1 {
		if t, ok := asTime(args[0]); ok {
			return t
		}
		if args[0].k != kText {
			return v.fault(s, args[0].k)
		}
		return v.faultWhy(s, `the text is no time, such as "2006-01-02T15:04:05Z" or "2006-01-02"`)
	}
	zone := time.UTC
	for i, a := range args {
		if a.k != kText {
			return v.fault(s, a.k)
		}
		if i == 2 {
			var err error
			if zone, err = time.LoadLocation(a.s); err != nil {
				return v.faultWhy(s, "the time zone is unknown")
			}
		}
	}
	if len(args[0].s) > 128 || len(args[1].s) > 128 {
		return v.faultWhy(s, "the text is too long for a time")
	}
	t, err := time.ParseInLocation(args[1].s, args[0].s, zone)
	if err != nil {
		return v.faultWhy(s, "the text is no time in this layout")
	}
	return timeValue(t)
}

// numbers hands over the numbers among the arguments and in the lists among them.
func (v *View) numbers(s *site, args []value, f func(a value)) bool {
	for _, a := range args {
		switch {
		case a.isNumber():
			f(a)
		case a.isList():
			if !v.each(s, a, 8, func(_ int, e value) bool { return v.numbers(s, []value{e}, f) }) {
				return false
			}
		case a.k != kNil:
			v.fault(s, a.k)
			return false
		}
	}
	return v.err == nil
}

func extreme(sign int) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		best := nilValue
		ok := v.numbers(s, args, func(a value) {
			if best.k == kNil || compareNumbers(a, best)*sign > 0 {
				best = a
			}
		})
		if !ok {
			return faultValue
		}
		return best
	}
}

func (v *View) mean(s *site, args []value) value {
	sum, n := 0.0, 0
	if !v.numbers(s, args, func(a value) { sum += a.number(); n++ }) {
		return faultValue
	}
	if n == 0 {
		return floatValue(0)
	}
	return v.finite(s, sum/float64(n))
}

func (v *View) median(s *site, args []value) value {
	var all []float64
	if !v.numbers(s, args, func(a value) { all = append(all, a.number()) }) || !v.charge(s, 16*len(all)) {
		return faultValue
	}
	n := len(all)
	if n == 0 {
		return floatValue(0)
	}
	slices.Sort(all)
	if n%2 == 1 {
		return v.finite(s, all[n/2])
	}
	return v.finite(s, (all[n/2-1]+all[n/2])/2)
}

func (v *View) listed(s *site, a value, i int64) value {
	if !a.isList() {
		return v.fault(s, a.k)
	}
	return v.element(s, a, i)
}

func (v *View) take(s *site, args []value) value {
	if !args[0].isList() {
		return v.fault(s, args[0].k)
	}
	if i, ok := integer(args[1]); !ok || i < 0 {
		return v.fault(s, args[1].k)
	}
	return v.cut(s, args[0], intValue(0), args[1])
}

func (v *View) keys(s *site, a value) value {
	list, seen := []value{}, map[string]bool{}
	ok := v.members(s, a, func(key string, _ value) {
		if !seen[key] {
			list = append(list, textValue(key))
		}
		seen[key] = true
	})
	if !ok {
		return faultValue
	}
	return listValue(list)
}

// ordered gives an object's members once each, in their order.
func (v *View) ordered(s *site, a value) (*object, bool) {
	o, at := &object{}, map[string]int{}
	ok := v.members(s, a, func(key string, e value) {
		if i, twice := at[key]; twice {
			o.vals[i] = e
			return
		}
		at[key] = len(o.keys)
		o.keys, o.vals = append(o.keys, key), append(o.vals, e)
	})
	return o, ok
}

func (v *View) values(s *site, a value) value {
	o, ok := v.ordered(s, a)
	if !ok {
		return faultValue
	}
	return listValue(o.vals)
}

func (v *View) toPairs(s *site, a value) value {
	o, ok := v.ordered(s, a)
	if !ok {
		return faultValue
	}
	list := make([]value, len(o.keys))
	for i, k := range o.keys {
		list[i] = listValue([]value{textValue(k), o.vals[i]})
	}
	return listValue(list)
}

func (v *View) fromPairs(s *site, a value) value {
	o, at := &object{}, map[string]int{}
	ok := v.each(s, a, 2*elementCost, func(_ int, e value) bool {
		pair, ok := v.items(s, e)
		if !ok {
			return false
		}
		if len(pair) != 2 || pair[0].k != kText {
			v.faultWhy(s, "a pair is a text and a value")
			return false
		}
		if i, twice := at[pair[0].s]; twice {
			o.vals[i] = pair[1]
			return true
		}
		at[pair[0].s] = len(o.keys)
		o.keys, o.vals = append(o.keys, pair[0].s), append(o.vals, pair[1])
		return true
	})
	if !ok {
		return faultValue
	}
	return value{k: kMap, x: o}
}

func (v *View) reverse(s *site, a value) value {
	list, ok := v.items(s, a)
	if !ok || !v.charge(s, elementCost*len(list)) {
		return faultValue
	}
	return listValue(reversed(list))
}

func (v *View) uniq(s *site, a value) value {
	list, texts := []value{}, map[string]bool{}
	var others []value
	ok := v.each(s, a, elementCost, func(_ int, e value) bool {
		if e.k == kText {
			if !texts[e.s] {
				list = append(list, e)
			}
			texts[e.s] = true
			return true
		}
		for _, o := range others {
			if !v.charge(s, 8) {
				return false
			}
			if t := v.equal(s, o, e); t != no {
				return t == yes
			}
		}
		list, others = append(list, e), append(others, e)
		return true
	})
	if !ok {
		return faultValue
	}
	return listValue(list)
}

func (v *View) concat(s *site, args []value) value {
	list := []value{}
	for _, a := range args {
		if !v.each(s, a, elementCost, func(_ int, e value) bool { list = append(list, e); return true }) {
			return faultValue
		}
	}
	return listValue(list)
}

func (v *View) flatten(s *site, a value) value {
	list := []value{}
	var walk func(a value) bool
	walk = func(a value) bool {
		return v.each(s, a, elementCost, func(_ int, e value) bool {
			if e.isList() {
				return walk(e)
			}
			list = append(list, e)
			return true
		})
	}
	if !walk(a) {
		return faultValue
	}
	return listValue(list)
}

func (v *View) sort(s *site, args []value) value {
	order := textValue("asc")
	if len(args) == 2 {
		order = args[1]
	}
	list, ok := v.items(s, args[0])
	if !ok {
		return faultValue
	}
	return v.sorted(s, list, list, order)
}

func bitwise(f func(a, b int64) int64) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		a, ok := integer(args[0])
		b, ok2 := integer(args[1])
		if !ok || !ok2 {
			return v.fault(s, args[0].k, args[1].k)
		}
		return intValue(f(a, b))
	}
}

func shifting(f func(a int64, n uint64) int64) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		a, ok := integer(args[0])
		n, ok2 := integer(args[1])
		if !ok || !ok2 || n < 0 {
			return v.fault(s, args[0].k, args[1].k)
		}
		return intValue(f(a, uint64(n)))
	}
}
