package filter

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatdev/leat/pipeline/rawjson"
)

func (v *View) text(s *site, a value) value {
	if a.k == kText {
		return a
	}
	if a.k == kRow {
		return v.fault(s, a.k)
	}
	if !v.chargeWhole(s, a) {
		return faultValue
	}
	return textValue(view(appendText(nil, a)))
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
	if a.k == kRow {
		return v.fault(s, a.k)
	}
	if !v.chargeWhole(s, a) {
		return faultValue
	}
	return textValue(view(appendJSON(nil, a)))
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
