package sns

import (
	"context"
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
)

var (
	_ config.Permitted = Config{}
	_ config.Deployed  = Config{}
	_ sources.Checker  = Config{}
)

// Check implements sources.Checker: topic, subscription, queue, policy and filter. Where something is missing, the first
// finding has the templates that it takes.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	return fed.Check(ctx, c.connect, env, func(found *feed.Report) []check.Finding {
		return found.Findings(c.Provision, []string{"the topic"}, feed.Templates(c, env.Pipeline))
	})
}

// Permissions implements config.Permitted: reading, looking, and provisioning where that is asked for.
func (c Config) Permissions() []config.Statement {
	c = c.here()
	all := c.reading().Permissions()
	all = append(all, config.Allow("LookAtTheTopic", []string{"sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:GetSubscriptionAttributes"}, c.Topic, c.Topic+":*"))
	if c.Provision {
		all = append(all,
			config.Allow("SubscribeTheQueue", []string{"sns:Subscribe", "sns:SetSubscriptionAttributes"}, c.Topic, c.Topic+":*"),
			c.layout().Rights(c.Settings))
	}
	return all
}

// layout is the queue and what stands beside it. A FIFO queue's undelivered messages go to a FIFO queue.
func (c Config) layout() feed.Layout {
	return feed.Layout{Queue: c.Queue, Visibility: c.Visibility, DeadLetters: c.DeadLetters, Service: service, FIFOUndelivered: true}
}

// CloudFormation implements config.Deployed.
func (c Config) CloudFormation(pipeline string) string {
	var b strings.Builder
	queue, failed, undelivered := c.layout().Templates()
	for _, q := range []feed.Template{queue, failed, undelivered} {
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
`, feed.LogicalID(queue.Name), c.Topic, c.Raw, feed.LogicalID(undelivered.Name))
	if p := c.Filter.Policy; !p.IsZero() {
		fmt.Fprintf(&b, "      FilterPolicy: %s\n      FilterPolicyScope: %s\n", feed.Compact(p.JSON), c.Filter.scope())
	}
	return b.String()
}

// Terraform implements config.Deployed.
func (c Config) Terraform(pipeline string) string {
	var b strings.Builder
	queue, failed, undelivered := c.layout().Templates()
	for _, q := range []feed.Template{queue, failed, undelivered} {
		b.WriteString(q.Terraform(pipeline, fmt.Sprintf("%q", c.Topic)))
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, `resource "aws_sns_topic_subscription" %[1]q {
  topic_arn            = %[2]q
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.%[1]s.arn
  raw_message_delivery = %[3]t
  redrive_policy       = jsonencode({ deadLetterTargetArn = aws_sqs_queue.%[4]s.arn })
`, feed.Label(queue.Name), c.Topic, c.Raw, feed.Label(undelivered.Name))
	if p := c.Filter.Policy; !p.IsZero() {
		fmt.Fprintf(&b, "  filter_policy        = jsonencode(%s)\n  filter_policy_scope  = %q\n", feed.HCL(p.JSON), c.Filter.scope())
	}
	b.WriteString("}\n")
	return b.String()
}
