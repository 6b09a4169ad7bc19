package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/event"
)

// MaxExponent bounds numbers: those with a digit beyond 10^±MaxExponent are refused, so that a few bytes of an event
// ("1e999999999") cannot become megabytes of digits in a row.
const MaxExponent = 1000

// ErrValue is wrapped by what Canonical returns.
var ErrValue = fmt.Errorf("table: no table can hold the value")

// Canonical gives the one form in which every backend keeps a value: numbers without trailing zeros behind the point and
// without a positive exponent (they compare by value; 1.10 is 1.1), times in UTC. It refuses what some backend cannot
// keep: text with a NUL or broken UTF-8, numbers beyond MaxExponent or not finite, years outside 0 to 9999, types that
// are no Value.
func Canonical(in Value) (Value, error) {
	switch v := in.(type) { // what is canonical goes back as it came: another Value of it would be another allocation
	case nil, bool:
		return in, nil
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return nil, fmt.Errorf("%w: text with a NUL character", ErrValue)
		}
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: text that is not UTF-8", ErrValue)
		}
		return in, nil
	case *apd.Decimal:
		return canonicalDecimal(v)
	case time.Time:
		if y := v.UTC().Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("%w: a time in the year %d", ErrValue, y)
		}
		return v.Round(0).UTC(), nil
	case json.RawMessage:
		if v == nil {
			return nil, nil
		}
		if bytes.IndexByte(v, 0) >= 0 || !utf8.Valid(v) {
			return nil, fmt.Errorf("%w: JSON with a NUL or broken UTF-8", ErrValue)
		}
		return in, nil
	}
	return nil, fmt.Errorf("%w: a %T", ErrValue, in)
}

func canonicalDecimal(d *apd.Decimal) (Value, error) {
	if d == nil {
		return nil, nil
	}
	if d.Form != apd.Finite {
		return nil, fmt.Errorf("%w: the number %s", ErrValue, d.Form)
	}
	if d.Exponent == 0 && !d.Negative {
		if d.Coeff.IsInt64() {
			return d, nil
		}
	}
	if digits := d.NumDigits(); int64(d.Exponent)+digits > MaxExponent || d.Exponent < -MaxExponent {
		return nil, fmt.Errorf("%w: a number beyond 10^%d", ErrValue, MaxExponent)
	}
	if d.IsZero() {
		return new(apd.Decimal), nil
	}
	switch {
	case d.Exponent == 0:
		return d, nil
	case d.Exponent > 0:
		return expand(d), nil
	}
	if d.Coeff.IsInt64() && d.Coeff.Int64()%10 != 0 {
		return d, nil
	}
	r, _ := new(apd.Decimal).Reduce(d)
	if r.Exponent > 0 {
		return expand(r), nil
	}
	return r, nil
}

// expand writes a positive exponent as zeros of the coefficient.
func expand(d *apd.Decimal) *apd.Decimal {
	r := new(apd.Decimal)
	p := new(apd.BigInt).Exp(apd.NewBigInt(10), apd.NewBigInt(int64(d.Exponent)), nil)
	r.Coeff.Mul(&d.Coeff, p)
	r.Negative = d.Negative
	return r
}

// Equal reports whether two canonical values are the same: of one type and, for numbers and times, of one value.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }

// Compare orders canonical values: null, booleans, numbers, times, text (by bytes), JSON (by bytes).
func Compare(a, b Value) int {
	ra, rb := rank(a), rank(b)
	if ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(btoi(a), btoi(b.(bool)))
	case *apd.Decimal:
		return a.Cmp(b.(*apd.Decimal))
	case time.Time:
		return a.Compare(b.(time.Time))
	case string:
		return strings.Compare(a, b.(string))
	case json.RawMessage:
		return bytes.Compare(a, b.(json.RawMessage))
	}
	return 0
}

// CompareRows orders rows by their columns, the first one first.
func CompareRows(a, b Row) int {
	for i := range min(len(a), len(b)) {
		if c := Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func rank(v Value) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case *apd.Decimal:
		return 2
	case time.Time:
		return 3
	case string:
		return 4
	}
	return 5
}

