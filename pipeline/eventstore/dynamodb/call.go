package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// The waits between tries, with jitter.
const (
	firstWait = 25 * time.Millisecond
	maxWait   = 2 * time.Second
	// raceWait is the first wait of who was too late with a document.
	raceWait = 4 * time.Millisecond
)

// again calls fn until it succeeds, fails for good, or patience is over. It is for calls whose repeat does no harm.
func (s *Store) again(ctx context.Context, what string, fn func(context.Context) error) error {
	start := time.Now()
	// Behind a call without an answer the same one is repeated, which tells what became of it; the caller would ask for
	// something else and take its own work for a repeat.
	unknown := false
	for try, wait := 1, firstWait; ; try, wait = try+1, min(2*wait, maxWait) {
		err := fn(ctx)
		s.counts.add(what, func(o *opCounts) {
			o.calls++
			if try > 1 {
				o.retries++
			}
			if throttled(err) {
				o.throttled++
			}
		})
		if err == nil {
			return nil
		}
		switch k := aws.KindOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case isCancelled(err) && (!transient(err) || (conflicts(err) && !unknown)):
			return err
		case throttled(err) && isLess(ctx) && !unknown:
			return fmt.Errorf("%w: %w", errLess, s.explain(err, what))
		case k != aws.Throttled && k != aws.Unreachable && !transient(err):
			return s.explain(err, what)
		case time.Since(start)+wait > s.cfg.Patience || s.closed():
			return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, s.explain(err, what))
		}
		unknown = unknown || (!throttled(err) && !isCancelled(err))
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
}

func (s *Store) explain(err error, what string) error {
	return aws.Explain(err, "table "+s.cfg.Table, "dynamodb:"+what)
}

// pause waits between half of d and d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func isCancelled(err error) bool {
	var c *types.TransactionCanceledException
	return errors.As(err, &c)
}

// transient reports a transaction that was cancelled for nothing but others that were under way, or for want of capacity.
func transient(err error) bool {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) {
		var busy *types.TransactionInProgressException
		var conflict *types.TransactionConflictException
		return errors.As(err, &busy) || errors.As(err, &conflict)
	}
	some := false
	for _, r := range c.CancellationReasons {
		switch code(r) {
		case "None":
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			some = true
		default:
			return false
		}
	}
	return some
}

// throttled reports a call that was refused for want of capacity, alone or as one of a transaction's items.
func throttled(err error) bool {
	if err == nil {
		return false
	}
	var c *types.TransactionCanceledException
	if errors.As(err, &c) {
		for _, r := range c.CancellationReasons {
			if x := code(r); x == "ThrottlingError" || x == "ProvisionedThroughputExceeded" {
				return true
			}
		}
		return false
	}
	return aws.KindOf(err) == aws.Throttled
}

// A caller who can ask for less marks its context: then a throttled call is not repeated as it is, but given back as
// errLess.
type lessKey struct{}

var errLess = errors.New("dynamodb: too much at once")

func isLess(ctx context.Context) bool { return ctx.Value(lessKey{}) != nil }

// conflicts reports a transaction that was cancelled because another holds one of its items: that one is likely to be
// done, so that the caller looks again instead of repeating what it wanted before.
func conflicts(err error) bool {
	var c *types.TransactionCanceledException
	if errors.As(err, &c) {
		for _, r := range c.CancellationReasons {
			if code(r) == "TransactionConflict" {
				return true
			}
		}
	}
	return false
}

func code(r types.CancellationReason) string {
	if r.Code == nil {
		return "None"
	}
	return *r.Code
}

// failed reports whether the condition of item n of a cancelled transaction did not hold, and the item that stood there.
func failed(err error, n int) (item, bool) {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) || n >= len(c.CancellationReasons) || code(c.CancellationReasons[n]) != "ConditionalCheckFailed" {
		return nil, false
	}
	return c.CancellationReasons[n].Item, true
}

// contended reports whether item n of a cancelled transaction is one that another transaction holds.
func contended(err error, n int) bool {
	var c *types.TransactionCanceledException
	return errors.As(err, &c) && n < len(c.CancellationReasons) && code(c.CancellationReasons[n]) == "TransactionConflict"
}

func (s *Store) used(what string, cs ...*types.ConsumedCapacity) {
	total := 0.0
	for _, c := range cs {
		if c != nil && c.CapacityUnits != nil {
			total += *c.CapacityUnits
		}
	}
	s.counts.add(what, func(o *opCounts) { o.units += total })
	if s.cfg.Used != nil {
		s.cfg.Used(what, total)
	}
}

// counting asks for the capacity that a call consumes where somebody wants to know.
func (s *Store) counting() types.ReturnConsumedCapacity {
	if s.cfg.Used == nil && s.cfg.Metrics == nil {
		return types.ReturnConsumedCapacityNone
	}
	return types.ReturnConsumedCapacityTotal
}

