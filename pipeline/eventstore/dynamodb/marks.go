package dynamodb

import (
	"context"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// Cursor implements eventstore.Store.
func (s *Store) Cursor(ctx context.Context, pipeline, name string) (string, error) {
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	i, err := s.get(ctx, key(cursorPK(pipeline), "k"+escape(name)))
	return unescape(text(i, "v")), s.reading(ctx, err)
}

// Cursors implements eventstore.Store.
func (s *Store) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	items, err := s.all(ctx, query{pk: cursorPK(pipeline)})
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	out := map[string]string{}
	for _, i := range items {
		out[unescape(text(i, sk)[1:])] = unescape(text(i, "v"))
	}
	return out, nil
}

// markKeyOf gives the inbox key of an item: one that is too long for a sort key has it beside.
func markKeyOf(i item) string {
	if k := text(i, "key"); k != "" {
		return unescape(k)
	}
	return unescape(text(i, sk)[1:])
}

// markPages calls fn with the marks of a pipeline that start with prefix.
func (s *Store) markPages(ctx context.Context, pipeline, prefix string, fn func(i item, key string) bool) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	p := "k" + escape(prefix)
	if len(p) > 900 { // longer keys are told apart by their checksum alone
		p = p[:900]
	}
	return s.pages(ctx, query{pk: markPK(pipeline), cond: "begins_with(sk, :p)", values: item{":p": str(strings.ToValidUTF8(p, ""))}}, func(page []item) (bool, error) {
		for _, i := range page {
			if k := markKeyOf(i); strings.HasPrefix(k, prefix) && !fn(i, k) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Marks implements eventstore.Store.
func (s *Store) Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[eventstore.Mark, error] {
	return func(yield func(eventstore.Mark, error) bool) {
		err := s.markPages(ctx, pipeline, prefix, func(i item, k string) bool {
			return yield(eventstore.Mark{Key: k, Hash: uint64(number(i, "h"))}, nil)
		})
		if err != nil {
			yield(eventstore.Mark{}, s.reading(ctx, err))
		}
	}
}

// PruneMarks implements eventstore.Store.
func (s *Store) PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (int64, error) {
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	var gone []types.WriteRequest
	err := s.markPages(ctx, pipeline, prefix, func(i item, _ string) bool {
		if before.IsZero() || number(i, "c") < before.UnixMicro() {
			gone = append(gone, deletion(i))
		}
		return true
	})
	if err == nil {
		err = s.puts(ctx, gone)
	}
	if err != nil {
		return 0, s.reading(ctx, err)
	}
	return int64(len(gone)), nil
}

// outboxPK is the partition of the outbox, in which applications put rows in transactions of theirs.
const outboxPK = "O"

// ReadOutbox implements eventstore.Outbox.
//
// A query is no snapshot: between what it reads first and what it reads last, a transaction may put a row where the query
// has passed, and the one behind it a row where it has not. So rows are read twice, and given up to the first that the
// first reading did not have: what was committed before any of these, the second reading has seen. Where it finds none of
// them, as another has taken them in, it begins again: no rows means that the outbox is empty.
func (s *Store) ReadOutbox(ctx context.Context, but []int64, most, bytes int) ([]eventstore.OutboxRow, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	skip := map[int64]bool{}
	for _, id := range but {
		skip[id] = true
	}
	for {
		rows, gone, err := s.outboxTwice(ctx, skip, most, bytes)
		if err != nil {
			return nil, s.reading(ctx, err)
		}
		if !gone {
			return rows, nil
		}
	}
}

// outboxTwice reads rows twice and gives those at the front that both readings had. gone says that there were rows, and
// that none of them was left in front the second time.
func (s *Store) outboxTwice(ctx context.Context, skip map[int64]bool, most, bytes int) (rows []eventstore.OutboxRow, gone bool, err error) {
	first, err := s.outboxRows(ctx, skip, math.MaxInt64, most, bytes)
	if err != nil || len(first) == 0 {
		return nil, false, err
	}
	had := map[int64]bool{}
	for i := range first {
		had[first[i].ID] = true
	}
	rows, err = s.outboxRows(ctx, skip, first[len(first)-1].ID, most, bytes)
	if err != nil {
		return nil, false, err
	}
	n := 0
	for n < len(rows) && had[rows[n].ID] {
		n++
	}
	return rows[:n], n == 0, nil
}

// outboxRows reads rows up to an id.
func (s *Store) outboxRows(ctx context.Context, skip map[int64]bool, last int64, most, bytes int) (out []eventstore.OutboxRow, err error) {
	size := 0
	q := query{pk: outboxPK, cond: "sk <= :last", values: item{":last": str(pad(last))}}
	err = s.pages(ctx, q, func(page []item) (bool, error) {
		for _, i := range page {
			id, ok := unpad(text(i, sk))
			if !ok || skip[id] {
				continue
			}
			r := eventstore.OutboxRow{ID: id, Body: blob(i, "body")}
			r.Written, _ = time.Parse(time.RFC3339Nano, text(i, "written")) // it is for people
			if size += len(r.Body); len(out) == most || (len(out) > 0 && size > bytes) {
				return false, nil
			}
			out = append(out, r)
		}
		return true, nil
	})
	return out, err
}

// DropOutbox implements eventstore.Outbox.
func (s *Store) DropOutbox(ctx context.Context, ids []int64) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	var ws []types.WriteRequest
	for _, id := range ids {
		ws = append(ws, deletion(key(outboxPK, pad(id))))
	}
	return s.reading(ctx, s.puts(ctx, ws))
}

// WaitOutbox implements eventstore.Outbox: nobody tells of new rows, so it is a pause.
func (s *Store) WaitOutbox(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	t := time.NewTimer(s.cfg.Poll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
