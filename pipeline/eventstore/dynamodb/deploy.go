package dynamodb

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
)

// Permissions implements config.Permitted: what the store needs once the table is there. Making it takes
// dynamodb:CreateTable as well.
func (c Settings) Permissions() []config.Statement {
	region := c.Region
	if region == "" {
		region = "*"
	}
	table := fmt.Sprintf("arn:aws:dynamodb:%s:*:table/%s", region, c.Table)
	actions := []string{
		"dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable",
		"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
	}
	out := []config.Statement{
		{Sid: "LeatStore", Effect: "Allow", Action: actions, Resource: []string{table}},
		{Sid: "LeatStreams", Effect: "Allow", Action: []string{"dynamodb:Query"}, Resource: []string{table + "/index/" + indexName}},
	}
	if c.Serverless != nil {
		out = append(out, c.Serverless.permissions(region)...)
	}
	return out
}

// CloudFormation implements config.Deployed.
func (c Settings) CloudFormation(string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n    Properties:\n      TableName: %s\n", logical(c.Table), c.Table)
	throughput := ""
	if r, w, set := c.capacity(); set {
		throughput = fmt.Sprintf("{ ReadCapacityUnits: %d, WriteCapacityUnits: %d }", r, w)
		fmt.Fprintf(&b, "      BillingMode: PROVISIONED\n      ProvisionedThroughput: %s\n", throughput)
	} else {
		b.WriteString("      BillingMode: PAY_PER_REQUEST\n")
	}
	b.WriteString("      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }\n      AttributeDefinitions:\n")
	for _, a := range []string{pk, sk, indexPK, indexSK} {
		fmt.Fprintf(&b, "        - { AttributeName: %s, AttributeType: S }\n", a)
	}
	fmt.Fprintf(&b, "      KeySchema:\n        - { AttributeName: %s, KeyType: HASH }\n        - { AttributeName: %s, KeyType: RANGE }\n", pk, sk)
	fmt.Fprintf(&b, "      GlobalSecondaryIndexes:\n        - IndexName: %s\n          Projection: { ProjectionType: KEYS_ONLY }\n          KeySchema:\n            - { AttributeName: %s, KeyType: HASH }\n            - { AttributeName: %s, KeyType: RANGE }\n", indexName, indexPK, indexSK)
	if throughput != "" {
		fmt.Fprintf(&b, "          ProvisionedThroughput: %s\n", throughput)
	}
	b.WriteString("      Tags: [ { Key: leat, Value: event-store } ]\n")
	return b.String()
}

// Terraform implements config.Deployed.
func (c Settings) Terraform(string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource \"aws_dynamodb_table\" %q {\n  name      = %q\n  hash_key  = %q\n  range_key = %q\n", strings.ToLower(snake(c.Table)), c.Table, pk, sk)
	throughput := ""
	if r, w, set := c.capacity(); set {
		throughput = fmt.Sprintf("  read_capacity  = %d\n  write_capacity = %d\n", r, w)
		fmt.Fprintf(&b, "\n  billing_mode   = \"PROVISIONED\"\n%s", throughput)
	} else {
		b.WriteString("\n  billing_mode = \"PAY_PER_REQUEST\"\n")
	}
	for _, a := range []string{pk, sk, indexPK, indexSK} {
		fmt.Fprintf(&b, "\n  attribute {\n    name = %q\n    type = \"S\"\n  }\n", a)
	}
	fmt.Fprintf(&b, "\n  global_secondary_index {\n    name            = %q\n    hash_key        = %q\n    range_key       = %q\n    projection_type = \"KEYS_ONLY\"\n", indexName, indexPK, indexSK)
	if throughput != "" {
		b.WriteString(strings.ReplaceAll("  "+throughput, "\n  ", "\n    "))
	}
	b.WriteString("  }\n\n  point_in_time_recovery {\n    enabled = true\n  }\n\n  lifecycle {\n    prevent_destroy = true\n  }\n\n  tags = { leat = \"event-store\" }\n}\n")
	return b.String()
}

func (c Settings) capacity() (read, write int64, set bool) {
	return max(c.ReadCapacity, 1), max(c.WriteCapacity, 1), c.ReadCapacity > 0 || c.WriteCapacity > 0
}

// logical makes a name for a template's resource of a table's: letters and digits.
func logical(table string) string {
	var b strings.Builder
	for _, word := range strings.Split(snake(table), "_") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String() + "Table"
}

func snake(table string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, table)
}
