package dynamodb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// The state beside the log is kept in documents: relays, leases, replicas, parked events. A change reads those that it
// needs, works out what becomes of them, and writes them in one transaction, each under the condition that it still has
// the version that was read. Where one has not, the change is worked out again.

// docKey names a document.
type docKey struct{ kind, id string }

func (k docKey) item() item { return key("D#"+k.kind, "k"+escape(k.id)) }

// doc is a document as it was read, and what becomes of it.
type doc struct {
	version int64 // as stored; 0: there is none
	body    []byte
	changed bool // body is to be written, or deleted where it is nil
	checked bool
}

// change is a set of documents under change. It is used by one goroutine.
type change struct {
	s    *Store
	docs map[docKey]*doc
	// extra are writes that go along, without a version.
	extra []types.TransactWriteItem
	// rows of tables that are written, by partition and sort key; without columns: deleted.
	rows map[string]item
	// stood are the marks of rows that were read, by the same: who writes one finds it as it was.
	stood map[string]string
}

func (s *Store) newChange() *change {
	return &change{s: s, docs: map[docKey]*doc{}, rows: map[string]item{}, stood: map[string]string{}}
}

// snapshot lets restore take back what is changed from now on. What was read stays known.
func (c *change) snapshot() (restore func()) {
	old := map[docKey]doc{}
	for k, d := range c.docs {
		old[k] = *d
	}
	extra, rows := len(c.extra), maps.Clone(c.rows)
	return func() {
		for k, d := range c.docs {
			if was, ok := old[k]; ok {
				*d = was
			} else {
				d.changed = false
				delete(c.docs, k)
			}
		}
		c.extra, c.rows = c.extra[:extra], rows
	}
}

// load reads a document into v; false: there is none.
func load[T any](ctx context.Context, c *change, k docKey, v *T) (bool, error) {
	d, ok := c.docs[k]
	if !ok {
		i, err := c.s.get(ctx, k.item())
		if err != nil {
			return false, err
		}
		d = docOf(i)
		c.docs[k] = d
	}
	if d.body == nil {
		return false, nil
	}
	if err := json.Unmarshal(d.body, v); err != nil {
		return false, fmt.Errorf("%w: the document %s %s: %w", eventstore.ErrCorrupt, k.kind, k.id, err)
	}
	return true, nil
}

func docOf(i item) *doc {
	if i == nil {
		return &doc{}
	}
	return &doc{version: number(i, "v"), body: blob(i, "doc")}
}

// list reads all documents of a kind, those under change as they are going to be; by id.
func list[T any](ctx context.Context, c *change, kind string) (map[string]T, error) {
	items, err := c.s.all(ctx, query{pk: "D#" + kind})
	if err != nil {
		return nil, err
	}
	for _, i := range items {
		k := docKey{kind, unescape(text(i, sk)[1:])}
		if _, known := c.docs[k]; !known {
			c.docs[k] = docOf(i)
		}
	}
	out := map[string]T{}
	for k, d := range c.docs {
		if k.kind != kind || d.body == nil {
			continue
		}
		var v T
		if err := json.Unmarshal(d.body, &v); err != nil {
			return nil, fmt.Errorf("%w: the document %s %s: %w", eventstore.ErrCorrupt, k.kind, k.id, err)
		}
		out[k.id] = v
	}
	return out, nil
}

// store sets a document; it was loaded or listed before.
func (c *change) store(k docKey, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of plain fields
	}
	c.set(k, body)
}

func (c *change) drop(k docKey) { c.set(k, nil) }

func (c *change) set(k docKey, body []byte) {
	d := c.docs[k]
	if d == nil {
		d = &doc{}
		c.docs[k] = d
	}
	d.body, d.changed = body, true
}

// row writes a row of a table.
func (c *change) row(i item) { c.rows[text(i, pk)+"\x00"+text(i, sk)] = i }

// check makes the transaction fail where a document that was loaded is not any more as it was.
func (c *change) check(k docKey) { c.docs[k].checked = true }

// checks counts what check adds to the transaction.
func (c *change) checks() (n int) {
	for _, d := range c.docs {
		if d.checked && !d.changed && d.version > 0 {
			n++
		}
	}
	return n
}

