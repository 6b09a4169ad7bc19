package tabletest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/table"
)

// numbers are hard for a database in one way or another. Each is written in its canonical form.
var numbers = []string{
	"0", "1", "-1", "10", "1000000", "0.1", "-0.1", "0.5", "1.5", "10.25", "0.30000000000000004", "0.000001", "0.0000001", "-0.0000000000000000001",
	"9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
	"123456789012345678901234567890", "-123456789012345678901234567890", "1234567890.12345678901234567890123456789", "0.123456789012345678901234567891",
	"100000000000000000000", "99999999999999999999", "3.141592653589793", "3.14159265358979323846", "179769313486231570000", "0.1000000000000000055511151231257827",
	strings.Repeat("9", 900), "0." + strings.Repeat("0", 300) + "1", "1" + strings.Repeat("0", 400),
}

var times = []string{
	"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.000000001Z", "2026-01-02T03:04:05.999999999Z",
	"1969-12-31T23:59:59.5Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
}

var texts = []string{
	"", " ", "o-1", "null", "true", "1", "1.0", "0x10", "1e3", "-0", "2026-01-02T03:04:05Z", "{}", "[1]", `"`, `'; DROP TABLE orders; --`,
	"größe", "日本語", "🜁", "\u200b", "\ufeff", "\ufffd", "\t\n\r", "\x01\x7f", "e\u0301", "?1 :a @b $c", "%_", strings.Repeat("ä", 5000),
}

var documents = []string{
	`{}`, `[]`, `{"a":[1,2.50,"x",null,true]}`, `"text"`, `12345678901234567890.10`, `true`, `{"b":1,"a":1,"b":2}`, ` [ 1 ,2 ] `, `"\u0041"`,
}

// one ensures a table of one typed column, writes each value under its own key, and reads them all back.
func one(t *testing.T, b Backend, typ table.Type, values []table.Value) {
	t.Helper()
	d := &table.Def{
		Name: "values_" + string(typ), Key: []string{"n"}, Version: 1,
		Columns: []table.Column{{Name: "n", Type: table.Text}, {Name: "v", Type: typ}, {Name: "w", Type: typ}},
	}
	ensure(t, b.Store, d)
	var rows []table.Row
	for i, v := range append(values, nil) {
		rows = append(rows, table.Row{fmt.Sprintf("%03d", i), v, nil})
	}
	put(t, b.Store, d, rows...)
	wantRows(t, scan(t, b.Store, d), rows...)
	wantRows(t, query(t, b.Store, table.Query{Table: d.Name}), rows...)
	for _, r := range rows {
		wantRows(t, []table.Row{load(t, b.Store, d, r[0])}, r)
		equal := all(t, b.Store.Scan(t.Context(), d, map[string]table.Value{"v": r[1]}))
		wantRows(t, equal, r)
	}
}

func values[T any](texts []string, read func(string) T) []table.Value {
	vs := make([]table.Value, len(texts))
	for i, s := range texts {
		vs[i] = read(s)
	}
	return vs
}

func text(s string) string { return s }

func testValues(t *testing.T, b Backend) {
	t.Run("text", func(t *testing.T) { one(t, b, table.Text, values(texts, text)) })
	t.Run("numeric", func(t *testing.T) { one(t, b, table.Numeric, values(numbers, num)) })
	t.Run("integer", func(t *testing.T) {
		var whole []string
		for _, s := range numbers {
			if !strings.Contains(s, ".") {
				whole = append(whole, s)
			}
		}
		one(t, b, table.Integer, values(whole, num))
	})
	t.Run("boolean", func(t *testing.T) { one(t, b, table.Boolean, []table.Value{true, false}) })
	t.Run("timestamp", func(t *testing.T) { one(t, b, table.Timestamp, values(times, at)) })
	t.Run("json", func(t *testing.T) { one(t, b, table.JSON, values(documents, raw)) })
	t.Run("canonical", func(t *testing.T) { testCanonical(t, b) })
}

// Numbers compare by value and come back in one form.
func testCanonical(t *testing.T, b Backend) {
	d := &table.Def{
		Name: "canonical", Key: []string{"k"}, Version: 1,
		Columns: []table.Column{{Name: "k", Type: table.Numeric}, {Name: "v", Type: table.Numeric}},
	}
	ensure(t, b.Store, d)
	negativeZero := new(apd.Decimal)
	negativeZero.Negative = true
	put(t, b.Store, d, table.Row{num("1.50"), num("1E+3")}, table.Row{negativeZero, num("0.00")}, table.Row{num("2E2"), num("-1.10")})
	put(t, b.Store, d, table.Row{num("15E-1"), num("7.0")})
	wantRows(t, scan(t, b.Store, d),
		table.Row{num("0"), num("0")}, table.Row{num("1.5"), num("7")}, table.Row{num("200"), num("-1.1")})
	wantRows(t, []table.Row{load(t, b.Store, d, num("1.500"))}, table.Row{num("1.5"), num("7")})
}

