package sqlite

import (
	"context"
	"fmt"
)

// Limit bounds the file's size in pages.
func (f *File) Limit(ctx context.Context, pages int) error {
	_, err := f.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count=%d", pages))
	return err
}