// isWhole reports whether a canonical value is a number without a fraction.
func isWhole(v Value) bool {
	d, ok := v.(*apd.Decimal)
	return ok && d.Exponent >= 0
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// AppendKey appends bytes that are the same for equal canonical rows and differ for others: a map key. Their order
// means nothing.
func AppendKey(dst []byte, row Row) []byte {
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			dst = append(dst, 'z')
		case bool:
			dst = append(dst, 'b', byte(btoi(v)))
		case string:
			dst = append(dst, 's')
			dst = binary.AppendUvarint(dst, uint64(len(v)))
			dst = append(dst, v...)
		case *apd.Decimal:
			dst = append(dst, 'n')
			dst = v.Append(dst, 'f')
			dst = append(dst, 0)
		case time.Time:
			dst = append(dst, 't')
			dst = binary.AppendVarint(dst, v.Unix())
			dst = binary.AppendVarint(dst, int64(v.Nanosecond()))
		case json.RawMessage:
			dst = append(dst, 'j')
			dst = binary.AppendUvarint(dst, uint64(len(v)))
			dst = append(dst, v...)
		}
	}
	return dst
}

// Kind names the type that a value has by itself: the type of a column that holds nothing else, "" for null.
func Kind(v Value) Type {
	switch v.(type) {
	case bool:
		return Boolean
	case string:
		return Text
	case *apd.Decimal:
		return Numeric
	case time.Time:
		return Timestamp
	case json.RawMessage:
		return JSON
	}
	return ""
}

// AppendText appends a value as people read it: numbers in digits, times in RFC 3339, null as nothing.
func AppendText(dst []byte, v Value) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case string:
		return append(dst, v...)
	case *apd.Decimal:
		return v.Append(dst, 'f')
	case time.Time:
		return v.UTC().AppendFormat(dst, time.RFC3339Nano)
	case json.RawMessage:
		return append(dst, v...)
	}
	return dst
}

// AppendJSON appends a value as JSON: numbers with all their digits, times as RFC 3339 text.
func AppendJSON(dst []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case string:
		return append(dst, event.Quote(v)...)
	case time.Time:
		dst = append(dst, '"')
		dst = AppendText(dst, v)
		return append(dst, '"')
	}
	return AppendText(dst, v)
}

// AppendRowJSON appends a row as a JSON object in the order of the columns.
func AppendRowJSON(dst []byte, d *Def, row Row) []byte {
	dst = append(dst, '{')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, event.Quote(d.Columns[i].Name)...)
		dst = append(dst, ':')
		dst = AppendJSON(dst, v)
	}
	return append(dst, '}')
}

// ParseText gives the values that a person may mean by text in a column of that type: one for a typed column, each
// possible reading for Any.
func ParseText(t Type, s string) ([]Value, error) {
	var vs []Value
	if t == Any || t == Text {
		vs = append(vs, s)
	}
	if t == Any || t == Boolean {
		if s == "true" || s == "false" {
			vs = append(vs, s == "true")
		}
	}
	if t == Any || t == Numeric || t == Integer {
		if d, _, err := apd.NewFromString(s); err == nil {
			if v, err := Canonical(d); err == nil {
				vs = append(vs, v)
			}
		}
	}
	if t == Any || t == Timestamp {
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
			vs = append(vs, at.UTC())
		}
	}
	if t == Any || t == JSON {
		if json.Valid([]byte(s)) {
			vs = append(vs, json.RawMessage(s))
		}
	}
	if len(vs) == 0 {
		return nil, fmt.Errorf("table: %q is no %s", s, t)
	}
	return vs, nil
}

// Float gives the float64 that stands for exactly this number, if there is one: its shortest decimal form is the
// number again.
func Float(d *apd.Decimal) (float64, bool) {
	if d.Form != apd.Finite || d.NumDigits() > 17 {
		return 0, false
	}
	f, err := d.Float64()
	if err != nil || math.IsInf(f, 0) {
		return 0, false
	}
	back, err := FromFloat(f)
	return f, err == nil && back.Cmp(d) == 0
}

// FromFloat gives the number that f's shortest decimal form spells.
func FromFloat(f float64) (*apd.Decimal, error) {
	d, err := new(apd.Decimal).SetFloat64(f)
	if err != nil {
		return nil, fmt.Errorf("%w: the number %v", ErrValue, f)
	}
	v, err := canonicalDecimal(d)
	if err != nil {
		return nil, err
	}
	return v.(*apd.Decimal), nil
}
