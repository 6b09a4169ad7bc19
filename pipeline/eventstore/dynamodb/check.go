package dynamodb

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Checker = Settings{}

// Check implements eventstore.Checker: the table is there, is ours, and has capacity; what protects it is on; and the
// credentials may make every call that the store makes. Nothing is written: a transaction that cannot commit asks for the
// rights of its writes, and a batch deletes an item that is never there.
func (c Settings) Check(ctx context.Context, _ eventstore.Env) []check.Finding {
	cfg, err := aws.Load(ctx, c.Settings, nil, 2)
	if err != nil {
		return []check.Finding{check.Unreachablef("%v", err)}
	}
	defer aws.Close(cfg)
	client := aws.NewDynamoDB(cfg)
	found := c.checkOwn(ctx, client)
	if c.Serverless != nil && check.Worst(found) != check.Unreachable {
		found = append(found, checkShared(ctx, client, c.Serverless.Table)...)
	}
	return found
}

func (c Settings) checkOwn(ctx context.Context, client *aws.DynamoDB) []check.Finding {
	p := probe{c: client, s: c}
	d, err := p.c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &c.Table})
	switch {
	case aws.KindOf(err) == aws.Missing && c.Create:
		return []check.Finding{check.Okf("there is no table %s yet; the first run makes it", c.Table)}
	case aws.KindOf(err) == aws.Missing:
		return []check.Finding{check.Problemf("there is no table %s, and create is false", c.Table).With("make it by what `leat store init --print` gives")}
	case err != nil:
		return []check.Finding{askFailed(c.Table, "dynamodb:DescribeTable", err)}
	}
	found := []check.Finding{p.layout(d.Table)}
	if found[0].Severity != check.OK {
		return found
	}
	return append(append(found, p.capacity(d.Table), p.recovery(ctx), p.expiry(ctx)), p.rights(ctx)...)
}

// probe asks a table one thing after another.
type probe struct {
	c *aws.DynamoDB
	s Settings
}

func (p probe) layout(t *types.TableDescription) check.Finding {
	if err := fitsLayout(t); err != nil {
		return check.Problemf("the table %s: %v", p.s.Table, err).With("name another table: one holds one event store and nothing else")
	}
	if t.TableStatus != types.TableStatusActive && t.TableStatus != types.TableStatusUpdating {
		return check.Problemf("the table %s is %s", p.s.Table, strings.ToLower(string(t.TableStatus)))
	}
	return check.Okf("the table %s is there, with the keys and the index of an event store", p.s.Table)
}

// littleCapacity is below what a few appends a second take: each takes four write units, and as many again for a table.
const littleCapacity = 25

func (p probe) capacity(t *types.TableDescription) check.Finding {
	on := t.ProvisionedThroughput
	if on == nil || on.WriteCapacityUnits == nil || *on.WriteCapacityUnits == 0 || (t.BillingModeSummary != nil && t.BillingModeSummary.BillingMode == types.BillingModePayPerRequest) {
		return check.Okf("its capacity is on demand")
	}
	r := int64(0)
	if on.ReadCapacityUnits != nil {
		r = *on.ReadCapacityUnits
	}
	if w := *on.WriteCapacityUnits; w < littleCapacity {
		return check.Warnf("its capacity is provisioned: %d read and %d write units a second; one append takes 4 write units, so that %d a second is what it bears for long", r, w, w/4).With("raise it, or let it scale by itself, or change to on demand")
	}
	return check.Okf("its capacity is provisioned: %d read and %d write units a second", r, *on.WriteCapacityUnits)
}

// recovery and expiry are advice: where the role may not look, that is no fault.
func (p probe) recovery(ctx context.Context) check.Finding {
	out, err := p.c.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &p.s.Table})
	switch {
	case aws.NotAllowed(err):
		return check.Okf("whether it has point-in-time recovery was not looked at, which takes dynamodb:DescribeContinuousBackups")
	case err != nil:
		return askFailed(p.s.Table, "dynamodb:DescribeContinuousBackups", err)
	}
	if d := out.ContinuousBackupsDescription; d != nil && d.PointInTimeRecoveryDescription != nil && d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled {
		return check.Okf("point-in-time recovery is on")
	}
	return check.Warnf("point-in-time recovery is off: a table that is deleted or written over by mistake is gone").
		With("aws dynamodb update-continuous-backups --table-name %s --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true", p.s.Table)
}

func (p probe) expiry(ctx context.Context) check.Finding {
	out, err := p.c.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &p.s.Table})
	switch {
	case aws.NotAllowed(err):
		return check.Okf("whether it has a time to live was not looked at, which takes dynamodb:DescribeTimeToLive")
	case err != nil:
		return askFailed(p.s.Table, "dynamodb:DescribeTimeToLive", err)
	}
	if d := out.TimeToLiveDescription; d != nil && (d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) && d.AttributeName != nil {
		return check.Warnf("it has a time to live on the attribute %s: DynamoDB deletes items by it, and an event store has none to spare", *d.AttributeName).
			With("aws dynamodb update-time-to-live --table-name %s --time-to-live-specification Enabled=false,AttributeName=%s", p.s.Table, *d.AttributeName)
	}
	return check.Okf("no time to live deletes from it")
}

// rights makes each of the store's calls in a way that changes nothing, and tells of those that are denied.
func (p probe) rights(ctx context.Context) []check.Finding {
	table, never := &p.s.Table, key("M", "doctor") // no item is ever there
	var denied []check.Finding
	ask := func(need string, call func() error) {
		if err := call(); err != nil {
			denied = append(denied, askFailed(p.s.Table, "dynamodb:"+need, err))
		}
	}
	query := func(index *string, name string) func() error {
		return func() error {
			one, cond := int32(1), name+" = :p"
			_, err := p.c.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: index, KeyConditionExpression: &cond, ExpressionAttributeValues: item{":p": str("M")}, Limit: &one})
			return err
		}
	}
	ask("GetItem", func() error {
		_, err := p.c.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: never})
		return err
	})
	ask("BatchGetItem", func() error {
		_, err := p.c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{p.s.Table: {Keys: []item{never}}}})
		return err
	})
	ask("Query", query(nil, pk))
	ask("Query (of the index "+indexName+")", query(ptr(indexName), indexPK))
	ask("BatchWriteItem", func() error {
		_, err := p.c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{p.s.Table: {deletion(never)}}})
		return err
	})
	there := "attribute_exists(pk)"
	cannot := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: table, Key: never, ConditionExpression: &there}}
	for _, w := range []struct {
		need  string
		write types.TransactWriteItem
	}{
		{"PutItem", types.TransactWriteItem{Put: &types.Put{TableName: table, Item: key("M", "doctor-put")}}},
		{"DeleteItem", types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: key("M", "doctor-delete")}}},
	} {
		ask(w.need, func() error {
			_, err := p.c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{cannot, w.write}})
			var cancelled *types.TransactionCanceledException
			if errors.As(err, &cancelled) {
				return nil // as it must be
			}
			if err == nil {
				return errors.New("a transaction whose condition cannot hold was committed")
			}
			return err
		})
	}
	if len(denied) == 0 {
		return []check.Finding{check.Okf("the credentials may read, write and delete its items")}
	}
	seen, out := map[string]bool{}, denied[:0]
	for _, f := range denied {
		if !seen[f.What] {
			seen[f.What], out = true, append(out, f)
		}
	}
	return out
}
