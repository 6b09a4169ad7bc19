package memory

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/table"
)

// Query implements table.Store.
func (s *Store) Query(_ context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	p := s.tables[strings.ToLower(q.Table)]
	if p == nil {
		return table.Def{}, nil, &table.UnknownError{Kind: "table", Name: q.Table, Have: s.names()}
	}
	d := p.live.def.Clone()
	rows, err := s.Begin().scan(&d, nil)
	if err != nil {
		return table.Def{}, nil, err
	}
	for name, text := range q.Equal {
		i := d.Index(name)
		if i < 0 {
			return table.Def{}, nil, &table.UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		meant, err := table.ParseText(d.Columns[i].Type, text)
		if err != nil {
			return table.Def{}, nil, err
		}
		rows = slices.DeleteFunc(rows, func(r table.Row) bool {
			return !slices.ContainsFunc(meant, func(v table.Value) bool { return table.Equal(v, r[i]) })
		})
	}
	if err := order(&d, rows, q.Order); err != nil {
		return table.Def{}, nil, err
	}
	rows = rows[min(max(q.Skip, 0), len(rows)):]
	if q.Limit > 0 {
		rows = rows[:min(q.Limit, len(rows))]
	}
	return d, func(yield func(table.Row, error) bool) { yieldRows(rows, nil, yield) }, nil
}

// order sorts rows that stand in the key's order.
func order(d *table.Def, rows []table.Row, by []string) error {
	type term struct {
		column int
		sign   int
	}
	var terms []term
	for _, name := range by {
		t := term{column: d.Index(name), sign: 1}
		if rest, ok := strings.CutPrefix(name, "-"); ok && t.column < 0 {
			t = term{column: d.Index(rest), sign: -1}
		}
		if t.column < 0 {
			return &table.UnknownError{Kind: "column", Name: strings.TrimPrefix(name, "-"), Have: d.Names()}
		}
		terms = append(terms, t)
	}
	slices.SortStableFunc(rows, func(a, b table.Row) int {
		for _, t := range terms {
			if c := table.Compare(a[t.column], b[t.column]); c != 0 {
				return c * t.sign
			}
		}
		return 0
	})
	return nil
}
