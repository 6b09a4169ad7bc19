package filter

import (
	"unicode/utf8"
)

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
