package postgres

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/table"
)

// Query implements table.Store. The rows are read as they are ranged over, and hold a connection until then.
func (s *Store) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	none := func(err error) (table.Def, iter.Seq2[table.Row, error], error) {
		return table.Def{}, nil, s.explain(ctx, &table.Def{Name: q.Table}, err)
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
		sel.among(sh, i, meant)
	}
	if sel.order, err = order(&d, q.Order); err != nil {
		return none(err)
	}
	return d, func(yield func(table.Row, error) bool) {
		err := reader{s.readers}.selectRows(ctx, sh, &sel, func(row table.Row) bool { return yield(row, nil) })
		if err != nil {
			yield(nil, s.explain(ctx, &d, err))
		}
	}, nil
}

// order gives the terms of ORDER BY; rows that are equal by them stand in the key's order. Nothing comes before
// everything else.
func order(d *table.Def, by []string) (string, error) {
	var all []string
	for _, name := range by {
		i, direction := d.Index(name), " NULLS FIRST"
		if rest, ok := strings.CutPrefix(name, "-"); ok && i < 0 {
			i, direction = d.Index(rest), " DESC NULLS LAST"
		}
		if i < 0 {
			return "", &table.UnknownError{Kind: "column", Name: strings.TrimPrefix(name, "-"), Have: d.Names()}
		}
		all = append(all, terms(d, i, direction))
	}
	return strings.Join(append(all, byKey(d)), ", "), nil
}
