package filter

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/leatdev/leat/pipeline/rawjson"
)

// step takes one step into a value. Where it leads nowhere it gives nil.
func (v *View) step(s *site, a value, st step) value {
	switch a.k {
	case kFault:
		return a
	case kObject:
		if st.index >= 0 {
			return nilValue
		}
		if !v.charge(s, 1+len(a.s)/8) {
			return faultValue
		}
		raw, _ := rawjson.Get(rawBytes(a.s), st.key)
		return typed(view(raw))
	case kMap:
		o := a.object()
		if i := index(o.keys, st.key); st.index < 0 && i >= 0 {
			return o.vals[i]
		}
	case kArray, kList:
		if st.index >= 0 {
			return v.element(s, a, int64(st.index))
		}
	case kRow:
		if x, ok := v.row(st.key); ok && st.index < 0 {
			return fromGo(x)
		}
	}
	return nilValue
}

// get is a step that is computed: a key, or an index, which counts from the end where it is negative.
func (v *View) get(s *site, a, at value) value {
	switch {
	case a.k == kFault || at.k == kFault:
		return faultValue
	case a.isList():
		if i, ok := integer(at); ok {
			return v.element(s, a, i)
		}
	case at.k == kText:
		return v.step(s, a, step{at.s, -1})
	}
	return nilValue
}

func (v *View) element(s *site, a value, i int64) value {
	if a.k == kArray && i >= 0 {
		if !v.charge(s, 1+len(a.s)/2) {
			return faultValue
		}
		found := ""
		walkArray(a.s, func(raw string) bool {
			if i == 0 {
				found = raw
			}
			i--
			return found == ""
		})
		return typed(found)
	}
	list, ok := v.items(s, a)
	if !ok {
		return faultValue
	}
	if i < 0 {
		i += int64(len(list))
	}
	if i < 0 || i >= int64(len(list)) {
		return nilValue
	}
	return list[i]
}

// hasKey tells whether an object has a key, whatever its value.
func (v *View) hasKey(s *site, a value, key string) truth {
	if a.k == kMap {
		return truthOf(index(a.object().keys, key) >= 0)
	}
	if !v.charge(s, 1+len(a.s)/8) {
		return fault
	}
	_, ok := rawjson.Get(rawBytes(a.s), key)
	return truthOf(ok)
}

// each hands over the elements of a list in their order and charges cost for each. Nil has none. It gives false where
// the view has an error: a is no list, or there was too much work. The function gives false to stop.
func (v *View) each(s *site, a value, cost int, f func(i int, e value) bool) bool {
	ok := true
	switch a.k {
	case kNil:
	case kArray:
		i := 0
		walkArray(a.s, func(raw string) bool {
			if !v.charge(s, cost+len(raw)/8) {
				ok = false
				return false
			}
			more := f(i, typed(raw))
			i++
			return more
		})
	case kList:
		for i, e := range a.list() {
			if !v.charge(s, cost) {
				return false
			}
			if !f(i, e) {
				break
			}
		}
	case kFault:
		return false
	default:
		v.fault(s, a.k)
		return false
	}
	return ok && v.err == nil
}

// items gives the elements of a list; not to be written to.
func (v *View) items(s *site, a value) ([]value, bool) {
	if a.k == kList {
		return a.list(), true
	}
	var list []value
	ok := v.each(s, a, elementCost, func(_ int, e value) bool {
		list = append(list, e)
		return true
	})
	return list, ok
}

// fields gives an object's members; of a key that is there twice the last.
func (v *View) fields(s *site, a value) (map[string]value, bool) {
	m := map[string]value{}
	ok := v.members(s, a, func(key string, e value) { m[key] = e })
	return m, ok
}

// members hands over an object's members in their order.
func (v *View) members(s *site, a value, f func(key string, e value)) bool {
	ok := true
	switch a.k {
	case kNil:
	case kObject:
		walkObject(a.s, func(key, raw string) bool {
			ok = v.charge(s, 2*elementCost+len(key)+len(raw)/8)
			if ok {
				f(key, typed(raw))
			}
			return ok
		})
	case kMap:
		o := a.object()
		for i, k := range o.keys {
			f(k, o.vals[i])
		}
	case kFault:
		return false
	default:
		v.fault(s, a.k)
		return false
	}
	return ok
}

func (c *compiler) slice(n *ast.SliceNode) *node {
	base := c.compile(n.Node)
	from, to := constant(intValue(0)), constant(intValue(math.MaxInt64))
	if n.From != nil {
		from = c.compile(n.From)
	}
	if n.To != nil {
		to = c.compile(n.To)
	}
	s := c.site(n, "[ : ]")
	return c.fold(n, valueNode(base.typ, func(v *View) value {
		return v.cut(s, base.eval(v), from.eval(v), to.eval(v))
	}, base, from, to), base, from, to)
}

// cut gives a part of a list, or of a text by characters. Negative bounds count from the end, all are clipped.
func (v *View) cut(s *site, a, from, to value) value {
	if a.k == kFault || from.k == kFault || to.k == kFault {
		return faultValue
	}
	x, ok := integer(from)
	y, ok2 := integer(to)
	if !ok || !ok2 {
		return v.fault(s, from.k, to.k)
	}
	switch {
	case a.k == kNil:
		return nilValue
	case a.k == kText:
		if !v.charge(s, 1+len(a.s)/4) {
			return faultValue
		}
		i, j := clip(x, y, utf8.RuneCountInString(a.s))
		from := runeIndex(a.s, i)
		return textValue(a.s[from : from+runeIndex(a.s[from:], j-i)])
	case a.isList():
		list, ok := v.items(s, a)
		if !ok {
			return faultValue
		}
		i, j := clip(x, y, len(list))
		return listValue(list[i:j:j])
	}
	return v.fault(s, a.k)
}

func clip(from, to int64, n int) (int, int) {
	if from < 0 {
		from += int64(n)
	}
	if to < 0 {
		to += int64(n)
	}
	j := min(max(to, 0), int64(n))
	return int(min(max(from, 0), j)), int(j)
}

// runeIndex gives the byte at which a text's n-th character starts.
func runeIndex(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

var layouts = []string{
	time.RFC3339, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC1123, time.RFC1123Z, time.RFC850, time.RFC822,
}

// asTime takes a time, or text that reads as one.
func asTime(a value) (value, bool) {
	switch a.k {
	case kTime:
		return a, true
	case kText:
		if t, ok := parseTime(a.s); ok {
			return timeValue(t), true
		}
	}
	return nilValue, false
}

func parseTime(text string) (time.Time, bool) {
	if len(text) > 64 {
		return time.Time{}, false
	}
	text = strings.TrimSpace(text)
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func (v *View) shift(s *site, a value, d int64) value {
	t := a.time().Add(time.Duration(d))
	if y := t.Year(); y < 0 || y > 9999 {
		return v.faultWhy(s, "the result is outside of the years 0 to 9999")
	}
	return timeValue(t)
}
