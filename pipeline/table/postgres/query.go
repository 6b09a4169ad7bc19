package postgres

import (
	"context"
	"iter"
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
	conditions, err := q.Conditions(&d)
	if err != nil {
		return none(err)
	}
	for _, c := range conditions {
		sel.among(sh, c.Column, c.Among)
	}
	terms, err := q.Terms(&d)
	if err != nil {
		return none(err)
	}
	sel.order = order(&d, terms)
	return d, func(yield func(table.Row, error) bool) {
		err := reader{s.readers}.selectRows(ctx, sh, &sel, func(row table.Row) bool { return yield(row, nil) })
		if err != nil {
			yield(nil, s.explain(ctx, &d, err))
		}
	}, nil
}

// order gives the terms of ORDER BY; rows that are equal by them stand in the key's order. Nothing comes before
// everything else.
func order(d *table.Def, by []table.Term) string {
	var all []string
	for _, t := range by {
		direction := " NULLS FIRST"
		if t.Descending {
			direction = " DESC NULLS LAST"
		}
		all = append(all, terms(d, t.Column, direction))
	}
	return strings.Join(append(all, byKey(d)), ", ")
}
