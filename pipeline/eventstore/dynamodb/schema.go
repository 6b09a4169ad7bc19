package dynamodb

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
)

// version is that of the layout.
const version = 1

var metaKey = key("M", "log")

// prepare looks at the table, makes it where that is wanted, and reads or makes the log's id.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.ensureTable(ctx); err != nil {
		return err
	}
	for {
		i, err := s.get(ctx, metaKey)
		if err != nil {
			return err
		}
		if i != nil {
			if v := number(i, "version"); v > version {
				return fmt.Errorf("%w: its layout is version %d, this program knows version %d: use a newer leat", ErrLayout, v, version)
			}
			s.logID = text(i, "log")
			return nil
		}
		if s.cfg.ReadOnly {
			return fmt.Errorf("%w: there is no event store in it yet", ErrLayout)
		}
		i = key("M", "log")
		i["log"], i["version"] = str(nonce(16)), num(version)
		err = s.transact(ctx, []types.TransactWriteItem{{Put: &types.Put{TableName: &s.cfg.Table, Item: i, ConditionExpression: ptr("attribute_not_exists(pk)")}}})
		if err != nil && !isCancelled(err) {
			return err
		}
	}
}

// ErrLayout says that the table holds something else than this program can use; nothing was changed in it.
var ErrLayout = errors.New("dynamodb: this is no event store for this program")

func (s *Store) ensureTable(ctx context.Context) error {
	d, err := s.cfg.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.cfg.Table})
	switch {
	case err == nil && d.Table.TableStatus == types.TableStatusActive:
		return fitsLayout(d.Table)
	case err != nil && aws.KindOf(err) != aws.Missing:
		return aws.AtStart(err, "table "+s.cfg.Table, "dynamodb:DescribeTable")
	case err != nil && (!s.cfg.Create || s.cfg.ReadOnly):
		return fmt.Errorf("there is no such table; make it by `leat store init`, or print it by `leat store init --print`: %w", err)
	case err != nil:
		if _, err := s.cfg.Client.CreateTable(ctx, s.cfg.table()); err != nil && aws.Code(err) != "ResourceInUseException" {
			return aws.AtStart(err, "make table "+s.cfg.Table, "dynamodb:CreateTable")
		}
	}
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		d, err := s.cfg.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.cfg.Table})
		if err == nil && d.Table.TableStatus == types.TableStatusActive {
			return fitsLayout(d.Table)
		}
		if err != nil && aws.KindOf(err) != aws.Missing {
			return aws.AtStart(err, "table "+s.cfg.Table, "dynamodb:DescribeTable")
		}
		if !pause(ctx, wait) {
			return fmt.Errorf("the table is not there yet: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// fitsLayout refuses a table that is somebody else's.
func fitsLayout(t *types.TableDescription) error {
	var names []string
	for _, k := range t.KeySchema {
		names = append(names, *k.AttributeName)
	}
	if len(names) != 2 || names[0] != pk || names[1] != sk {
		return fmt.Errorf("%w: its keys are %v, not pk and sk", ErrLayout, names)
	}
	for _, x := range t.GlobalSecondaryIndexes {
		if *x.IndexName == indexName {
			return nil
		}
	}
	return fmt.Errorf("%w: it has no index %s", ErrLayout, indexName)
}

// table is the table as it is made.
func (c *Config) table() *dynamodb.CreateTableInput {
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	keys := func(h, r string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &h, KeyType: types.KeyTypeHash}, {AttributeName: &r, KeyType: types.KeyTypeRange}}
	}
	in := &dynamodb.CreateTableInput{
		TableName: &c.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{attribute(pk), attribute(sk), attribute(indexPK), attribute(indexSK)},
		KeySchema:            keys(pk, sk),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: ptr(indexName), KeySchema: keys(indexPK, indexSK), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
		Tags: []types.Tag{{Key: ptr("leat"), Value: ptr("event-store")}},
	}
	if c.ReadCapacity > 0 || c.WriteCapacity > 0 {
		r, w := max(c.ReadCapacity, 1), max(c.WriteCapacity, 1)
		in.BillingMode = types.BillingModeProvisioned
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &r, WriteCapacityUnits: &w}
		in.GlobalSecondaryIndexes[0].ProvisionedThroughput = in.ProvisionedThroughput
	}
	return in
}
