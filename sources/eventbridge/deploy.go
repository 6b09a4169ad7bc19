package eventbridge

import (
	"fmt"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws/feed"
)

var (
	_ config.Permitted = Config{}
	_ config.Deployed  = Config{}
)

// Permissions implements config.Permitted: reading, looking, and provisioning where that is asked for.
func (c Config) Permissions() []config.Statement {
	all := c.reading().Permissions()
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
			c.layout().Rights(c.Settings))
	}
	return all
}

// layout is the queue and what stands beside it. A FIFO queue tells repeats by their bodies, as the bus gives no id; what the
// bus cannot deliver goes to a standard queue in any case.
func (c Config) layout() feed.Layout {
	return feed.Layout{Queue: c.Queue, Visibility: c.Visibility, DeadLetters: c.DeadLetters, Service: service, Deduplicate: true}
}

// CloudFormation implements config.Deployed.
func (c Config) CloudFormation(pipeline string) string {
	var b strings.Builder
	id := feed.LogicalID(c.rule()) + "Rule"
	queue, failed, undelivered := c.layout().Templates()
	for _, q := range []feed.Template{queue, failed, undelivered} {
		b.WriteString(q.CloudFormation(pipeline, "!GetAtt "+id+".Arn"))
	}
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
`, id, c.rule(), c.bus(), feed.Compact(c.Pattern.JSON), targetID, feed.LogicalID(queue.Name), feed.LogicalID(undelivered.Name), c.Delivery.Attempts, int(c.age()/time.Second))
	if c.fifo() {
		fmt.Fprintf(&b, "          SqsParameters: { MessageGroupId: %q }\n", c.group())
	}
	return b.String()
}

// Terraform implements config.Deployed.
func (c Config) Terraform(pipeline string) string {
	var b strings.Builder
	label := feed.Label(c.rule())
	queue, failed, undelivered := c.layout().Templates()
	for _, q := range []feed.Template{queue, failed, undelivered} {
		b.WriteString(q.Terraform(pipeline, "aws_cloudwatch_event_rule."+label+".arn"))
		b.WriteString("\n")
	}
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
`, label, c.rule(), c.bus(), feed.HCL(c.Pattern.JSON), feed.Tag, pipeline, targetID, feed.Label(queue.Name), feed.Label(undelivered.Name), c.Delivery.Attempts, int(c.age()/time.Second))
	if c.fifo() {
		fmt.Fprintf(&b, "  sqs_target { message_group_id = %q }\n", c.group())
	}
	b.WriteString("}\n")
	return b.String()
}
