package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// swapTries is how often in a row SwapAtEnd tries to be faster than the other daemons that append; then this process's
// own commits have a turn, of swapRest.
const (
	swapTries = 30
	swapRest  = 100 * time.Millisecond
)

// errOvertaken says that others appended each time.
var errOvertaken = errors.New("dynamodb: other daemons append without a pause")

// SwapAtEnd implements eventstore.Swapper. This process's commits wait; those of others are not held back, but the swap
// has the condition that the log's next position is free, and is tried again where it is not, for as long as calls are
// (Config.Patience). An append with rows of an inline table has the condition that the table is the one that it was.
func (s *Store) SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	for began := time.Now(); ; {
		err := s.swapNow(ctx, d, last)
		switch {
		case !errors.Is(err, errOvertaken):
			return err
		case time.Since(began) > s.cfg.Patience:
			return fmt.Errorf("%w: no moment was found to swap the table %s: %w", eventstore.ErrUnavailable, d.Name, err)
		case !pause(ctx, swapRest):
			return ctx.Err()
		}
	}
}

// swapNow tries to swap while this process's commits wait.
func (s *Store) swapNow(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	s.still.Lock()
	defer s.still.Unlock()
	t := &Tables{s}
	for range swapTries {
		h, err := s.Head(ctx)
		if err != nil {
			return err
		}
		if err := last(ctx, h.Position); err != nil {
			return err
		}
		if err := t.finish(ctx, d.Name); err != nil {
			return err
		}
		old, err := t.swapBehind(ctx, d, h.Position)
		switch {
		case err == nil && old > 0:
			t.dropRows(d.Name, old)
			return nil
		case err == nil:
			return nil
		case !isCancelled(err):
			return s.reading(ctx, err)
		}
		if !pause(ctx, raceWait) {
			return ctx.Err()
		}
	}
	return errOvertaken
}

// swapBehind swaps if the log ends at a position, and gives the number of the table whose rows nobody needs any more.
func (t *Tables) swapBehind(ctx context.Context, d *table.Def, end int64) (old int, err error) {
	t.s.control.Lock()
	defer t.s.control.Unlock()
	c := t.s.newChange()
	m, _, err := t.find(ctx, c, d)
	if err != nil {
		return 0, err
	}
	i, err := table.AdmitSwap(m.infos(), d)
	if err != nil || i == 0 {
		return 0, err
	}
	old = m.Live.Def.Serial()
	m.Live, m.Building = *m.Building, nil
	c.store(modelKey(d.Name), m)
	c.extra = append(c.extra, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: &t.s.cfg.Table, Key: key(logPK(bucket(end+1)), pad(end+1)), ConditionExpression: ptr("attribute_not_exists(pk)"),
	}})
	return old, t.s.apply(ctx, c)
}
