package sqlite

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/table"
)

// Query implements table.Store. The rows are read as they are ranged over.
func (s *Store) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	none := func(err error) (table.Def, iter.Seq2[table.Row, error], error) {
		return table.Def{}, nil, wrap(&table.Def{Name: q.Table}, err)
	}
	infos, err := list(ctx, s.readers, q.Table)
	if err != nil {
		return none(err)
	}
	if len(infos) == 0 || q.Table == "" {
		return none(unknownTable(ctx, s.readers, q.Table))
	}
	d := infos[0].Def
	sh, err := newShape(&d)
	if err != nil {
		return none(err)
	}
	sel := selection{skip: max(q.Skip, 0), limit: -1}
	if q.Limit > 0 {
		sel.limit = q.Limit
	}
	for _, name := range slices.Sorted(maps.Keys(q.Equal)) {
		i := d.Index(name)
		if i < 0 {
			return none(&table.UnknownError{Kind: "column", Name: name, Have: d.Names()})
		}
		meant, err := table.ParseText(d.Columns[i].Type, q.Equal[name])
		if err != nil {
			return none(err)
		}
		sel.among(&d, i, meant)
	}
	if sel.order, err = order(&d, q.Order); err != nil {
		return none(err)
	}
	r := reader{s.readers}
	return d, func(yield func(table.Row, error) bool) {
		if err := r.selectRows(ctx, sh, &sel, func(row table.Row) bool { return yield(row, nil) }); err != nil {
			yield(nil, wrap(&d, err))
		}
	}, nil
}

// order gives the terms of ORDER BY; rows that are equal by them stand in the key's order.
func order(d *table.Def, by []string) (string, error) {
	var terms []string
	for _, name := range by {
		i, direction := d.Index(name), ""
		if rest, ok := strings.CutPrefix(name, "-"); ok && i < 0 {
			i, direction = d.Index(rest), " DESC"
		}
		if i < 0 {
			return "", &table.UnknownError{Kind: "column", Name: strings.TrimPrefix(name, "-"), Have: d.Names()}
		}
		c := d.Columns[i]
		if c.Type == table.Numeric || c.Type == table.Integer { // some of them are TEXT
			terms = append(terms, "CAST("+quote(c.Name)+" AS REAL)"+direction)
		}
		terms = append(terms, quote(c.Name)+direction)
	}
	return strings.Join(append(terms, quoteAll(d.Key)), ","), nil
}
