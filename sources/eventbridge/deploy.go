package eventbridge

import (
	"fmt"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/sources/sqs"
)

var (
	_ config.Permitted = Config{}
	_ config.Deployed  = Config{}
)

// Permissions implements config.Permitted: reading, looking, and provisioning where that is asked for.
func (c Config) Permissions() []config.Statement {
	all := sqs.Config{Queue: c.Queue, Settings: c.Settings, Reading: c.Reading}.Permissions()
	rules := c.ARN("events", "*", "rule/")
	if c.Rule != "" || c.Provision {
		name := c.rule()
		if c.bus() != defaultBus {
			name = c.bus() + "/" + name
		}
		rules = c.ARN("events", name, "rule/")
	}
	bus := c.Bus
	if bus == "" {
		bus = defaultBus
	}
	all = append(all,
		config.Allow("LookAtTheBus", []string{"events:DescribeEventBus", "events:ListRuleNamesByTarget"}, c.ARN("events", bus, "event-bus/"), c.ARN("events", "*", "rule/")),
		config.Allow("LookAtTheRule", []string{"events:DescribeRule", "events:ListTargetsByRule"}, rules))
	if c.Provision {
		all = append(all,
			config.Allow("MakeTheRule", []string{"events:PutRule", "events:PutTargets", "events:TagResource", "events:ListTagsForResource"}, rules),
			config.Allow("MakeTheQueues", []string{"sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:ListQueueTags"},
				c.QueueARN(c.Queue), c.QueueARN(c.DeadLetters.UndeliveredOf(c.Queue, false)), c.QueueARN(c.DeadLetters.FailedOf(c.Queue))))
	}
	return all
}

// queues are the three of the source.
func (c Config) queues() []feed.Template {
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	return []feed.Template{
		{Name: at.Name, Visibility: c.Visibility, Dead: c.DeadLetters.FailedOf(c.Queue), Receives: c.DeadLetters.ReceivesOr(), Service: service, Deduplicate: true},
		{Name: c.DeadLetters.FailedOf(c.Queue)},
		{Name: c.DeadLetters.UndeliveredOf(c.Queue, false), Service: service},
	}
}

// CloudFormation implements config.Deployed.
func (c Config) CloudFormation(pipeline string) string {
	var b strings.Builder
	id := feed.LogicalID(c.rule()) + "Rule"
	for _, q := range c.queues() {
		b.WriteString(q.CloudFormation(pipeline, "!GetAtt "+id+".Arn"))
	}
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	fmt.Fprintf(&b, `  %s:
    Type: AWS::Events::Rule
    Properties:
      Name: %s
      EventBusName: %q
      State: ENABLED
      EventPattern: %s
      Targets:
        - Id: %s
          Arn: !GetAtt %sQueue.Arn
          DeadLetterConfig: { Arn: !GetAtt %sQueue.Arn }
          RetryPolicy: { MaximumRetryAttempts: %d, MaximumEventAgeInSeconds: %d }
`, id, c.rule(), c.bus(), feed.Compact(c.Pattern.JSON), targetID, feed.LogicalID(at.Name), feed.LogicalID(c.DeadLetters.UndeliveredOf(c.Queue, false)), c.Delivery.Attempts, int((&setup{c: c}).age()/time.Second))
	if c.fifo() {
		fmt.Fprintf(&b, "          SqsParameters: { MessageGroupId: %q }\n", c.group())
	}
	return b.String()
}

// Terraform implements config.Deployed.
func (c Config) Terraform(pipeline string) string {
	var b strings.Builder
	label := feed.Label(c.rule())
	for _, q := range c.queues() {
		b.WriteString(q.Terraform(pipeline, "aws_cloudwatch_event_rule."+label+".arn"))
		b.WriteString("\n")
	}
	at, _ := aws.ParseQueue(c.Queue) // its form is known
	fmt.Fprintf(&b, `resource "aws_cloudwatch_event_rule" %[1]q {
  name           = %[2]q
  event_bus_name = %[3]q
  event_pattern  = jsonencode(%[4]s)
  tags           = { %[5]q = %[6]q }
}

resource "aws_cloudwatch_event_target" %[1]q {
  rule           = aws_cloudwatch_event_rule.%[1]s.name
  event_bus_name = %[3]q
  target_id      = %[7]q
  arn            = aws_sqs_queue.%[8]s.arn
  dead_letter_config { arn = aws_sqs_queue.%[9]s.arn }
  retry_policy {
    maximum_retry_attempts       = %[10]d
    maximum_event_age_in_seconds = %[11]d
  }
`, label, c.rule(), c.bus(), feed.HCL(c.Pattern.JSON), feed.Tag, pipeline, targetID, feed.Label(at.Name), feed.Label(c.DeadLetters.UndeliveredOf(c.Queue, false)), c.Delivery.Attempts, int((&setup{c: c}).age()/time.Second))
	if c.fifo() {
		fmt.Fprintf(&b, "  sqs_target { message_group_id = %q }\n", c.group())
	}
	b.WriteString("}\n")
	return b.String()
}
