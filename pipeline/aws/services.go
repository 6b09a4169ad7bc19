package aws

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// SQS holds the calls that leat makes. A struct of functions and not the SDK's client: a client in a struct that reaches
// an interface keeps all of its operations in the binary, 1.1 MB for the two services, as expr makes the linker keep
// every method that reflection could find.
type SQS struct {
	GetQueueUrl                  call[sqs.GetQueueUrlInput, sqs.GetQueueUrlOutput, sqs.Options] //nolint:revive // the operation's name
	GetQueueAttributes           call[sqs.GetQueueAttributesInput, sqs.GetQueueAttributesOutput, sqs.Options]
	ReceiveMessage               call[sqs.ReceiveMessageInput, sqs.ReceiveMessageOutput, sqs.Options]
	DeleteMessageBatch           call[sqs.DeleteMessageBatchInput, sqs.DeleteMessageBatchOutput, sqs.Options]
	ChangeMessageVisibilityBatch call[sqs.ChangeMessageVisibilityBatchInput, sqs.ChangeMessageVisibilityBatchOutput, sqs.Options]
	SendMessageBatch             call[sqs.SendMessageBatchInput, sqs.SendMessageBatchOutput, sqs.Options]
	CreateQueue                  call[sqs.CreateQueueInput, sqs.CreateQueueOutput, sqs.Options]
	SetQueueAttributes           call[sqs.SetQueueAttributesInput, sqs.SetQueueAttributesOutput, sqs.Options]
	DeleteQueue                  call[sqs.DeleteQueueInput, sqs.DeleteQueueOutput, sqs.Options]
	ListQueues                   call[sqs.ListQueuesInput, sqs.ListQueuesOutput, sqs.Options]
	ListQueueTags                call[sqs.ListQueueTagsInput, sqs.ListQueueTagsOutput, sqs.Options]
	TagQueue                     call[sqs.TagQueueInput, sqs.TagQueueOutput, sqs.Options]
}

// EventBridge holds the calls that leat makes.
type EventBridge struct {
	PutEvents           call[eventbridge.PutEventsInput, eventbridge.PutEventsOutput, eventbridge.Options]
	DescribeEventBus    call[eventbridge.DescribeEventBusInput, eventbridge.DescribeEventBusOutput, eventbridge.Options]
	ListEventBuses      call[eventbridge.ListEventBusesInput, eventbridge.ListEventBusesOutput, eventbridge.Options]
	PutRule             call[eventbridge.PutRuleInput, eventbridge.PutRuleOutput, eventbridge.Options]
	DescribeRule        call[eventbridge.DescribeRuleInput, eventbridge.DescribeRuleOutput, eventbridge.Options]
	ListTargetsByRule   call[eventbridge.ListTargetsByRuleInput, eventbridge.ListTargetsByRuleOutput, eventbridge.Options]
	ListRulesByTarget   call[eventbridge.ListRuleNamesByTargetInput, eventbridge.ListRuleNamesByTargetOutput, eventbridge.Options]
	DeleteRule          call[eventbridge.DeleteRuleInput, eventbridge.DeleteRuleOutput, eventbridge.Options]
	ListRules           call[eventbridge.ListRulesInput, eventbridge.ListRulesOutput, eventbridge.Options]
	PutTargets          call[eventbridge.PutTargetsInput, eventbridge.PutTargetsOutput, eventbridge.Options]
	RemoveTargets       call[eventbridge.RemoveTargetsInput, eventbridge.RemoveTargetsOutput, eventbridge.Options]
	ListTagsForResource call[eventbridge.ListTagsForResourceInput, eventbridge.ListTagsForResourceOutput, eventbridge.Options]
	TagResource         call[eventbridge.TagResourceInput, eventbridge.TagResourceOutput, eventbridge.Options]
}

// SNS holds the calls that leat makes.
type SNS struct {
	PublishBatch              call[sns.PublishBatchInput, sns.PublishBatchOutput, sns.Options]
	GetTopicAttributes        call[sns.GetTopicAttributesInput, sns.GetTopicAttributesOutput, sns.Options]
	Subscribe                 call[sns.SubscribeInput, sns.SubscribeOutput, sns.Options]
	ListSubscriptionsByTopic  call[sns.ListSubscriptionsByTopicInput, sns.ListSubscriptionsByTopicOutput, sns.Options]
	GetSubscriptionAttributes call[sns.GetSubscriptionAttributesInput, sns.GetSubscriptionAttributesOutput, sns.Options]
	SetSubscriptionAttributes call[sns.SetSubscriptionAttributesInput, sns.SetSubscriptionAttributesOutput, sns.Options]
}

type call[In, Out, Options any] func(context.Context, *In, ...func(*Options)) (*Out, error)

