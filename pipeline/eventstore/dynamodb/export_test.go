package dynamodb

import (
	"context"

	"github.com/leatdev/leat/pipeline/table"
)

// Die makes a write's transaction, and dies before the rows are in their places. It reports whether there is a journal.
func Die(ctx context.Context, s *Store, w *table.Write) (bool, error) {
	journal, err := (&Tables{s}).commit(ctx, w)
	return journal != "", err
}

// TableName gives the name of a store's own table.
func (s *Store) TableName() string { return s.cfg.Table }

// Pad gives a number as the sort keys have it.
var Pad = pad

// Find looks once for what the Lambda has written, as the store does at each poll of its shared table.
func (s *Store) Find(ctx context.Context) error { return s.shared.find(ctx) }
