package memory

import (
	"context"

	"github.com/leatdev/leat/pipeline/table"
)

// SwapAtEnd implements eventstore.Swapper.
func (s *Store) SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
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