// writes gives the transaction's part for the documents.
func (c *change) writes() []types.TransactWriteItem {
	out := append([]types.TransactWriteItem{}, c.extra...)
	for at, i := range c.rows {
		cond, values := c.asItStood(at)
		if columnsOf(i) == nil {
			out = append(out, types.TransactWriteItem{Delete: &types.Delete{TableName: &c.s.cfg.Table, Key: i, ConditionExpression: cond, ExpressionAttributeValues: values}})
		} else {
			out = append(out, types.TransactWriteItem{Put: &types.Put{TableName: &c.s.cfg.Table, Item: i, ConditionExpression: cond, ExpressionAttributeValues: values}})
		}
	}
	for k, d := range c.docs {
		switch {
		case d.checked && !d.changed && d.version > 0:
			out = append(out, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
				TableName: &c.s.cfg.Table, Key: k.item(), ConditionExpression: ptr("v = :v"), ExpressionAttributeValues: item{":v": num(d.version)},
			}})
		case !d.changed || (d.body == nil && d.version == 0):
		case d.body == nil:
			out = append(out, types.TransactWriteItem{Delete: &types.Delete{
				TableName: &c.s.cfg.Table, Key: k.item(), ConditionExpression: ptr("v = :v"), ExpressionAttributeValues: item{":v": num(d.version)},
			}})
		default:
			i := k.item()
			i["v"], i["doc"] = num(d.version+1), bin(d.body)
			put := &types.Put{TableName: &c.s.cfg.Table, Item: i, ConditionExpression: ptr("attribute_not_exists(pk)")}
			if d.version > 0 {
				put.ConditionExpression, put.ExpressionAttributeValues = ptr("v = :v"), item{":v": num(d.version)}
			}
			out = append(out, types.TransactWriteItem{Put: put})
		}
	}
	return out
}

// asItStood is the condition that a row is as it was read. A row is read when the log has told of the commit that wrote it,
// and may become visible a moment later: what was worked out from its old columns must not be written over the new ones.
func (c *change) asItStood(at string) (*string, item) {
	mark, read := c.stood[at]
	switch {
	case !read:
		return nil, nil
	case mark == "":
		return ptr("attribute_not_exists(w)"), nil
	}
	return ptr("w = :w"), item{":w": str(mark)}
}

func ptr(s string) *string { return &s }

// transact writes items together. A transaction that is repeated under its token is done once (for ten minutes, the
// service says), so that one whose answer was lost is just sent again.
func (s *Store) transact(ctx context.Context, writes []types.TransactWriteItem) error {
	token := nonce(16)
	return s.again(ctx, "TransactWriteItems", func(ctx context.Context) error {
		out, err := s.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes, ClientRequestToken: &token, ReturnConsumedCapacity: s.counting()})
		if err == nil {
			for i := range out.ConsumedCapacity {
				s.used("TransactWriteItems", &out.ConsumedCapacity[i])
			}
		}
		return err
	})
}

func nonce(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// update changes documents: fn reads and changes them, and is called again where somebody else was faster.
func (s *Store) update(ctx context.Context, fn func(c *change) error) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	s.control.Lock()
	defer s.control.Unlock()
	for wait := raceWait; ; wait = min(2*wait, maxWait) {
		c := s.newChange()
		if err := fn(c); err != nil {
			return s.reading(ctx, err)
		}
		err := s.apply(ctx, c)
		if err == nil || !isCancelled(err) {
			return s.reading(ctx, err)
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
}

// most is how many items one transaction takes.
const most = 100

// apply writes a change. One that is larger than a transaction is written in parts: only those whose parts make sense
// alone (dropping parked events, one by one) are ever that large.
func (s *Store) apply(ctx context.Context, c *change) error {
	writes := c.writes()
	for len(writes) > 0 {
		n := min(len(writes), most)
		if err := s.transact(ctx, writes[:n]); err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}

// view reads documents.
func (s *Store) view(ctx context.Context, fn func(c *change) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.reading(ctx, fn(s.newChange()))
}
