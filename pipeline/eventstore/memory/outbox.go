package memory

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Outbox = (*Store)(nil)

// patience bounds a wait for rows.
const patience = 5 * time.Second

// PutOutbox adds an event in its envelope to the outbox, as an application's transaction would, and gives the row's id.
func (s *Store) PutOutbox(body []byte) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRow++
	s.outbox = append(s.outbox, eventstore.OutboxRow{ID: s.lastRow, Written: s.now(), Body: slices.Clone(body)})
	if !s.closed {
		close(s.rowCame)
		s.rowCame = make(chan struct{})
	}
	return s.lastRow
}

// row finds a row; the lock is held.
func (s *Store) row(id int64) (int, bool) {
	i := sort.Search(len(s.outbox), func(i int) bool { return s.outbox[i].ID >= id })
	return i, i < len(s.outbox) && s.outbox[i].ID == id
}

func (s *Store) dropRows(ids map[int64]struct{}) {
	if len(ids) > 0 {
		s.outbox = slices.DeleteFunc(s.outbox, func(r eventstore.OutboxRow) bool { _, gone := ids[r.ID]; return gone })
	}
}

// ReadOutbox implements eventstore.Outbox.
func (s *Store) ReadOutbox(ctx context.Context, but []int64, most, bytes int) (out []eventstore.OutboxRow, err error) {
	err = s.write(ctx, func() error {
		size := 0
		s.readTo = s.lastRow
		for _, r := range s.outbox {
			if slices.Contains(but, r.ID) {
				continue
			}
			if size += len(r.Body); len(out) == most || (len(out) > 0 && size > bytes) {
				break
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// DropOutbox implements eventstore.Outbox.
func (s *Store) DropOutbox(ctx context.Context, ids []int64) error {
	return s.write(ctx, func() error {
		gone := map[int64]struct{}{}
		for _, id := range ids {
			gone[id] = struct{}{}
		}
		s.dropRows(gone)
		return nil
	})
}

// WaitOutbox implements eventstore.Outbox.
func (s *Store) WaitOutbox(ctx context.Context) error {
	var came chan struct{}
	var already bool
	if err := s.read(ctx, func() { came, already = s.rowCame, s.lastRow > s.readTo }); err != nil || already {
		return err
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case <-came:
	case <-end.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.read(ctx, func() {})
}
