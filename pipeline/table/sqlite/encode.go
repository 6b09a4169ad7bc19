package sqlite

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/table"
)

// stamp is how times are written: text of one width, so that their order is that of the text.
const stamp = "2006-01-02T15:04:05.000000000Z"

// encodeValue gives what is bound for a canonical value that fits its column. Told is the type that has to be noted
// in leat_types, "" where the value tells it by itself. In a key of any type such values are a BLOB of their text: a
// key cannot be told apart by another column.
func encodeValue(v table.Value, t table.Type, key bool) (arg any, told table.Type) {
	switch v := v.(type) {
	case nil:
		return nil, ""
	case string:
		return v, ""
	case bool:
		arg, told = int64(0), table.Boolean
		if v {
			arg = int64(1)
		}
	case *apd.Decimal:
		n := encodeNumber(v)
		if _, ok := n.(string); !ok {
			return n, ""
		}
		arg, told = n, table.Numeric
	case time.Time:
		arg, told = v.Format(stamp), table.Timestamp
	case json.RawMessage:
		arg, told = string(v), table.JSON
	}
	if t != table.Any {
		return arg, ""
	}
	if key {
		return table.AppendText(nil, v), ""
	}
	return arg, told
}

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// maxDigits is the largest coefficient of 15 digits. Each number of so many digits has a float64 of its own, whose
// shortest decimal form it is.
const maxDigits = 999_999_999_999_999

// encodeNumber gives an int64, a float64 or a string.
func encodeNumber(d *apd.Decimal) any {
	if d.Exponent == 0 {
		if d.Coeff.IsInt64() {
			if d.Negative {
				return -d.Coeff.Int64()
			}
			return d.Coeff.Int64()
		}
		if n, err := d.Int64(); err == nil { // the lowest of them
			return n
		}
	} else if n := -int(d.Exponent); n > 0 && n < len(pow10) && d.Coeff.IsInt64() && d.Coeff.Int64() <= maxDigits {
		f := float64(d.Coeff.Int64()) / pow10[n] // both exact, so the quotient is the nearest (Clinger 1990)
		if d.Negative {
			f = -f
		}
		return f
	}
	if f, ok := table.Float(d); ok && f != math.Trunc(f) {
		return f
	}
	return d.Text('f')
}

// decodeValue reads what a column holds. Told is from leat_types.
func decodeValue(raw any, t, told table.Type) (table.Value, error) {
	if t == table.Any && told != "" {
		t = told
	}
	switch raw := raw.(type) {
	case nil:
		return nil, nil
	case int64:
		if t == table.Boolean {
			return raw != 0, nil
		}
		return apd.New(raw, 0), nil
	case float64:
		return decodeFloat(raw)
	case string:
		switch t {
		case table.Integer, table.Numeric:
			return decodeText(raw)
		case table.Timestamp:
			at, err := time.Parse(time.RFC3339Nano, raw)
			if err != nil {
				return nil, fmt.Errorf("%q is no time", raw)
			}
			return at.UTC(), nil
		case table.JSON:
			return json.RawMessage(raw), nil
		}
		return raw, nil
	case []byte:
		return decodeKey(string(raw))
	}
	return nil, fmt.Errorf("a %T", raw)
}

func decodeText(s string) (table.Value, error) {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", s)
	}
	return d, nil
}

func decodeFloat(f float64) (table.Value, error) {
	for n := 1; n <= 6; n++ {
		x := f * pow10[n]
		if x == math.Trunc(x) && math.Abs(x) <= maxDigits && x/pow10[n] == f {
			return apd.New(int64(x), int32(-n)), nil
		}
	}
	return table.FromFloat(f)
}

// decodeKey reads a BLOB of a key of any type.
func decodeKey(s string) (table.Value, error) {
	switch s {
	case "true", "false":
		return s == "true", nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at.UTC(), nil
	}
	return decodeText(s)
}