func mixed() []table.Value {
	vs := append(values(texts, text), values(numbers, num)...)
	vs = append(vs, values(times, at)...)
	vs = append(vs, true, false)
	return append(vs, values(documents, raw)...)
}

func testAnyValues(t *testing.T, b Backend) { one(t, b, table.Any, mixed()) }

func testKeyValues(t *testing.T, b Backend) {
	for _, tt := range []struct {
		typ    table.Type
		values []table.Value
	}{
		{table.Text, values(texts, text)},
		{table.Numeric, values(numbers, num)},
		{table.Boolean, []table.Value{true, false}},
		{table.Timestamp, values(times, at)},
		{table.Any, mixed()},
	} {
		t.Run(string(tt.typ), func(t *testing.T) {
			d := &table.Def{
				Name: "keys_" + string(tt.typ), Key: []string{"k", "l"}, Version: 1,
				Columns: []table.Column{{Name: "k", Type: tt.typ}, {Name: "l", Type: tt.typ}, {Name: "v", Type: table.Integer}},
			}
			ensure(t, b.Store, d)
			var rows []table.Row
			for i, v := range tt.values {
				if table.Kind(v) != table.JSON {
					rows = append(rows, table.Row{v, tt.values[0], num(fmt.Sprint(i))})
				}
			}
			put(t, b.Store, d, rows...)
			keys := make([]table.Row, len(rows))
			for i, r := range rows {
				keys[i] = r[:2]
			}
			got, err := b.Store.Load(t.Context(), d, keys)
			if err != nil {
				t.Fatal(err)
			}
			wantRows(t, got, rows...)
			for _, r := range rows {
				wantRows(t, all(t, b.Store.Scan(t.Context(), d, map[string]table.Value{"k": r[0]})), r)
			}
			if err := apply(t, b.Store, &table.Write{Def: d, Delete: keys[1:]}); err != nil {
				t.Fatal(err)
			}
			wantRows(t, scan(t, b.Store, d), rows[0])
		})
	}
}

func testValuesRefused(t *testing.T, b Backend) {
	d := &table.Def{Name: "refused", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Any}, {Name: "v", Type: table.Any}}}
	for _, typ := range []table.Type{table.Text, table.Integer, table.Numeric, table.Boolean, table.Timestamp, table.JSON} {
		d.Columns = append(d.Columns, table.Column{Name: "c_" + string(typ), Type: typ})
	}
	ensure(t, b.Store, d)
	for name, row := range map[string]table.Row{
		"null key":          {nil, "x"},
		"json key":          {raw(`{}`), "x"},
		"short row":         {"k"},
		"long row":          {"k", nil, nil, nil, nil, nil, nil, nil, nil},
		"NUL":               {"k", "a\x00b"},
		"no UTF-8":          {"k", "a\xffb"},
		"huge":              {"k", num("1E+1001")},
		"tiny":              {"k", num("1E-1001")},
		"not a number":      {"k", &apd.Decimal{Form: apd.NaN}},
		"infinite":          {"k", &apd.Decimal{Form: apd.Infinite}},
		"Go int":            {"k", 5},
		"year 10000":        {"k", at("9999-12-31T23:59:59Z").AddDate(1, 0, 0)},
		"text: number":      {"k", nil, num("1")},
		"text: JSON":        {"k", nil, raw(`{}`)},
		"integer: fraction": {"k", nil, nil, num("1.5")},
		"integer: text":     {"k", nil, nil, "1"},
		"numeric: text":     {"k", nil, nil, nil, "1"},
		"numeric: boolean":  {"k", nil, nil, nil, true},
		"boolean: number":   {"k", nil, nil, nil, nil, num("1")},
		"timestamp: text":   {"k", nil, nil, nil, nil, nil, "2026-01-02T03:04:05Z"},
		"json: text":        {"k", nil, nil, nil, nil, nil, nil, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "short row" {
				row = append(row, make(table.Row, max(0, len(d.Columns)-len(row)))...)
			}
			good := append(table.Row{"good"}, make(table.Row, len(d.Columns)-1)...)
			if err := apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{good, row}}); err == nil {
				t.Error("it was taken")
			}
			wantRows(t, scan(t, b.Store, d))
		})
	}
}
