package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/outbox"
)

// Client is what Publish and PublishBatch need of the SDK's *dynamodb.Client.
type Client interface {
	TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// The bounds of a transaction, and of an event: an item holds 400 KB, in leat's log too.
const (
	MaxItems = 100
	MaxBytes = 380 << 10
	maxTotal = 3900 << 10 // of 4 MB, less the keys
)

// Publisher makes rows of events. It is safe for concurrent use; transactions are their callers'.
type Publisher struct {
	client Client
	events *outbox.Publisher
	table  string
	now    func() time.Time
	ids    sequence
}

// New makes a publisher. Client may be nil where Publish and PublishBatch are not called. Options.Table is the table of
// leat's store and has no default; Options.MaxBytes is at most MaxBytes, which is its default.
func New(client Client, o outbox.Options) *Publisher {
	if o.MaxBytes <= 0 || o.MaxBytes > MaxBytes {
		o.MaxBytes = MaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Publisher{client: client, events: outbox.New(nil, o), table: o.Table, now: o.Now}
}

// PublishAfterCommit adds an event to the caller's transaction: it is published when that commits.
func (p *Publisher) PublishAfterCommit(ctx context.Context, in *dynamodb.TransactWriteItemsInput, m outbox.Message) error {
	return p.PublishBatchAfterCommit(ctx, in, []outbox.Message{m})
}

// PublishBatchAfterCommit adds events to the caller's transaction, in their order. Where one of them cannot be published,
// or they do not fit (outbox.ErrMessage), the transaction stays as it was.
//
// A transaction whose condition fails, and that is tried again on what the caller reads then, is made anew as a whole:
// rows that were made before would stand before those of whoever was faster.
func (p *Publisher) PublishBatchAfterCommit(ctx context.Context, in *dynamodb.TransactWriteItemsInput, ms []outbox.Message) error {
	if n := len(in.TransactItems) + len(ms); n > MaxItems {
		return fmt.Errorf("%w: the transaction would have %d items, DynamoDB takes %d", outbox.ErrMessage, n, MaxItems)
	}
	rows, err := p.Items(ctx, ms)
	if err != nil {
		return err
	}
	in.TransactItems = append(in.TransactItems, rows...)
	return nil
}

// Items gives the writes that publish events, for a transaction that is put together elsewhere.
func (p *Publisher) Items(ctx context.Context, ms []outbox.Message) ([]types.TransactWriteItem, error) {
	switch {
	case len(ms) == 0:
		return nil, nil
	case p.table == "":
		return nil, errors.New("outbox: the publisher's options name no table: that of leat's store")
	case len(ms) > MaxItems:
		return nil, fmt.Errorf("%w: %d in one batch, a transaction of DynamoDB takes %d items", outbox.ErrMessage, len(ms), MaxItems)
	}
	ids, bodies, err := p.events.Encode(ctx, ms)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, b := range bodies {
		total += len(b)
	}
	if total > maxTotal {
		return nil, fmt.Errorf("%w: the batch has %d bytes, a transaction of DynamoDB takes 4 MB", outbox.ErrMessage, total)
	}
	now := p.now()
	after, _ := ctx.Value(afterKey{}).(int64)
	first, err := p.ids.take(now, after, len(ms))
	if err != nil {
		return nil, err
	}
	items := make([]types.TransactWriteItem, len(ms))
	for i := range ms {
		items[i].Put = &types.Put{
			TableName: &p.table,
			Item: map[string]types.AttributeValue{
				"pk":      &types.AttributeValueMemberS{Value: partition},
				"sk":      &types.AttributeValueMemberS{Value: fmt.Sprintf("%019d", first+int64(i))},
				"event":   &types.AttributeValueMemberS{Value: ids[i]},
				"written": &types.AttributeValueMemberS{Value: now.UTC().Format(time.RFC3339Nano)},
				"body":    &types.AttributeValueMemberB{Value: bodies[i]},
			},
			// No event takes another's place.
			ConditionExpression:                 &absent,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
	}
	return items, nil
}

// partition is that of the outbox in leat's table.
const partition = "O"

var absent = "attribute_not_exists(pk)"

// Publish writes an event at once, in a transaction of its own.
func (p *Publisher) Publish(ctx context.Context, m outbox.Message) error {
	return p.PublishBatch(ctx, []outbox.Message{m})
}

// tries is how often a publisher's own transaction is begun: it fails where another holds one of its items, or its id.
const tries = 6

// PublishBatch writes events at once, all or none, in their order. An error of the service means that they may have been
// written, unless it is a cancellation; published again under the same ids they are events that leat knows.
func (p *Publisher) PublishBatch(ctx context.Context, ms []outbox.Message) error {
	wait := 10 * time.Millisecond
	for try := 1; len(ms) > 0; try++ {
		rows, err := p.Items(ctx, ms)
		if err != nil {
			return err
		}
		in := &dynamodb.TransactWriteItemsInput{TransactItems: rows}
		_, err = p.client.TransactWriteItems(ctx, in)
		if err == nil {
			return nil
		}
		switch fate := FateOf(in, err); {
		case fate == Committed:
			return nil
		case try == tries || (fate != Taken && !busy(err)):
			return fmt.Errorf("outbox: write %d events: %w", len(ms), err)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait *= 2
	}
	return nil
}