// NewSQS makes the client of a queue service.
func NewSQS(cfg sdk.Config) *SQS {
	c := sqs.NewFromConfig(cfg)
	return &SQS{
		GetQueueUrl: c.GetQueueUrl, GetQueueAttributes: c.GetQueueAttributes, ReceiveMessage: c.ReceiveMessage,
		DeleteMessageBatch: c.DeleteMessageBatch, ChangeMessageVisibilityBatch: c.ChangeMessageVisibilityBatch, SendMessageBatch: c.SendMessageBatch,
		CreateQueue: c.CreateQueue, SetQueueAttributes: c.SetQueueAttributes, DeleteQueue: c.DeleteQueue, ListQueues: c.ListQueues,
		ListQueueTags: c.ListQueueTags, TagQueue: c.TagQueue,
	}
}

// NewEventBridge makes the client of a bus.
func NewEventBridge(cfg sdk.Config) *EventBridge {
	c := eventbridge.NewFromConfig(cfg)
	return &EventBridge{
		PutEvents: c.PutEvents, DescribeEventBus: c.DescribeEventBus, ListEventBuses: c.ListEventBuses,
		PutRule: c.PutRule, DeleteRule: c.DeleteRule, ListRules: c.ListRules, PutTargets: c.PutTargets, RemoveTargets: c.RemoveTargets,
		ListTagsForResource: c.ListTagsForResource, TagResource: c.TagResource,
		DescribeRule: c.DescribeRule, ListTargetsByRule: c.ListTargetsByRule, ListRulesByTarget: c.ListRuleNamesByTarget,
	}
}

// NewSNS makes the client of topics.
func NewSNS(cfg sdk.Config) *SNS {
	c := sns.NewFromConfig(cfg)
	return &SNS{
		PublishBatch: c.PublishBatch, GetTopicAttributes: c.GetTopicAttributes, Subscribe: c.Subscribe,
		ListSubscriptionsByTopic: c.ListSubscriptionsByTopic, GetSubscriptionAttributes: c.GetSubscriptionAttributes,
		SetSubscriptionAttributes: c.SetSubscriptionAttributes,
	}
}

// DynamoDB holds the calls that leat makes.
type DynamoDB struct {
	CreateTable   call[dynamodb.CreateTableInput, dynamodb.CreateTableOutput, dynamodb.Options]
	DescribeTable call[dynamodb.DescribeTableInput, dynamodb.DescribeTableOutput, dynamodb.Options]
	// DescribeContinuousBackups and DescribeTimeToLive are for leat doctor.
	DescribeContinuousBackups call[dynamodb.DescribeContinuousBackupsInput, dynamodb.DescribeContinuousBackupsOutput, dynamodb.Options]
	DescribeTimeToLive        call[dynamodb.DescribeTimeToLiveInput, dynamodb.DescribeTimeToLiveOutput, dynamodb.Options]
	GetItem                   call[dynamodb.GetItemInput, dynamodb.GetItemOutput, dynamodb.Options]
	PutItem                   call[dynamodb.PutItemInput, dynamodb.PutItemOutput, dynamodb.Options]
	UpdateItem                call[dynamodb.UpdateItemInput, dynamodb.UpdateItemOutput, dynamodb.Options]
	DeleteItem                call[dynamodb.DeleteItemInput, dynamodb.DeleteItemOutput, dynamodb.Options]
	Query                     call[dynamodb.QueryInput, dynamodb.QueryOutput, dynamodb.Options]
	Scan                      call[dynamodb.ScanInput, dynamodb.ScanOutput, dynamodb.Options]
	BatchGetItem              call[dynamodb.BatchGetItemInput, dynamodb.BatchGetItemOutput, dynamodb.Options]
	BatchWriteItem            call[dynamodb.BatchWriteItemInput, dynamodb.BatchWriteItemOutput, dynamodb.Options]
	TransactWriteItems        call[dynamodb.TransactWriteItemsInput, dynamodb.TransactWriteItemsOutput, dynamodb.Options]
}

// NewDynamoDB makes the client of a database service.
func NewDynamoDB(cfg sdk.Config) *DynamoDB {
	c := dynamodb.NewFromConfig(cfg)
	return &DynamoDB{
		CreateTable: c.CreateTable, DescribeTable: c.DescribeTable, DescribeContinuousBackups: c.DescribeContinuousBackups, DescribeTimeToLive: c.DescribeTimeToLive, GetItem: c.GetItem, PutItem: c.PutItem, UpdateItem: c.UpdateItem,
		DeleteItem: c.DeleteItem, Query: c.Query, Scan: c.Scan, BatchGetItem: c.BatchGetItem, BatchWriteItem: c.BatchWriteItem,
		TransactWriteItems: c.TransactWriteItems,
	}
}
