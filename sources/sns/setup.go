package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
)

// service is the principal that topics send as.
const service = "sns.amazonaws.com"

// setup is a connection by which what feeds the queue is looked at and made.
type setup struct {
	c      Config
	aws    awssdk.Config
	topics *aws.SNS
	queues *feed.Queues
}

// connect implements fed.Connect.
func (c Config) connect(ctx context.Context, env sources.Env) (fed.Feed, error) {
	c = c.here()
	cfg, err := aws.Load(ctx, c.Settings, nil, 4)
	if err != nil {
		return nil, aws.AtStart(err, "topic "+c.Topic, "")
	}
	s := &setup{c: c, aws: cfg, topics: aws.NewSNS(cfg)}
	s.queues = &feed.Queues{Client: aws.NewSQS(cfg), Settings: c.Settings, Owner: feed.Owner{Pipeline: env.Pipeline, Adopt: c.Adopt}}
	return s, nil
}

// Close implements fed.Feed.
func (s *setup) Close() { aws.Close(s.aws) }

// topic reports whether the topic is there. An error of rights leaves it at true.
func (s *setup) topic(ctx context.Context) (bool, error) {
	_, err := aws.Retry(ctx, s.c.Settings, func() (*sns.GetTopicAttributesOutput, error) {
		return s.topics.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &s.c.Topic})
	})
	switch {
	case err == nil:
		return true, nil
	case aws.KindOf(err) == aws.Missing:
		return false, nil
	}
	return true, aws.AtStart(err, "topic "+s.c.Topic, "sns:GetTopicAttributes")
}

// subscription is one of the topic, with its attributes.
type subscription struct {
	arn        string
	attributes map[string]string
}

// subscription finds the one of the queue; nil where there is none.
func (s *setup) subscription(ctx context.Context, queueARN string) (*subscription, error) {
	in := &sns.ListSubscriptionsByTopicInput{TopicArn: &s.c.Topic}
	for {
		out, err := aws.Retry(ctx, s.c.Settings, func() (*sns.ListSubscriptionsByTopicOutput, error) { return s.topics.ListSubscriptionsByTopic(ctx, in) })
		if err != nil {
			return nil, aws.AtStart(err, "topic "+s.c.Topic, "sns:ListSubscriptionsByTopic")
		}
		for i := range out.Subscriptions {
			found := &out.Subscriptions[i]
			if awssdk.ToString(found.Endpoint) != queueARN || awssdk.ToString(found.Protocol) != "sqs" {
				continue
			}
			sub := &subscription{arn: awssdk.ToString(found.SubscriptionArn)}
			if !strings.HasPrefix(sub.arn, "arn:") { // PendingConfirmation
				return sub, nil
			}
			got, err := aws.Retry(ctx, s.c.Settings, func() (*sns.GetSubscriptionAttributesOutput, error) {
				return s.topics.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &sub.arn})
			})
			if err != nil {
				return nil, aws.AtStart(err, "topic "+s.c.Topic, "sns:GetSubscriptionAttributes")
			}
			sub.attributes = got.Attributes
			return sub, nil
		}
		if in.NextToken = out.NextToken; awssdk.ToString(in.NextToken) == "" {
			return nil, nil
		}
	}
}

// Look implements fed.Feed: it finds out whether the topic feeds the queue.
func (s *setup) Look(ctx context.Context) (*feed.Report, error) {
	found := &feed.Report{}
	topic, err := s.topic(ctx)
	switch {
	case feed.IsDenied(err):
		found.Fault("allow sns:GetTopicAttributes", "cannot see whether the topic exists: %v", err)
	case err != nil:
		return nil, err
	case !topic:
		found.Lack("create the topic, or mend its ARN", "the topic %s does not exist", s.c.Topic)
	default:
		found.OK("the topic %s is there", s.c.Topic)
	}
	queue, err := s.queues.Report(ctx, s.c.Queue, found)
	if err != nil || queue == nil || !topic {
		return found, err
	}
	return found, s.lookAtSubscription(ctx, queue, found)
}

func (s *setup) lookAtSubscription(ctx context.Context, queue *feed.Queue, found *feed.Report) error {
	sub, err := s.subscription(ctx, queue.ARN)
	switch {
	case feed.IsDenied(err):
		found.Fault("allow sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes", "cannot see whether the queue is subscribed: %v", err)
		return nil
	case err != nil:
		return err
	case sub == nil:
		found.Lack("subscribe the queue to the topic", "the queue %s is not subscribed to the topic", queue.Name)
		return nil
	case sub.attributes == nil:
		found.Lack("confirm the subscription", "the subscription of the queue %s waits for its confirmation", queue.Name)
		return nil
	}
	if !feed.Allows(queue.Policy(), service, queue.ARN, s.c.Topic) {
		found.Lack("add the statement to the queue's policy", "the policy of the queue %s does not let %s send to it for the topic: every message is lost or goes to the subscription's dead-letter queue", queue.Name, service)
		return nil
	}
	before := len(found.Faults)
	if diff := s.difference(sub); diff != "" {
		found.Fault("deploy the filter of the config, or set provision: true", "the subscription has another filter policy than the config (- deployed, + config):\n%s", diff)
	}
	if sub.attributes["RedrivePolicy"] == "" {
		found.Fault("give the subscription a redrive policy", "the subscription has no dead-letter queue: what the topic cannot deliver is lost")
	}
	if len(found.Faults) == before {
		found.OK("the subscription feeds the queue with the filter of the config")
	}
	return nil
}

