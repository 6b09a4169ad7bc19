package filter

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/rawjson"
)

type kind uint8

const (
	kNil kind = iota
	kBool
	kInt
	kFloat
	kText
	kTime
	kDuration
	kArray  // of JSON, raw
	kObject // of JSON, raw
	kList   // made by an expression
	kMap    // made by an expression
	kRow    // the row as a whole
	kFault  // the view holds the error
)

var kindNames = [...]string{
	"nil", "a boolean", "a number", "a number", "text", "a time", "a duration", "an array", "an object", "an array",
	"an object", "a row", "a fault",
}

func (k kind) String() string { return kindNames[k] }

// value is what expressions compute with. It is made to be passed in registers and to need no memory of its own for
// all that comes straight from an event.
type value struct {
	k    kind
	nsec int32  // of a time
	i    int64  // a boolean (0, 1), an integer, a float's bits, a duration, a time's Unix seconds
	s    string // a text; raw JSON; a number's spelling, where it has one
	x    any    // []value, *object, a time's *time.Location
}

// object is a map made by an expression, in the order in which it was written.
type object struct {
	keys []string
	vals []value
}

var (
	nilValue   = value{}
	faultValue = value{k: kFault}
)

func boolValue(b bool) value {
	if b {
		return value{k: kBool, i: 1}
	}
	return value{k: kBool}
}

func intValue(i int64) value      { return value{k: kInt, i: i} }
func floatValue(f float64) value  { return value{k: kFloat, i: int64(math.Float64bits(f))} }
func textValue(s string) value    { return value{k: kText, s: s} }
func listValue(l []value) value   { return value{k: kList, x: l} }
func (a value) float() float64    { return math.Float64frombits(uint64(a.i)) }
func (a value) list() []value     { l, _ := a.x.([]value); return l }
func (a value) object() *object   { return a.x.(*object) }
func (a value) isNumber() bool    { return a.k == kInt || a.k == kFloat }
func (a value) isList() bool      { return a.k == kArray || a.k == kList }
func (a value) isMap() bool       { return a.k == kObject || a.k == kMap }
func durationValue(d int64) value { return value{k: kDuration, i: d} }
func rawBytes(s string) []byte    { return unsafe.Slice(unsafe.StringData(s), len(s)) }
func view(b []byte) string        { return unsafe.String(unsafe.SliceData(b), len(b)) }
func (a value) number() float64 { // of an integer or a float
	if a.k == kInt {
		return float64(a.i)
	}
	return a.float()
}

func timeValue(t time.Time) value {
	return value{k: kTime, i: t.Unix(), nsec: int32(t.Nanosecond()), x: t.Location()}
}

func (a value) time() time.Time {
	t := time.Unix(a.i, int64(a.nsec))
	if l, ok := a.x.(*time.Location); ok {
		return t.In(l)
	}
	return t.UTC()
}

// typed reads one raw JSON value, without white space around it. The empty text is nil.
func typed(raw string) value {
	if raw == "" {
		return nilValue
	}
	switch c := raw[0]; c {
	case '"':
		return textValue(rawjson.Text(rawBytes(raw)))
	case '{':
		return value{k: kObject, s: raw}
	case '[':
		return value{k: kArray, s: raw}
	case 't':
		return value{k: kBool, i: 1}
	case 'f':
		return value{k: kBool}
	case 'n':
		return nilValue
	default:
		return number(raw)
	}
}

