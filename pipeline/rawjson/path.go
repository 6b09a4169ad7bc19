package rawjson

import (
	"fmt"
	"strconv"
)

// Get gives the bytes of the value at a path, without white space around it: a view into b. A step is a member's key
// in an object, and an index from 0 in an array. No path at all is the whole value.
func Get(b []byte, path ...string) ([]byte, bool) {
	root := span{space(b, 0), len(b)}
	if len(path) == 0 {
		root = trim(b) // elsewhere its end does not matter, and finding it is a walk of its own
	}
	at, ok := find(b, root, path)
	return b[at.from:at.to:at.to], ok
}

// Set gives b with value at the path. The other bytes stay as they are; b itself is not written to. Objects on the
// way that are missing, or null, are made; an empty or null b counts as an empty object. In an array a step is the
// index of an element that is there, or of the one behind the last. It is an error to step into any other value.
// The value must be valid JSON.
func Set(b []byte, path []string, value []byte) ([]byte, error) {
	if len(path) == 0 {
		return append([]byte{}, value...), nil
	}
	at := trim(b)
	if at.empty() {
		return appendNested(nil, path, value), nil
	}
	for n, step := range path {
		switch kinds[b[at.from]] {
		case KindNull:
			return splice(b, at, appendNested(nil, path[n:], value)), nil
		case KindObject, KindArray:
		default:
			return nil, fmt.Errorf("rawjson: set: %q is in no object", step)
		}
		next, ok := child(b, at, step)
		if !ok {
			return insert(b, at, path[n:], value)
		}
		at = next
	}
	return splice(b, at, value), nil
}

// Delete gives b without the member at the path, however often the key is there; b itself is not written to. Where
// there is nothing at the path it gives b. Elements of an array cannot be deleted.
func Delete(b []byte, path []string) ([]byte, error) {
	if len(path) == 0 {
		return nil, fmt.Errorf("rawjson: delete: no path")
	}
	last := len(path) - 1
	at, ok := find(b, trim(b), path[:last])
	if !ok || at.empty() {
		return b, nil
	}
	switch kinds[b[at.from]] {
	case KindObject:
	case KindArray:
		return nil, fmt.Errorf("rawjson: delete: %q is in no object", path[last])
	default:
		return b, nil
	}
	var out []byte
	kept, found, first := at.from+1, false, true
	comma := -1 // the comma before the member in hand
	m := members{b: b, i: at.from + 1, closing: '}'}
	for m.next() {
		if m.is(path[last]) {
			found = true
			switch {
			case comma >= 0 && !first: // what was kept before it ends at its comma
				out = append(out, b[kept:comma]...)
				kept = m.value.to
			default: // it comes first: its own comma goes with it
				kept = m.value.to
				if j := space(b, kept); j < len(b) && b[j] == ',' {
					kept = space(b, j+1)
				}
			}
		} else {
			first = false
		}
		comma = m.comma()
	}
	if !found {
		return b, nil
	}
	whole := append([]byte{}, b[:at.from+1]...)
	return append(append(whole, out...), b[kept:]...), nil
}

type span struct{ from, to int }

func (s span) empty() bool { return s.from >= s.to }

// trim gives the span of the first value in b.
func trim(b []byte) span {
	from := space(b, 0)
	to := Skip(b, from)
	if to < 0 {
		return span{}
	}
	return span{from, to}
}

func find(b []byte, at span, path []string) (span, bool) {
	if at.empty() {
		return span{}, false
	}
	for _, step := range path {
		var ok bool
		if at, ok = child(b, at, step); !ok {
			return span{}, false
		}
	}
	return at, true
}

// child gives the span of what an object or an array holds at one step: the last one where a key is there twice.
func child(b []byte, at span, step string) (span, bool) {
	switch b[at.from] {
	case '{':
		found, ok := span{}, false
		m := members{b: b, i: at.from + 1, closing: '}'}
		for m.next() {
			if m.is(step) {
				found, ok = m.value, true
			}
		}
		return found, ok
	case '[':
		n, err := strconv.ParseUint(step, 10, 31)
		if err != nil {
			return span{}, false
		}
		m := members{b: b, i: at.from + 1, closing: ']'}
		for ; m.next(); n-- {
			if n == 0 {
				return m.value, true
			}
		}
	}
	return span{}, false
}

// members walks an object or an array without validating it.
type members struct {
	b       []byte
	i       int // where the next member, its comma or the closing bracket is
	closing byte
	key     span // with its quotes
	esc     bool
	value   span
	begun   bool
}

func (m *members) next() bool {
	b := m.b
	i := space(b, m.i)
	if m.begun {
		if i >= len(b) || b[i] != ',' {
			return false
		}
		i = space(b, i+1)
	}
	m.begun = true
	if i >= len(b) || b[i] == m.closing {
		return false
	}
	if m.closing == '}' {
		if b[i] != '"' {
			return false
		}
		end, esc := SkipString(b, i)
		if end < 0 {
			return false
		}
		m.key, m.esc = span{i, end}, esc
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return false
		}
		i = space(b, i+1)
	}
	to := Skip(b, i)
	if to < 0 {
		return false
	}
	m.value, m.i = span{i, to}, to
	return true
}

func (m *members) is(key string) bool {
	k := m.b[m.key.from+1 : m.key.to-1]
	if m.esc {
		k = appendUnescaped(nil, k)
	}
	return string(k) == key
}

// comma gives the index of the comma behind the member, -1 where it is the last.
func (m *members) comma() int {
	if i := space(m.b, m.i); i < len(m.b) && m.b[i] == ',' {
		return i
	}
	return -1
}

func splice(b []byte, at span, value []byte) []byte {
	out := make([]byte, 0, len(b)-(at.to-at.from)+len(value))
	return append(append(append(out, b[:at.from]...), value...), b[at.to:]...)
}

// insert puts what the path leads to at the end of a container that lacks its first step.
func insert(b []byte, at span, path []string, value []byte) ([]byte, error) {
	closing := b[at.from] + 2 // '{' to '}', '[' to ']'
	end, n := at.from+1, uint64(0)
	m := members{b: b, i: at.from + 1, closing: closing}
	for m.next() {
		end = m.value.to
		n++
	}
	var v []byte
	if n > 0 {
		v = append(v, ',')
	}
	if closing == '}' {
		v = append(AppendQuote(v, path[0]), ':')
	} else if i, err := strconv.ParseUint(path[0], 10, 31); err != nil || i != n {
		return nil, fmt.Errorf("rawjson: set: %q is no index into an array of %d", path[0], n)
	}
	v = appendNested(v, path[1:], value)
	return splice(b, span{end, end}, v), nil
}

// appendNested appends the value within the objects that the path names.
func appendNested(dst []byte, path []string, value []byte) []byte {
	for _, step := range path {
		dst = append(AppendQuote(append(dst, '{'), step), ':')
	}
	dst = append(dst, value...)
	for range path {
		dst = append(dst, '}')
	}
	return dst
}
