package filter

import (
	"time"

	"github.com/expr-lang/expr/ast"
)

// method is one of time's: it takes the receiver and at most one argument.
type method struct {
	of   kind
	typ  typ
	args int
	call func(v *View, s *site, a, b value) value
}

var methods = map[string]method{
	"Year":         ofTime(func(t time.Time) int64 { return int64(t.Year()) }),
	"Month":        ofTime(func(t time.Time) int64 { return int64(t.Month()) }),
	"Day":          ofTime(func(t time.Time) int64 { return int64(t.Day()) }),
	"Hour":         ofTime(func(t time.Time) int64 { return int64(t.Hour()) }),
	"Minute":       ofTime(func(t time.Time) int64 { return int64(t.Minute()) }),
	"Second":       ofTime(func(t time.Time) int64 { return int64(t.Second()) }),
	"Weekday":      ofTime(func(t time.Time) int64 { return int64(t.Weekday()) }),
	"YearDay":      ofTime(func(t time.Time) int64 { return int64(t.YearDay()) }),
	"Unix":         ofTime(func(t time.Time) int64 { return t.Unix() }),
	"UnixMilli":    ofTime(func(t time.Time) int64 { return t.UnixMilli() }),
	"UTC":          {kTime, tTime, 0, func(_ *View, _ *site, a, _ value) value { return timeValue(a.time().UTC()) }},
	"Format":       {kTime, tText, 1, (*View).format},
	"Before":       {kTime, tBool, 1, times(func(order int) bool { return order < 0 })},
	"After":        {kTime, tBool, 1, times(func(order int) bool { return order > 0 })},
	"Equal":        {kTime, tBool, 1, times(func(order int) bool { return order == 0 })},
	"Add":          {kTime, tTime, 1, (*View).add},
	"Sub":          {kTime, tDuration, 1, (*View).subtract},
	"Truncate":     {kTime, tTime, 1, (*View).truncate},
	"Hours":        ofDuration(time.Duration.Hours),
	"Minutes":      ofDuration(time.Duration.Minutes),
	"Seconds":      ofDuration(time.Duration.Seconds),
	"Milliseconds": ofDuration(func(d time.Duration) float64 { return float64(d.Milliseconds()) }),
}

func ofTime(f func(time.Time) int64) method {
	return method{kTime, tNumber, 0, func(_ *View, _ *site, a, _ value) value { return intValue(f(a.time())) }}
}

func ofDuration(f func(time.Duration) float64) method {
	return method{kDuration, tNumber, 0, func(_ *View, _ *site, a, _ value) value {
		return floatValue(f(time.Duration(a.i)))
	}}
}

func times(f func(order int) bool) func(*View, *site, value, value) value {
	return func(v *View, s *site, a, b value) value {
		order, ok := compareTimes(a, b)
		if !ok {
			return v.fault(s, a.k, b.k)
		}
		return boolValue(f(order))
	}
}

func (v *View) format(s *site, a, b value) value {
	if b.k != kText {
		return v.fault(s, b.k)
	}
	if !v.charge(s, 1+8*len(b.s)) {
		return faultValue
	}
	return textValue(a.time().Format(b.s))
}

func (v *View) truncate(s *site, a, b value) value {
	if b.k != kDuration {
		return v.fault(s, b.k)
	}
	return timeValue(a.time().Truncate(time.Duration(b.i)))
}

// operatorOf names the operator for what other languages write as a method of a text.
var operatorOf = map[string]string{
	"contains": `a contains "b"`, "includes": `a contains "b"`, "startsWith": `a startsWith "b"`, "endsWith": `a endsWith "b"`,
	"hasPrefix": `a startsWith "b"`, "matches": `a matches "^b"`, "match": `a matches "^b"`, "test": `a matches "^b"`,
	"length": "len(a)", "size": "len(a)", "len": "len(a)", "toLowerCase": "lower(a)", "lower": "lower(a)",
	"toUpperCase": "upper(a)", "upper": "upper(a)", "trim": "trim(a)", "split": `split(a, ",")`, "join": `join(a, ",")`,
	"toString": "string(a)", "some": "any(a, .x > 1)", "any": "any(a, .x > 1)", "every": "all(a, .x > 1)", "map": "map(a, .x)",
	"filter": "filter(a, .x > 1)", "equals": "a == b", "indexOf": `indexOf(a, "b")`,
}

func (c *compiler) method(n *ast.CallNode) *node {
	m, ok := n.Callee.(*ast.MemberNode)
	if !ok {
		return c.fail(n, CodeName, "", "this cannot be called")
	}
	name, _ := m.Property.(*ast.StringNode)
	if name == nil {
		return c.fail(n, CodeName, "", "this cannot be called")
	}
	f, ok := methods[name.Value]
	if !ok {
		hint := ""
		if op := operatorOf[name.Value]; op != "" {
			hint = "write " + op
		}
		return c.fail(n, CodeName, hint, "there is no method %s", name.Value)
	}
	if len(n.Arguments) != f.args {
		return c.fail(n, CodeType, "", "%s does not take %d arguments", name.Value, len(n.Arguments))
	}
	a, b := c.compile(m.Node), constant(nilValue)
	if f.args == 1 {
		b = c.compile(n.Arguments[0])
	}
	s := c.site(n, name.Value)
	return c.fold(n, valueNode(f.typ, func(v *View) value {
		x := a.eval(v)
		if x.k == kFault || x.k == kNil {
			return x
		}
		y := b.eval(v)
		switch {
		case y.k == kFault:
			return y
		case x.k != f.of:
			return v.fault(s, x.k)
		}
		return f.call(v, s, x, y)
	}, a, b), a, b)
}
