package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/poison"
)

const (
	parkedDocs = "parked"
	uniqueDocs = "parked-key"
	countDocs  = "count"
)

// parked is an entry as a document. A payload that is too large for one lies in pieces of its own, written before.
type parked struct {
	poison.Entry
	Raw    []byte         `json:"raw,omitempty"`
	Shape  event.Envelope `json:"envelope,omitempty"`
	Meta   []byte         `json:"meta,omitempty"`
	Pieces []string       `json:"pieces,omitempty"`
}

const (
	inlinePayload = 200 << 10
	pieceBytes    = 350 << 10
	piecesPK      = "P"
)

func entryKey(id int64) docKey { return docKey{parkedDocs, pad(id)} }

func uniqueKey(e *poison.Entry) docKey {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s%s%s", len(e.Pipeline), len(e.Step), e.Pipeline, e.Step, e.Key))
	return docKey{uniqueDocs, hex.EncodeToString(sum[:])}
}

// park takes entries into a change.
func (s *Store) park(ctx context.Context, c *change, entries []poison.Entry) error {
	for _, e := range entries {
		var id int64
		var old *poison.Entry
		at := uniqueKey(&e)
		if known, err := load(ctx, c, at, &id); err != nil {
			return err
		} else if known {
			var p parked
			there, err := load(ctx, c, entryKey(id), &p)
			if err != nil {
				return err
			}
			c.check(at) // else the entry could be dropped between the two reads, and come back without its key
			if there {
				old = &p.Entry
			}
		} else {
			var count int64
			if _, err := load(ctx, c, docKey{countDocs, parkedDocs}, &count); err != nil {
				return err
			}
			id = count + 1
			c.store(docKey{countDocs, parkedDocs}, id)
			c.store(at, id)
		}
		e = plan.Parked(e, old, s.now())
		e.ID = id
		if err := s.storeEntry(ctx, c, &e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) storeEntry(ctx context.Context, c *change, e *poison.Entry) error {
	p := parked{Entry: *e, Raw: e.Payload, Shape: e.Envelope, Meta: e.Metadata}
	if len(p.Raw) > inlinePayload {
		name := nonce(8)
		var ws []types.WriteRequest
		for n := 0; n < len(p.Raw); n += pieceBytes {
			i := key(piecesPK, fmt.Sprintf("%s#%06d", name, n/pieceBytes))
			i["b"] = bin(p.Raw[n:min(n+pieceBytes, len(p.Raw))])
			ws = append(ws, types.WriteRequest{PutRequest: &types.PutRequest{Item: i}})
			p.Pieces = append(p.Pieces, text(i, sk))
		}
		p.Raw = nil
		if err := s.puts(ctx, ws); err != nil {
			return err
		}
	}
	c.store(entryKey(e.ID), p)
	return nil
}

// unpark drops entries in a change; gone: one was not there.
func (s *Store) unpark(ctx context.Context, c *change, ids []int64) (gone bool, err error) {
	for _, id := range ids {
		var p parked
		known, err := load(ctx, c, entryKey(id), &p)
		if err != nil {
			return false, err
		}
		if !known {
			gone = true
			continue
		}
		if err := s.dropEntry(ctx, c, &p); err != nil {
			return false, err
		}
	}
	return gone, nil
}

func (s *Store) dropEntry(ctx context.Context, c *change, p *parked) error {
	at := uniqueKey(&p.Entry)
	var id int64
	if _, err := load(ctx, c, at, &id); err != nil {
		return err
	}
	c.drop(entryKey(p.ID))
	c.drop(at)
	for _, piece := range p.Pieces {
		c.extra = append(c.extra, types.TransactWriteItem{Delete: &types.Delete{TableName: &s.cfg.Table, Key: key(piecesPK, piece)}})
	}
	return nil
}

// entry gives the entry of a document, whole. Its pieces go when it is edited or dropped, also between the reads: then it
// is read again; false: it is gone.
func (s *Store) entry(ctx context.Context, p *parked) (poison.Entry, bool, error) {
	for wait := s.settling(); ; {
		e, whole, err := s.joined(ctx, p)
		if err != nil || whole {
			return e, whole, err
		}
		var now parked
		there, err := load(ctx, s.newChange(), entryKey(p.ID), &now)
		if err != nil || !there {
			return e, false, err
		}
		if p = &now; !wait.again(ctx) {
			return e, false, fmt.Errorf("%w: a piece of parked event %d is missing", eventstore.ErrCorrupt, p.ID)
		}
	}
}

// joined puts an entry together; false: a piece is not there.
func (s *Store) joined(ctx context.Context, p *parked) (poison.Entry, bool, error) {
	e := p.Entry
	e.Payload, e.Envelope, e.Metadata = p.Raw, p.Shape, p.Meta
	e.First, e.Last = e.First.UTC(), e.Last.UTC()
	for _, piece := range p.Pieces {
		i, err := s.get(ctx, key(piecesPK, piece))
		if err != nil || i == nil {
			return e, false, err
		}
		e.Payload = append(e.Payload, blob(i, "b")...)
	}
	return e, true, nil
}

// Park implements poison.Store.
func (s *Store) Park(ctx context.Context, entries ...poison.Entry) error {
	for part := range slices.Chunk(entries, 20) { // what one transaction takes
		if err := s.update(ctx, func(c *change) error { return s.park(ctx, c, part) }); err != nil {
			return err
		}
	}
	return nil
}

func selects(f *poison.Filter, e *poison.Entry) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) &&
		is(f.Pipeline, e.Pipeline) && is(f.Step, e.Step) && is(f.Relay, e.Relay) && is(f.Code, e.Code) &&
		is(f.Stream.Type, e.Stream.Type) && is(f.Stream.ID, e.Stream.ID) &&
		(len(f.States) == 0 || slices.Contains(f.States, e.State)) &&
		(f.Since.IsZero() || !e.Last.Before(f.Since))
}

