package tabletest

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/table"
)

func testQuery(t *testing.T, b Backend) {
	d := &table.Def{
		Name: "stock", Key: []string{"sku"}, Version: 1,
		Columns: []table.Column{
			{Name: "sku", Type: table.Text}, {Name: "qty", Type: table.Numeric}, {Name: "seen", Type: table.Timestamp},
			{Name: "open", Type: table.Boolean}, {Name: "-odd", Type: table.Integer},
		},
	}
	ensure(t, b.Store, d)
	rows := []table.Row{
		{"a", num("2"), at("2026-01-02T03:04:05Z"), true, num("3")},
		{"b", num("10"), at("2026-01-02T03:04:05.5Z"), false, num("2")},
		{"c", nil, at("2026-01-02T03:04:06Z"), nil, num("1")},
		{"d", num("-1.5"), nil, true, num("1")},
		{"e", num("123456789012345678901234567890"), at("2025-12-31T23:59:59.999Z"), false, num("4")},
		{"f", num("-123456789012345678901234567890"), nil, true, num("5")},
	}
	put(t, b.Store, d, rows...)
	for name, tt := range map[string]struct {
		q    table.Query
		want string
	}{
		"all, by key":          {table.Query{}, "abcdef"},
		"descending":           {table.Query{Order: []string{"-sku"}}, "fedcba"},
		"by number":            {table.Query{Order: []string{"qty"}}, "cfdabe"},
		"by number, backwards": {table.Query{Order: []string{"-qty"}}, "ebadfc"},
		"by time":              {table.Query{Order: []string{"seen"}}, "dfeabc"},
		"two terms":            {table.Query{Order: []string{"open", "-qty"}}, "cebadf"},
		"ties by key":          {table.Query{Order: []string{"-open"}}, "adfbec"},
		"a name with a minus":  {table.Query{Order: []string{"-odd"}}, "cdbaef"},
		"and backwards":        {table.Query{Order: []string{"--odd"}}, "feabcd"},
		"limit":                {table.Query{Limit: 2}, "ab"},
		"skip":                 {table.Query{Skip: 4}, "ef"},
		"skip and limit":       {table.Query{Skip: 1, Limit: 2, Order: []string{"-sku"}}, "ed"},
		"skip past the end":    {table.Query{Skip: 9, Limit: 2}, ""},
		"equal text":           {table.Query{Equal: map[string]string{"sku": "b"}}, "b"},
		"equal number":         {table.Query{Equal: map[string]string{"qty": "10.0"}}, "b"},
		"equal big number":     {table.Query{Equal: map[string]string{"qty": "123456789012345678901234567890"}}, "e"},
		"equal time":           {table.Query{Equal: map[string]string{"seen": "2026-01-02T04:04:05+01:00"}}, "a"},
		"equal boolean":        {table.Query{Equal: map[string]string{"open": "true"}}, "adf"},
		"two equals":           {table.Query{Equal: map[string]string{"open": "true", "-odd": "1"}}, "d"},
		"equal nothing":        {table.Query{Equal: map[string]string{"sku": "z"}}, ""},
		"equal, skip, limit":   {table.Query{Equal: map[string]string{"open": "true"}, Skip: 1, Limit: 1}, "d"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.q.Table = "stock"
			var got []byte
			for _, r := range query(t, b.Store, tt.q) {
				got = append(got, r[0].(string)...)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// In a column of any type the text of a query means whatever it can be read as.
func testQueryAny(t *testing.T, b Backend) {
	d := &table.Def{Name: "bag", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Any}, {Name: "v", Type: table.Any}}}
	ensure(t, b.Store, d)
	vs := []table.Value{"1", num("1"), true, "true", at("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z", raw(`{"a":1}`), `{"a":1}`, num("1E+30"), "1000000000000000000000000000000"}
	for i, v := range vs {
		put(t, b.Store, d, table.Row{num(strconv.Itoa(i)), v})
	}
	for text, want := range map[string][]int{
		"1":                               {0, 1},
		"1.0":                             {1},
		"true":                            {2, 3},
		"2026-01-02T03:04:05Z":            {4, 5},
		"2026-01-02T03:04:05.000000000Z":  {4, 6},
		`{"a":1}`:                         {7, 8},
		"1000000000000000000000000000000": {9, 10},
		"false":                           nil,
	} {
		t.Run(text, func(t *testing.T) {
			var wanted []table.Row
			for _, i := range want {
				wanted = append(wanted, table.Row{num(strconv.Itoa(i)), vs[i]})
			}
			q := table.Query{Table: "bag", Equal: map[string]string{"v": text}}
			wantRows(t, query(t, b.Store, q), wanted...)
			q.Skip, q.Limit = 1, 1
			wantRows(t, query(t, b.Store, q), wanted[min(1, len(wanted)):min(2, len(wanted))]...)
		})
	}
}

func testQueryRefuses(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	for name, tt := range map[string]struct {
		q    table.Query
		kind string
		have []string
	}{
		"unknown table":          {table.Query{Table: "nope"}, "table", []string{"orders"}},
		"unknown column":         {table.Query{Table: "orders", Equal: map[string]string{"nope": "1"}}, "column", d.Names()},
		"unknown column's order": {table.Query{Table: "orders", Order: []string{"-nope"}}, "column", d.Names()},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := b.Store.Query(t.Context(), tt.q)
			var unknown *table.UnknownError
			if !errors.As(err, &unknown) || unknown.Kind != tt.kind || unknown.Name != "nope" || !slices.Equal(unknown.Have, tt.have) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, _, err := b.Store.Query(t.Context(), table.Query{Table: "orders", Equal: map[string]string{"total": "many"}}); err == nil {
		t.Error("a text was taken for a number")
	}
}
