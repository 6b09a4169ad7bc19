package dynamodb

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
)

// checkShared looks at a shared table for `leat doctor`: it is serverless-event-store's, and may be read and written. The
// writes that ask whether they may be made have a condition that never holds, so that they change nothing.
func checkShared(ctx context.Context, c *aws.DynamoDB, name string) []check.Finding {
	d, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	switch {
	case err != nil && aws.KindOf(err) == aws.Missing:
		return []check.Finding{check.Problemf("there is no table %s", name).With("serverless-event-store's stack gives the name of its table as the output EsDynamoDbTable; leat makes no table of that kind")}
	case err != nil:
		return []check.Finding{askFailed(name, "dynamodb:DescribeTable", err)}
	}
	if words := sharedFits(d.Table); words != "" {
		return []check.Finding{check.Problemf("table %s is not serverless-event-store's: %s", name, words)}
	}
	found := []check.Finding{check.Okf("table %s is a serverless-event-store's", name)}

	index, some := sharedIndex, int32(200)
	page, err := c.Scan(ctx, &dynamodb.ScanInput{TableName: &name, IndexName: &index, Limit: &some})
	if err != nil {
		found = append(found, askFailed(name, "dynamodb:Scan of its index "+sharedIndex, err))
	} else if n := outside(page.Items); n > 0 {
		found = append(found, check.Warnf("of %d streams of table %s, %d are left out: their ids are no UUIDs, or their heads cannot be read", len(page.Items), name, n).With("leat's log says which, once it runs"))
	}
	// An id that nobody has.
	id := uuid.NewString()
	if _, err := c.Query(ctx, &dynamodb.QueryInput{
		TableName: &name, ConsistentRead: &yes, KeyConditionExpression: ptr(sharedPK + " = :id"), ExpressionAttributeValues: item{":id": str(id)},
	}); err != nil {
		found = append(found, askFailed(name, "dynamodb:Query", err))
	}
	if _, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{name: {Keys: []item{sharedKey(id, 0)}}}}); err != nil {
		found = append(found, askFailed(name, "dynamodb:BatchGetItem", err))
	}
	never := ptr("attribute_exists(PK)")
	if _, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &name, Key: sharedKey(id, 0), UpdateExpression: ptr("SET StreamRevision = :n"), ConditionExpression: never, ExpressionAttributeValues: item{":n": num(0)},
	}); err != nil && !held(err) {
		found = append(found, askFailed(name, "dynamodb:UpdateItem", err))
	}
	if _, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: sharedKey(id, 1), ConditionExpression: never}); err != nil && !held(err) {
		found = append(found, askFailed(name, "dynamodb:PutItem", err))
	}
	if len(found) == 1 {
		found = append(found, check.Okf("it may be read and appended to"))
	}
	return found
}

// held reports the answer that a condition gives which does not hold.
func held(err error) bool {
	var c *types.ConditionalCheckFailedException
	return errors.As(err, &c)
}

func outside(heads []item) (n int) {
	for _, i := range heads {
		if head, err := readSharedHead(i); err != nil || !serverless.Names(event.Stream{Type: head.name.Type, ID: head.name.ID}) {
			n++
		}
	}
	return n
}

func askFailed(table, action string, err error) check.Finding {
	err = aws.Explain(err, "table "+table, action)
	switch aws.KindOf(err) {
	case aws.Denied:
		return check.Unreachablef("%v", err).With("`leat store init --print --as policy` prints what leat needs")
	case aws.Unreachable, aws.Throttled, aws.Interrupted:
		return check.Unreachablef("%v", err)
	}
	return check.Problemf("%v", err)
}
