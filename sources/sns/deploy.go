package sns

import (
	"context"
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sqs"
)

var (
	_ config.Permitted = Config{}
	_ config.Deployed  = Config{}
	_ sources.Checker  = Config{}
)

// Check implements sources.Checker: topic, subscription, queue, policy and filter. Where something is missing, the first
// finding has the templates that it takes.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	set, err := c.connect(ctx, env)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	defer set.close()
	found, err := set.look(ctx)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	return found.Findings(c.Provision, []string{"the topic"}, feed.Templates(c, env.Pipeline))
}

// Permissions implements config.Permitted: reading, looking, and provisioning where that is asked for.
func (c Config) Permissions() []config.Statement {
	c = c.here()
	all := sqs.Config{Queue: c.Queue, Settings: c.Settings, Reading: c.Reading}.Permissions()
	all = append(all, config.Allow("LookAtTheTopic", []string{"sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:GetSubscriptionAttributes"}, c.Topic, c.Topic+":*"))
	if c.Provision {
		all = append(all,
			config.Allow("SubscribeTheQueue", []string{"sns:Subscribe", "sns:SetSubscriptionAttributes"}, c.Topic, c.Topic+":*"),
			config.Allow("MakeTheQueues", []string{"sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:ListQueueTags"},
				c.QueueARN(c.Queue), c.QueueARN(c.DeadLetters.UndeliveredOf(c.Queue, c.queueIsFIFO())), c.QueueARN(c.DeadLetters.FailedOf(c.Queue))))
	}
	return all
}

// queues are the three of the source.
func (c Config) queues() []feed.Template {
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	return []feed.Template{
		{Name: at.Name, Visibility: c.Visibility, Dead: c.DeadLetters.FailedOf(c.Queue), Receives: c.DeadLetters.ReceivesOr(), Service: service},
		{Name: c.DeadLetters.FailedOf(c.Queue)},
		{Name: c.DeadLetters.UndeliveredOf(c.Queue, at.FIFO()), Service: service},
	}
}

// CloudFormation implements config.Deployed.
func (c Config) CloudFormation(pipeline string) string {
	var b strings.Builder
	queues := c.queues()
	for _, q := range queues {
		b.WriteString(q.CloudFormation(pipeline, c.Topic))
	}
	fmt.Fprintf(&b, `  %[1]sSubscription:
    Type: AWS::SNS::Subscription
    Properties:
      TopicArn: %[2]s
      Protocol: sqs
      Endpoint: !GetAtt %[1]sQueue.Arn
      RawMessageDelivery: %[3]t
      RedrivePolicy: { deadLetterTargetArn: !GetAtt %[4]sQueue.Arn }
`, feed.LogicalID(queues[0].Name), c.Topic, c.Raw, feed.LogicalID(queues[2].Name))
	if p := c.Filter.Policy; !p.IsZero() {
		fmt.Fprintf(&b, "      FilterPolicy: %s\n      FilterPolicyScope: %s\n", feed.Compact(p.JSON), c.Filter.scope())
	}
	return b.String()
}

// Terraform implements config.Deployed.
func (c Config) Terraform(pipeline string) string {
	var b strings.Builder
	queues := c.queues()
	for _, q := range queues {
		b.WriteString(q.Terraform(pipeline, fmt.Sprintf("%q", c.Topic)))
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, `resource "aws_sns_topic_subscription" %[1]q {
  topic_arn            = %[2]q
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.%[1]s.arn
  raw_message_delivery = %[3]t
  redrive_policy       = jsonencode({ deadLetterTargetArn = aws_sqs_queue.%[4]s.arn })
`, feed.Label(queues[0].Name), c.Topic, c.Raw, feed.Label(queues[2].Name))
	if p := c.Filter.Policy; !p.IsZero() {
		fmt.Fprintf(&b, "  filter_policy        = jsonencode(%s)\n  filter_policy_scope  = %q\n", feed.HCL(p.JSON), c.Filter.scope())
	}
	b.WriteString("}\n")
	return b.String()
}
