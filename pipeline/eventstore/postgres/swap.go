package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// How a moment for a swap is waited for. Whoever reads the table as the swap begins is waited for no longer than swapLock:
// all who append, and all who begin to read the table, wait with it.
const (
	swapLock  = time.Second
	swapTries = 10
)

// SwapAtEnd implements eventstore.Swapper. The lock on the log and the swap are of one transaction: where the session is
// lost, and with it the lock, nothing is swapped. What last writes is in transactions of its own, under the table's checkpoint.
func (s *Store) SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	var fault error
	for try := range swapTries {
		if try > 0 {
			select {
			case <-time.After(min(100*time.Millisecond<<try, 2*time.Second)):
			case <-ctx.Done():
				return ctx.Err()
			case <-s.queue.Closing():
				return eventstore.ErrClosed
			}
		}
		var told error
		fault = s.swapOnce(ctx, d, func(ctx context.Context, head int64) error {
			told = last(ctx, head)
			return told
		})
		switch {
		case fault == nil:
			return nil
		case told != nil:
			return told
		case ctx.Err() != nil:
			return ctx.Err()
		}
		// The answer to the commit may be what was lost.
		if live, err := s.isLive(ctx, d); err == nil && live {
			return nil
		}
		var e *pgconn.PgError
		if errors.Is(fault, table.ErrFenced) || errors.As(fault, &e) && e.Code != "55P03" && e.Code != "40P01" && !errors.Is(classify(fault), eventstore.ErrUnavailable) {
			return fault
		}
	}
	return fmt.Errorf("%w: no moment was found to swap the table %s, which others read or change: %w", eventstore.ErrUnavailable, d.Name, fault)
}

func (s *Store) swapOnce(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	c, err := s.connect(ctx)
	if err != nil {
		return classify(err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(end)
	}()
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		var id string
		if err := tx.QueryRow(ctx, lockLog).Scan(&id); err != nil {
			return err
		}
		h, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		if err := last(ctx, h.Position); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", swapLock.Milliseconds())); err != nil {
			return err
		}
		return s.tables.SwapIn(ctx, tx, d)
	})
}

// isLive reports whether a table is the one that people read.
func (s *Store) isLive(ctx context.Context, d *table.Def) (bool, error) {
	all, err := s.tables.Tables(ctx)
	return slices.ContainsFunc(all, func(i table.Info) bool {
		return i.Live && i.Def.Name == d.Name && i.Def.Serial() == d.Serial()
	}), err
}