var yes = true

// get reads one item; nil: there is none.
func (s *Store) get(ctx context.Context, k item) (found item, err error) {
	err = s.again(ctx, "GetItem", func(ctx context.Context) error {
		out, err := s.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.cfg.Table, Key: k, ConsistentRead: &yes, ReturnConsumedCapacity: s.counting()})
		if err == nil {
			found = out.Item
			s.used("GetItem", out.ConsumedCapacity)
		}
		return err
	})
	return found, err
}

// gets reads many items by their keys; those that are not there are left out. The order is any.
func (s *Store) gets(ctx context.Context, keys []item) ([]item, error) {
	return s.getsOf(ctx, s.cfg.Table, keys)
}

// getsOf is gets on a table.
func (s *Store) getsOf(ctx context.Context, table string, keys []item) ([]item, error) {
	var found []item
	for len(keys) > 0 {
		n := min(len(keys), 100)
		left := keys[:n]
		keys = keys[n:]
		for wait := firstWait; len(left) > 0; wait = min(2*wait, maxWait) {
			err := s.again(ctx, "BatchGetItem", func(ctx context.Context) error {
				out, err := s.cfg.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
					RequestItems: map[string]types.KeysAndAttributes{table: {Keys: left, ConsistentRead: &yes}}, ReturnConsumedCapacity: s.counting(),
				})
				if err != nil {
					return err
				}
				for i := range out.ConsumedCapacity {
					s.used("BatchGetItem", &out.ConsumedCapacity[i])
				}
				found = append(found, out.Responses[table]...)
				left = out.UnprocessedKeys[table].Keys
				return nil
			})
			if err != nil {
				return nil, err
			}
			if len(left) > 0 && !pause(ctx, wait) {
				return nil, ctx.Err()
			}
		}
	}
	return found, nil
}

// query is one partition's items in the order of their sort keys.
type query struct {
	pk        string
	index     bool   // of the streams
	cond      string // on the sort key, as "sk >= :a"
	values    item
	backwards bool
	limit     int32 // of a page
}

// pages calls fn with pages of a query, consistent but for the index, until it says that it has enough.
func (s *Store) pages(ctx context.Context, q query, fn func([]item) (more bool, err error)) error {
	in := &dynamodb.QueryInput{TableName: &s.cfg.Table, ConsistentRead: &yes, ReturnConsumedCapacity: s.counting()}
	cond, hash := "pk = :pk", ":pk"
	if q.index {
		name, no := indexName, false
		in.IndexName, in.ConsistentRead = &name, &no
		cond = indexPK + " = :pk"
	}
	if q.cond != "" {
		cond += " AND " + q.cond
	}
	in.KeyConditionExpression = &cond
	in.ExpressionAttributeValues = item{hash: str(q.pk)}
	for k, v := range q.values {
		in.ExpressionAttributeValues[k] = v
	}
	forward := !q.backwards
	in.ScanIndexForward = &forward
	if q.limit > 0 {
		in.Limit = &q.limit
	}
	for {
		var out *dynamodb.QueryOutput
		err := s.again(ctx, "Query", func(ctx context.Context) (err error) {
			out, err = s.cfg.Client.Query(ctx, in)
			return err
		})
		if err != nil {
			return err
		}
		s.used("Query", out.ConsumedCapacity)
		more, err := fn(out.Items)
		if err != nil || !more || len(out.LastEvaluatedKey) == 0 {
			return err
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// all reads a whole partition.
func (s *Store) all(ctx context.Context, q query) (items []item, err error) {
	err = s.pages(ctx, q, func(page []item) (bool, error) {
		items = append(items, page...)
		return true, nil
	})
	return items, err
}

// puts writes or deletes items without conditions, in no order.
func (s *Store) puts(ctx context.Context, ws []types.WriteRequest) error {
	for len(ws) > 0 {
		n := min(len(ws), 25)
		left := ws[:n]
		ws = ws[n:]
		for wait := firstWait; len(left) > 0; wait = min(2*wait, maxWait) {
			err := s.again(ctx, "BatchWriteItem", func(ctx context.Context) error {
				out, err := s.cfg.Client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{s.cfg.Table: left}, ReturnConsumedCapacity: s.counting()})
				if err != nil {
					return err
				}
				for i := range out.ConsumedCapacity {
					s.used("BatchWriteItem", &out.ConsumedCapacity[i])
				}
				left = out.UnprocessedItems[s.cfg.Table]
				return nil
			})
			if err != nil {
				return err
			}
			if len(left) > 0 && !pause(ctx, wait) {
				return ctx.Err()
			}
		}
	}
	return nil
}

func deletion(k item) types.WriteRequest {
	return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: item{pk: k[pk], sk: k[sk]}}}
}
