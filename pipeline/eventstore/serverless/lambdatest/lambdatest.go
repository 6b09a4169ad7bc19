// Package lambdatest is serverless-event-store's side of a shared table, for tests: its table, and a writer and reader that
// does with it what its Lambda is known to do. It is a re-statement of its documented behaviour, no code of its own.
package lambdatest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/aws"
)

// Attributes are an item's.
type Attributes = map[string]types.AttributeValue

// S is text.
func S(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

// N is a number.
func N(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(v)}
}
func p[T any](v T) *T { return &v }

var made atomic.Int64

// Table makes a table as serverless-event-store's stack does, and gives its name.
func Table(t testing.TB, c *aws.DynamoDB) string {
	t.Helper()
	name := fmt.Sprintf("EsTable-%d", made.Add(1))
	keys := func(h, r string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &h, KeyType: types.KeyTypeHash}, {AttributeName: &r, KeyType: types.KeyTypeRange}}
	}
	_, err := c.CreateTable(context.Background(), &sdk.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: keys("PK", "SK"),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: p("PK"), AttributeType: "S"}, {AttributeName: p("SK"), AttributeType: "N"},
			{AttributeName: p("StreamType"), AttributeType: "S"}, {AttributeName: p("UpdatedAt"), AttributeType: "S"},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: p("StreamIndex"), KeySchema: keys("StreamType", "UpdatedAt"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"StreamRevision", "CreatedAt"}},
		}},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: p(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Lambda writes as serverless-event-store's Lambda is known to (event-stores.md has its captures): it looks at the head,
// without a consistent read, and writes head and event in one transaction under the condition on the head's revision.
// Who loses that race is told 500, like whoever meets any other error.
type Lambda struct {
	Client *aws.DynamoDB
	Table  string
	Now    func() time.Time // nil: time.Now
}

func (l *Lambda) at() string {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	return now().UTC().Format(time.RFC3339Nano)
}

func (l *Lambda) event(id string, revision int64, typ, payload, at string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &l.Table, ConditionExpression: p("attribute_not_exists(PK) AND attribute_not_exists(SK)"),
		Item: Attributes{"PK": S(id), "SK": N(revision), "RecordType": S("event"), "EventType": S(typ), "Payload": S(payload), "CreatedAt": S(at)},
	}}
}

// Create makes a stream with its first event, and gives the new stream's id.
func (l *Lambda) Create(ctx context.Context, streamType, typ, payload string) (string, error) {
	id, at := uuid.NewString(), l.at()
	_, err := l.Client.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{ClientRequestToken: &id, TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: &l.Table, ConditionExpression: p("attribute_not_exists(PK)"), Item: Attributes{
			"PK": S(id), "SK": N(0), "RecordType": S("stream"), "StreamType": S(streamType), "StreamRevision": N(1), "UpdatedAt": S(at),
		}}},
		l.event(id, 1, typ, payload, at),
	}})
	return id, err
}

// Append writes the event of a revision and gives the status of the answer: 201, 404, 409, or 500 with the cause.
func (l *Lambda) Append(ctx context.Context, streamType, id string, revision int64, typ, payload string) (status int, err error) {
	head, err := l.Client.GetItem(ctx, &sdk.GetItemInput{TableName: &l.Table, Key: Attributes{"PK": S(id), "SK": N(0)}})
	if err != nil {
		return 500, err
	}
	have, _ := head.Item["StreamRevision"].(*types.AttributeValueMemberN)
	if t, _ := head.Item["StreamType"].(*types.AttributeValueMemberS); have == nil || t == nil || t.Value != streamType {
		return 404, nil
	}
	if have.Value != fmt.Sprint(revision-1) {
		return 409, nil
	}
	at := l.at()
	_, err = l.Client.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{ClientRequestToken: p(uuid.NewString()), TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{
			TableName: &l.Table, Key: Attributes{"PK": S(id), "SK": N(0)},
			UpdateExpression: p("SET #0 = :0, #1 = :1"), ConditionExpression: p("#0 = :2"),
			ExpressionAttributeNames:  map[string]string{"#0": "StreamRevision", "#1": "UpdatedAt"},
			ExpressionAttributeValues: Attributes{":0": N(revision), ":1": S(at), ":2": N(revision - 1)},
		}},
		l.event(id, revision, typ, payload, at),
	}})
	if err != nil {
		return 500, err
	}
	return 201, nil
}

// Events gives what the Lambda would: "type payload" of each event from revision 1, and the time of the last.
func (l *Lambda) Events(t testing.TB, id string) (all []string, last string) {
	t.Helper()
	in := &sdk.QueryInput{
		TableName: &l.Table, KeyConditionExpression: p("PK = :id"), ExpressionAttributeValues: Attributes{":id": S(id)},
		ExclusiveStartKey: Attributes{"PK": S(id), "SK": N(0)},
	}
	for {
		out, err := l.Client.Query(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range out.Items {
			if got := i["SK"].(*types.AttributeValueMemberN).Value; got != fmt.Sprint(len(all)+1) {
				t.Fatalf("revision %s of %s where %d belongs", got, id, len(all)+1)
			}
			if got := i["RecordType"].(*types.AttributeValueMemberS).Value; got != "event" {
				t.Errorf("an event has the record type %q", got)
			}
			last = i["CreatedAt"].(*types.AttributeValueMemberS).Value
			all = append(all, i["EventType"].(*types.AttributeValueMemberS).Value+" "+i["Payload"].(*types.AttributeValueMemberS).Value)
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
			return all, last
		}
	}
}

// Head gives a head's type, revision and time.
func (l *Lambda) Head(t testing.TB, id string) (streamType string, revision string, updated string) {
	t.Helper()
	out, err := l.Client.GetItem(context.Background(), &sdk.GetItemInput{TableName: &l.Table, Key: Attributes{"PK": S(id), "SK": N(0)}, ConsistentRead: p(true)})
	if err != nil || out.Item == nil {
		t.Fatalf("the head of %s: %v, %v", id, out, err)
	}
	if got := out.Item["RecordType"].(*types.AttributeValueMemberS).Value; got != "stream" {
		t.Errorf("a head has the record type %q", got)
	}
	return out.Item["StreamType"].(*types.AttributeValueMemberS).Value, out.Item["StreamRevision"].(*types.AttributeValueMemberN).Value, out.Item["UpdatedAt"].(*types.AttributeValueMemberS).Value
}
