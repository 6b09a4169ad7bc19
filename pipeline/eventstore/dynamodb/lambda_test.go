package dynamodb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/aws"
)

type attributes = map[string]types.AttributeValue

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(v)}
}
func p[T any](v T) *T { return &v }

// sharedTable makes a table as serverless-event-store's stack does, and gives its name.
func sharedTable(t testing.TB, c *aws.DynamoDB) string {
	t.Helper()
	name := fmt.Sprintf("EsTable-%d", tables.Add(1))
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

// lambda writes as serverless-event-store's Lambda is known to (event-stores.md has its captures): it looks at the head,
// without a consistent read, and writes head and event in one transaction under the condition on the head's revision.
// Who loses that race is told 500, like whoever meets any other error.
type lambda struct {
	c     *aws.DynamoDB
	table string
	now   func() time.Time
}

func (l *lambda) at() string {
	now := time.Now
	if l.now != nil {
		now = l.now
	}
	return now().UTC().Format(time.RFC3339Nano)
}

func (l *lambda) event(id string, revision int64, typ, payload, at string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &l.table, ConditionExpression: p("attribute_not_exists(PK) AND attribute_not_exists(SK)"),
		Item: attributes{"PK": s(id), "SK": n(revision), "RecordType": s("event"), "EventType": s(typ), "Payload": s(payload), "CreatedAt": s(at)},
	}}
}

// create gives the new stream's id.
func (l *lambda) create(ctx context.Context, streamType, typ, payload string) (string, error) {
	id, at := uuid.NewString(), l.at()
	_, err := l.c.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{ClientRequestToken: &id, TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: &l.table, ConditionExpression: p("attribute_not_exists(PK)"), Item: attributes{
			"PK": s(id), "SK": n(0), "RecordType": s("stream"), "StreamType": s(streamType), "StreamRevision": n(1), "UpdatedAt": s(at),
		}}},
		l.event(id, 1, typ, payload, at),
	}})
	return id, err
}

// append gives the status of the answer.
func (l *lambda) append(ctx context.Context, streamType, id string, revision int64, typ, payload string) (status int, err error) {
	head, err := l.c.GetItem(ctx, &sdk.GetItemInput{TableName: &l.table, Key: attributes{"PK": s(id), "SK": n(0)}})
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
	_, err = l.c.TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{ClientRequestToken: p(uuid.NewString()), TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{
			TableName: &l.table, Key: attributes{"PK": s(id), "SK": n(0)},
			UpdateExpression: p("SET #0 = :0, #1 = :1"), ConditionExpression: p("#0 = :2"),
			ExpressionAttributeNames:  map[string]string{"#0": "StreamRevision", "#1": "UpdatedAt"},
			ExpressionAttributeValues: attributes{":0": n(revision), ":1": s(at), ":2": n(revision - 1)},
		}},
		l.event(id, revision, typ, payload, at),
	}})
	if err != nil {
		return 500, err
	}
	return 201, nil
}

// events gives what the Lambda would: "type payload" of each event from revision 1, and the time of the last.
func (l *lambda) events(t testing.TB, id string) (all []string, last string) {
	t.Helper()
	in := &sdk.QueryInput{
		TableName: &l.table, KeyConditionExpression: p("PK = :id"), ExpressionAttributeValues: attributes{":id": s(id)},
		ExclusiveStartKey: attributes{"PK": s(id), "SK": n(0)},
	}
	for {
		out, err := l.c.Query(context.Background(), in)
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

// head gives a head's type, revision and time.
func (l *lambda) head(t testing.TB, id string) (streamType string, revision string, updated string) {
	t.Helper()
	out, err := l.c.GetItem(context.Background(), &sdk.GetItemInput{TableName: &l.table, Key: attributes{"PK": s(id), "SK": n(0)}, ConsistentRead: p(true)})
	if err != nil || out.Item == nil {
		t.Fatalf("the head of %s: %v, %v", id, out, err)
	}
	if got := out.Item["RecordType"].(*types.AttributeValueMemberS).Value; got != "stream" {
		t.Errorf("a head has the record type %q", got)
	}
	return out.Item["StreamType"].(*types.AttributeValueMemberS).Value, out.Item["StreamRevision"].(*types.AttributeValueMemberN).Value, out.Item["UpdatedAt"].(*types.AttributeValueMemberS).Value
}
