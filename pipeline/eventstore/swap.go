package eventstore

import (
	"context"

	"github.com/leatdev/leat/pipeline/table"
)

// Swapper is implemented by stores that can keep their log still for a moment: all of leat's that have tables.
type Swapper interface {
	// SwapAtEnd puts a table that was built beside the live one (table.Store's Rebuild, or Ensure under a higher version) in
	// its place, at a moment when it has all of the log. Last brings it up to head, the log's end: from its call to the swap
	// no process appends anything. A unit whose Within writes to the table that was replaced is refused with
	// table.ErrFenced from then on, so no append is in neither.
	//
	// Last may read the store and write the table. It must not commit, and takes a few seconds at most, for which all who
	// append wait; it is called again where the moment was lost meanwhile. Its error is given back as it is.
	// ErrUnavailable: the moment could not be had, and nothing was swapped.
	SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error
}
