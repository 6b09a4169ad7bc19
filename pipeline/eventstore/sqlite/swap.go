package sqlite

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// SwapAtEnd implements eventstore.Swapper. The store is one process's own, so that it is enough to hold back its calls.
func (s *Store) SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	s.still.Lock()
	defer s.still.Unlock()
	h, err := s.Head(ctx)
	if err != nil {
		return err
	}
	if err := last(ctx, h.Position); err != nil {
		return err
	}
	return s.tables.Swap(ctx, d)
}