// appendJSON writes a value as JSON; rows and faults have none.
func appendJSON(dst []byte, a value) []byte {
	switch a.k {
	case kBool:
		return strconv.AppendBool(dst, a.i != 0)
	case kInt, kFloat:
		return appendNumber(dst, a)
	case kText:
		return rawjson.AppendQuote(dst, a.s)
	case kTime, kDuration:
		dst = append(dst, '"')
		return append(appendText(dst, a), '"')
	case kArray, kObject:
		return append(dst, a.s...)
	case kList:
		dst = append(dst, '[')
		for i, e := range a.list() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case kMap:
		dst = append(dst, '{')
		o := a.object()
		for i, k := range o.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(rawjson.AppendQuote(dst, k), ':')
			dst = appendJSON(dst, o.vals[i])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendText writes a value as a template shows it: texts as they are, nil as nothing, all else as JSON.
func appendText(dst []byte, a value) []byte {
	switch a.k {
	case kNil:
		return dst
	case kText:
		return append(dst, a.s...)
	case kTime:
		return a.time().AppendFormat(dst, time.RFC3339Nano)
	case kDuration:
		return append(dst, time.Duration(a.i).String()...)
	}
	return appendJSON(dst, a)
}

// plain gives a value as Go's own types, sharing no memory with the event. What lies deeper than rawjson.MaxDepth,
// which no event that was checked has, is nil.
func plain(a value, depth int) any {
	if depth > rawjson.MaxDepth {
		return nil
	}
	switch a.k {
	case kBool:
		return a.i != 0
	case kInt:
		return int(a.i)
	case kFloat:
		return a.float()
	case kText:
		return strings.Clone(a.s)
	case kTime:
		return a.time()
	case kDuration:
		return time.Duration(a.i)
	case kArray:
		list := []any{}
		walkArray(a.s, func(raw string) bool { list = append(list, plain(typed(raw), depth+1)); return true })
		return list
	case kObject:
		m := map[string]any{}
		walkObject(a.s, func(key, raw string) bool { m[strings.Clone(key)] = plain(typed(raw), depth+1); return true })
		return m
	case kList:
		list := make([]any, 0, len(a.list()))
		for _, e := range a.list() {
			list = append(list, plain(e, depth+1))
		}
		return list
	case kMap:
		o := a.object()
		m := make(map[string]any, len(o.keys))
		for i, k := range o.keys {
			m[strings.Clone(k)] = plain(o.vals[i], depth+1)
		}
		return m
	}
	return nil
}

// walkArray hands over the raw elements of a JSON array.
func walkArray(s string, f func(raw string) bool) {
	b := rawBytes(s)
	for i := rawjson.SkipSpace(b, 1); i < len(b) && b[i] != ']'; {
		end := rawjson.Skip(b, i)
		if end < 0 || !f(s[i:end]) {
			return
		}
		if i = rawjson.SkipSpace(b, end); i >= len(b) || b[i] != ',' {
			return
		}
		i = rawjson.SkipSpace(b, i+1)
	}
}

// walkObject hands over the keys and raw values of a JSON object. A key with escapes is resolved.
func walkObject(s string, f func(key, raw string) bool) {
	b := rawBytes(s)
	for i := rawjson.SkipSpace(b, 1); i < len(b) && b[i] == '"'; {
		end, _ := rawjson.SkipString(b, i)
		if end < 0 {
			return
		}
		key := rawjson.Text(b[i:end])
		if i = rawjson.SkipSpace(b, end); i >= len(b) || b[i] != ':' {
			return
		}
		i = rawjson.SkipSpace(b, i+1)
		if end = rawjson.Skip(b, i); end < 0 || !f(key, s[i:end]) {
			return
		}
		if i = rawjson.SkipSpace(b, end); i >= len(b) || b[i] != ',' {
			return
		}
		i = rawjson.SkipSpace(b, i+1)
	}
}

// fromGo takes the value of a row's column.
func fromGo(a any) value {
	switch a := a.(type) {
	case nil:
		return nilValue
	case bool:
		return boolValue(a)
	case string:
		return textValue(a)
	case int:
		return intValue(int64(a))
	case int64:
		return intValue(a)
	case float64:
		return floatValue(a)
	case time.Time:
		return timeValue(a)
	case json.RawMessage:
		b := []byte(a)
		i := rawjson.SkipSpace(b, 0)
		if end := rawjson.Skip(b, i); end > 0 {
			return typed(view(b[i:end]))
		}
		return nilValue
	case *apd.Decimal:
		if a == nil || a.Form != apd.Finite {
			return nilValue
		}
		return number(a.String())
	}
	return nilValue
}
