package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Checker = Settings{}

// Check implements eventstore.Checker: the table is there and leat's, or can be made, and a shared table is as it has to be.
func (c Settings) Check(ctx context.Context, _ eventstore.Env) []check.Finding {
	cfg, err := aws.Load(ctx, c.Settings, nil, 1)
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
	d, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &c.Table})
	switch {
	case err != nil && aws.KindOf(err) == aws.Missing && c.Create:
		return []check.Finding{check.Okf("there is no table %s yet; the first run makes it", c.Table)}
	case err != nil && aws.KindOf(err) == aws.Missing:
		return []check.Finding{check.Problemf("there is no table %s", c.Table).With("make it by `leat store init` with create: true, or by what `leat store init --print` gives")}
	case err != nil:
		return []check.Finding{askFailed(c.Table, "dynamodb:DescribeTable", err)}
	}
	if err := fitsLayout(d.Table); err != nil {
		return []check.Finding{check.Problemf("table %s: %v", c.Table, err)}
	}
	return []check.Finding{check.Okf("table %s is leat's", c.Table)}
}
