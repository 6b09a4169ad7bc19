package postgres

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Outbox = (*Store)(nil)

// ReadOutbox implements eventstore.Outbox.
func (s *Store) ReadOutbox(ctx context.Context, but []int64, most, bytes int) (rows []eventstore.OutboxRow, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	rows, err = s.outbox.ReadOutbox(ctx, but, most, bytes)
	return rows, classify(err)
}

// DropOutbox implements eventstore.Outbox.
func (s *Store) DropOutbox(ctx context.Context, ids []int64) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	return classify(s.outbox.DropOutbox(ctx, ids))
}

// WaitOutbox implements eventstore.Outbox.
func (s *Store) WaitOutbox(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.outbox.WaitOutbox(ctx)
	if s.queue.Closed() {
		return eventstore.ErrClosed
	}
	return classify(err)
}
