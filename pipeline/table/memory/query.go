package memory

import (
	"context"
	"iter"
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
	if rows, err = q.Choose(&d, rows); err != nil {
		return table.Def{}, nil, err
	}
	return d, func(yield func(table.Row, error) bool) { yieldRows(rows, nil, yield) }, nil
}
