package dynamofake

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sort"
	"strings"
	"unicode/utf8"
)

// value is an attribute's value as the wire has it: {"S": "x"}.
type value map[string]json.RawMessage

// item is a row.
type item map[string]value

func (v value) kind() string {
	for k := range v {
		return k
	}
	return ""
}

func (v value) text() string {
	var s string
	for _, raw := range v {
		if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
			return string(raw[1 : n-1]) // most are so, and it is asked for all the time
		}
		_ = json.Unmarshal(raw, &s)
	}
	return s
}

func (v value) number() *big.Rat {
	r, ok := new(big.Rat).SetString(v.text())
	if v.kind() != "N" || !ok {
		return nil
	}
	return r
}

func (v value) bytes() []byte {
	b, _ := base64.StdEncoding.DecodeString(v.text())
	return b
}

func number(r *big.Rat) value {
	s := r.FloatString(18)
	if r.IsInt() {
		s = r.Num().String()
	}
	return value{"N": json.RawMessage(`"` + s + `"`)}
}

// compare orders two values of one kind; ok is false where they have no order.
func compare(a, b value) (int, bool) {
	if a.kind() != b.kind() {
		return 0, false
	}
	switch a.kind() {
	case "N":
		x, y := a.number(), b.number()
		if x == nil || y == nil {
			return 0, false
		}
		return x.Cmp(y), true
	case "S":
		return bytes.Compare([]byte(a.text()), []byte(b.text())), true
	case "B":
		return bytes.Compare(a.bytes(), b.bytes()), true
	}
	return 0, false
}

func equal(a, b value) bool {
	if c, ok := compare(a, b); ok {
		return c == 0
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// size is what a value weighs, by the developer guide: strings their UTF-8, numbers about half their digits and one, lists
// and maps three and what they hold with one for each.
func (v value) size() int {
	raw := v[v.kind()]
	switch v.kind() {
	case "S":
		return len(v.text())
	case "B":
		s := v.text()
		return base64.StdEncoding.DecodedLen(len(s)) - strings.Count(s[max(0, len(s)-2):], "=")
	case "N":
		return (len(v.text())+1)/2 + 1
	case "BOOL", "NULL":
		return 1
	case "L":
		var list []value
		_ = json.Unmarshal(raw, &list)
		n := 3
		for _, e := range list {
			n += e.size() + 1
		}
		return n
	case "M":
		var m map[string]value
		_ = json.Unmarshal(raw, &m)
		n := 3
		for k, e := range m {
			n += len(k) + e.size() + 1
		}
		return n
	}
	var set []string
	_ = json.Unmarshal(raw, &set)
	n := 0
	for _, s := range set {
		n += len(s)
	}
	return n
}

func (i item) size() int {
	n := 0
	for k, v := range i {
		n += len(k) + v.size()
	}
	return n
}

func (i item) clone() item {
	out := item{}
	for k, v := range i {
		out[k] = v
	}
	return out
}

// only keeps the attributes that a projection names.
func (i item) only(names []string) item {
	if names == nil {
		return i
	}
	out := item{}
	for _, n := range names {
		if v, ok := i[n]; ok {
			out[n] = v
		}
	}
	return out
}

// units are what a piece of so many bytes costs, in units of per bytes.
func units(size, per int) float64 { return float64(max(1, (size+per-1)/per)) }

// hash gives a key's value as a map key.
func hash(v value) string { return v.kind() + ":" + v.text() }

// sortItems orders items by their range key.
func sortItems(list []item, by string) {
	sort.SliceStable(list, func(a, b int) bool {
		c, _ := compare(list[a][by], list[b][by])
		return c < 0
	})
}
