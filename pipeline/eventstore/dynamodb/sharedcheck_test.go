package dynamodb_test

import (
	"context"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// TestCheckShared: doctor says what a shared table is and lacks, and changes nothing.
func TestCheckShared(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	if _, err := l.Create(t.Context(), "a", "T", "1"); err != nil {
		t.Fatal(err)
	}
	odd := lambdatest.Table(t, c)
	if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: &odd, Item: lambdatest.Attributes{
		"PK": lambdatest.S("order-1"), "SK": lambdatest.N(0), "StreamType": lambdatest.S("a"), "StreamRevision": lambdatest.N(1), "UpdatedAt": lambdatest.S("2026-01-01T00:00:00Z"),
	}}); err != nil {
		t.Fatal(err)
	}
	bare := "no-index"
	key := func(name string, k types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: k}
	}
	define := func(name string, k types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: k}
	}
	if _, err := c.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: &bare, BillingMode: types.BillingModePayPerRequest, KeySchema: []types.KeySchemaElement{key("PK", types.KeyTypeHash), key("SK", types.KeyTypeRange)},
		AttributeDefinitions: []types.AttributeDefinition{define("PK", "S"), define("SK", "N")},
	}); err != nil {
		t.Fatal(err)
	}
	openStore(t, dynamodb.Config{Client: c, Table: "own"})
	for _, tt := range []struct {
		table string
		worst check.Severity
		words string
	}{
		{l.Table, check.OK, "is a serverless-event-store's; it may be read and appended to"},
		{odd, check.Warning, "of 1 streams of table " + odd + ", 1 are left out"},
		{"missing", check.Problem, "there is no table missing"},
		{bare, check.Problem, "it has no index StreamIndex"},
		{"own", check.Problem, "its keys are [pk sk], not PK (text) and SK (number)"},
	} {
		before := server.Items(tt.table)
		found := dynamodb.Settings{
			Table: "leat-new", Create: true, Settings: aws.Settings{Region: "eu-west-1", Endpoint: server.URL}, Serverless: &dynamodb.ServerlessSettings{Table: tt.table},
		}.Check(context.Background(), eventstore.Env{})
		var words []string
		for _, f := range found {
			words = append(words, f.What)
		}
		if said := strings.Join(words, "; "); check.Worst(found) != tt.worst || !strings.Contains(said, tt.words) {
			t.Errorf("%s: %s, %s", tt.table, check.Worst(found), said)
		}
		if after := server.Items(tt.table); after != before {
			t.Errorf("%s had %d items, and has %d", tt.table, before, after)
		}
		// A store does not start on what is no such table, and says the same.
		if tt.worst == check.Problem {
			_, err := dynamodb.Open(t.Context(), dynamodb.Config{Client: c, Table: "leat-new", Create: true, Shared: sharing(tt.table)})
			if err == nil || tt.table != "missing" && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: opened with %v", tt.table, err)
			}
		}
	}
	if n := server.Items("leat-new"); n != 0 {
		t.Errorf("leat's table has %d items", n)
	}
}