// selected gives the documents of selected entries in the order of their ids.
func (s *Store) selected(ctx context.Context, c *change, f poison.Filter) ([]parked, error) {
	var out []parked
	take := func(p parked) {
		if selects(&f, &p.Entry) && (f.Max <= 0 || len(out) < f.Max) {
			out = append(out, p)
		}
	}
	if len(f.IDs) > 0 && len(f.IDs) <= 20 {
		for _, id := range slices.Sorted(slices.Values(f.IDs)) {
			var p parked
			if known, err := load(ctx, c, entryKey(id), &p); err != nil {
				return nil, err
			} else if known {
				take(p)
			}
		}
		return out, nil
	}
	all, err := list[parked](ctx, c, parkedDocs)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		take(all[id])
	}
	return out, nil
}

// ListParked implements poison.Store.
func (s *Store) ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error] {
	return func(yield func(poison.Entry, error) bool) {
		var docs []parked
		err := s.view(ctx, func(c *change) (err error) {
			docs, err = s.selected(ctx, c, f)
			return err
		})
		for i := 0; err == nil && i < len(docs); i++ {
			var e poison.Entry
			var there bool
			if e, there, err = s.entry(ctx, &docs[i]); there && !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(poison.Entry{}, s.reading(ctx, err))
		}
	}
}

// CountParked implements poison.Store.
func (s *Store) CountParked(ctx context.Context, f poison.Filter) (n int64, oldest time.Time, err error) {
	f.Max = 0
	err = s.view(ctx, func(c *change) error {
		docs, err := s.selected(ctx, c, f)
		n = int64(len(docs))
		for i := range docs {
			if first := docs[i].First.UTC(); oldest.IsZero() || first.Before(oldest) {
				oldest = first
			}
		}
		return err
	})
	return n, oldest, err
}

// EditParked implements poison.Store.
func (s *Store) EditParked(ctx context.Context, id int64, payload []byte) error {
	return s.update(ctx, func(c *change) error {
		var p parked
		known, err := load(ctx, c, entryKey(id), &p)
		if err == nil && !known {
			err = poison.ErrNotFound
		}
		if err != nil {
			return err
		}
		for _, piece := range p.Pieces {
			c.extra = append(c.extra, types.TransactWriteItem{Delete: &types.Delete{TableName: &s.cfg.Table, Key: key(piecesPK, piece)}})
		}
		e := p.Entry
		e.Payload, e.Envelope, e.Metadata, e.Edited = payload, p.Shape, p.Meta, true
		return s.storeEntry(ctx, c, &e)
	})
}

// each changes the selected entries one by one, as each is whole by itself, and counts them.
func (s *Store) each(ctx context.Context, f poison.Filter, fn func(c *change, p *parked) error) (n int64, err error) {
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	var docs []parked
	if err := s.view(ctx, func(c *change) (err error) { docs, err = s.selected(ctx, c, f); return err }); err != nil {
		return 0, err
	}
	for i := range docs {
		did := false
		err := s.update(ctx, func(c *change) error {
			var p parked
			known, err := load(ctx, c, entryKey(docs[i].ID), &p)
			did = known
			if err != nil || !known {
				return err
			}
			return fn(c, &p)
		})
		if err != nil {
			return n, err
		}
		if did {
			n++
		}
	}
	return n, nil
}

// SetParked implements poison.Store.
func (s *Store) SetParked(ctx context.Context, f poison.Filter, to poison.State) (int64, error) {
	return s.each(ctx, f, func(c *change, p *parked) error {
		p.State = to
		c.store(entryKey(p.ID), p)
		return nil
	})
}

// DropParked implements poison.Store.
func (s *Store) DropParked(ctx context.Context, f poison.Filter) (int64, error) {
	return s.each(ctx, f, func(c *change, p *parked) error { return s.dropEntry(ctx, c, p) })
}