// difference says how the deployed filter policy differs from the config's.
func (s *setup) difference(sub *subscription) string {
	deployed := sub.attributes["FilterPolicy"]
	if deployed == "{}" {
		deployed = ""
	}
	diff := feed.Difference(deployed, string(s.c.Filter.Policy.JSON))
	scope := sub.attributes["FilterPolicyScope"]
	if scope == "" {
		scope = "MessageAttributes"
	}
	if want := s.c.Filter.scope(); scope != want && !s.c.Filter.Policy.IsZero() {
		diff = strings.TrimSpace(diff + "\n- scope: " + scope + "\n+ scope: " + want)
	}
	return diff
}

// Provision implements fed.Feed: it makes what is missing, in the order in which each needs the other, and says what it did. It does not make the
// topic: a wrong name would make one that nobody publishes to.
func (s *setup) Provision(ctx context.Context) (done []string, err error) {
	if !s.c.Provision {
		return nil, nil
	}
	there, err := s.topic(ctx)
	if err != nil && !feed.IsDenied(err) {
		return nil, err
	}
	if !there {
		return nil, &feed.GoneError{Words: fmt.Sprintf("the topic %s does not exist; leat makes no topic, as a mistake in its name would go unseen", s.c.Topic)}
	}
	queue, undelivered, err := s.c.layout().Make(ctx, s.queues, &done)
	if err != nil {
		return done, err
	}
	if err := s.queues.LetIn(ctx, &done, service, s.c.Topic, "the topic", queue, undelivered); err != nil {
		return done, err
	}
	sub, err := s.subscription(ctx, queue.ARN)
	if err != nil {
		return done, err
	}
	if sub == nil || sub.attributes == nil {
		return done, s.subscribe(ctx, &done, queue, undelivered)
	}
	return done, s.change(ctx, &done, sub, queue, undelivered)
}

func redrive(arn string) string {
	out, _ := json.Marshal(map[string]string{"deadLetterTargetArn": arn}) // texts always marshal
	return string(out)
}

func (s *setup) subscribe(ctx context.Context, done *[]string, queue, undelivered *feed.Queue) error {
	attributes := map[string]string{"RedrivePolicy": redrive(undelivered.ARN)}
	if s.c.Raw {
		attributes["RawMessageDelivery"] = "true"
	}
	if p := s.c.Filter.Policy; !p.IsZero() {
		attributes["FilterPolicy"], attributes["FilterPolicyScope"] = string(p.JSON), s.c.Filter.scope()
	}
	_, err := aws.Retry(ctx, s.c.Settings, func() (*sns.SubscribeOutput, error) {
		return s.topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &s.c.Topic, Protocol: awssdk.String("sqs"), Endpoint: &queue.ARN, Attributes: attributes, ReturnSubscriptionArn: true})
	})
	if err != nil {
		return aws.AtStart(err, "topic "+s.c.Topic, "sns:Subscribe")
	}
	*done = append(*done, "subscription of queue "+queue.Name)
	return nil
}

// change gives a subscription the filter and form of the config, and a dead-letter queue where it has none. A subscription
// has no tags: it goes with its queue.
func (s *setup) change(ctx context.Context, done *[]string, sub *subscription, queue, undelivered *feed.Queue) error {
	type set struct{ name, value string }
	var all []set
	if s.difference(sub) != "" {
		policy := "{}"
		if p := s.c.Filter.Policy; !p.IsZero() {
			policy = string(p.JSON)
			all = append(all, set{"FilterPolicyScope", s.c.Filter.scope()})
		}
		all = append(all, set{"FilterPolicy", policy})
	}
	if raw := sub.attributes["RawMessageDelivery"] == "true"; raw != s.c.Raw {
		all = append(all, set{"RawMessageDelivery", fmt.Sprint(s.c.Raw)})
	}
	if sub.attributes["RedrivePolicy"] == "" {
		all = append(all, set{"RedrivePolicy", redrive(undelivered.ARN)})
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := s.queues.Owned(ctx, queue); err != nil {
		return err
	}
	for _, a := range all {
		if _, err := aws.Retry(ctx, s.c.Settings, func() (*sns.SetSubscriptionAttributesOutput, error) {
			return s.topics.SetSubscriptionAttributes(ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: &sub.arn, AttributeName: &a.name, AttributeValue: &a.value})
		}); err != nil {
			return aws.AtStart(err, "topic "+s.c.Topic, "sns:SetSubscriptionAttributes")
		}
		*done = append(*done, a.name+" of the subscription")
	}
	return nil
}
