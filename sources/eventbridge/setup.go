package eventbridge

import (
	"context"
	"slices"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
)

// service is the principal that the bus sends as.
const service = "events.amazonaws.com"

// targetID names leat's target of the rule.
const targetID = "leat"

// setup is a connection by which what feeds the queue is looked at and made.
type setup struct {
	c      Config
	aws    awssdk.Config
	events *aws.EventBridge
	queues *feed.Queues
}

// connect implements fed.Connect.
func (c Config) connect(ctx context.Context, env sources.Env) (fed.Feed, error) {
	if at := busARN.FindStringSubmatch(c.Bus); at != nil {
		c.Region = at[1]
	}
	cfg, err := aws.Load(ctx, c.Settings, nil, 4)
	if err != nil {
		return nil, aws.AtStart(err, "bus "+c.bus(), "")
	}
	s := &setup{c: c, aws: cfg, events: aws.NewEventBridge(cfg)}
	s.queues = &feed.Queues{Client: aws.NewSQS(cfg), Settings: c.Settings, Owner: feed.Owner{Pipeline: env.Pipeline, Adopt: c.Adopt}}
	return s, nil
}

// Close implements fed.Feed.
func (s *setup) Close() { aws.Close(s.aws) }

// Look implements fed.Feed: it finds out whether the bus feeds the queue.
func (s *setup) Look(ctx context.Context) (*feed.Report, error) {
	found := &feed.Report{}
	bus, err := s.bus(ctx)
	switch {
	case feed.IsDenied(err):
		found.Fault("allow events:DescribeEventBus", "cannot see whether the bus %s exists: %v", s.c.bus(), err)
	case err != nil:
		return nil, err
	case !bus:
		found.Lack("create the bus, or mend its name; AWS takes events for a bus that does not exist, and loses them", "the bus %s does not exist in this region and account", s.c.bus())
	default:
		found.OK("the bus %s is there", s.c.bus())
	}
	queue, err := s.queues.Report(ctx, s.c.Queue, found)
	if err != nil || queue == nil || !bus {
		return found, err
	}
	return found, s.lookAtRules(ctx, queue, found)
}

func (s *setup) bus(ctx context.Context) (bool, error) {
	if s.c.bus() == defaultBus {
		return true, nil
	}
	_, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.DescribeEventBusOutput, error) {
		return s.events.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: awssdk.String(s.c.bus())})
	})
	switch {
	case err == nil:
		return true, nil
	case aws.KindOf(err) == aws.Missing:
		return false, nil
	}
	return true, aws.AtStart(err, "bus "+s.c.bus(), "events:DescribeEventBus")
}

// rule is a rule with its target that is the queue.
type rule struct {
	*eventbridge.DescribeRuleOutput
	target *types.Target
}

func (s *setup) lookAtRules(ctx context.Context, queue *feed.Queue, found *feed.Report) error {
	rules, err := s.rulesOf(ctx, queue)
	if feed.IsDenied(err) {
		found.Fault("allow events:ListRuleNamesByTarget, events:DescribeRule and events:ListTargetsByRule", "cannot see which rules feed the queue: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		found.Lack("create the rule and its target", "no rule of the bus %s feeds the queue %s", s.c.bus(), queue.Name)
		return nil
	}
	deaf := len(found.Lacks)
	feeding := 0
	for _, r := range rules {
		name := awssdk.ToString(r.Name)
		if !feed.Allows(queue.Policy(), service, queue.ARN, awssdk.ToString(r.Arn)) {
			found.Lack("add the statement to the queue's policy", "the policy of the queue %s does not let %s send to it for the rule %s: every event is lost or goes to the rule's dead-letter queue", queue.Name, service, name)
			continue
		}
		feeding++
		s.lookAtRule(r, found)
	}
	if feeding > 0 { // another rule gets through: what is wrong is no reason not to start
		found.Pardon(deaf)
	}
	return nil
}

// lookAtRule looks at one that feeds the queue.
func (s *setup) lookAtRule(r rule, found *feed.Report) {
	name := awssdk.ToString(r.Name)
	before := len(found.Faults)
	if r.State == types.RuleStateDisabled {
		found.Fault("aws events enable-rule --name "+name+" --event-bus-name "+s.c.bus(), "the rule %s is disabled: no event comes through it", name)
	}
	if diff := feed.Difference(awssdk.ToString(r.EventPattern), string(s.c.Pattern.JSON)); diff != "" {
		found.Fault("deploy the pattern of the config, or set provision: true", "the rule %s has another pattern than the config (- deployed, + config):\n%s", name, diff)
	}
	t := r.target
	if t == nil {
		return
	}
	if t.Input != nil || t.InputPath != nil || t.InputTransformer != nil {
		found.Fault("let the target send the matched event as it is", "the rule %s sends its target something else than the whole event (Input, InputPath or InputTransformer)", name)
	}
	if t.DeadLetterConfig == nil || awssdk.ToString(t.DeadLetterConfig.Arn) == "" {
		found.Fault("give the target a DeadLetterConfig", "the target of the rule %s has no dead-letter queue: what the bus cannot deliver is lost", name)
	}
	if len(found.Faults) == before {
		found.OK("the rule %s feeds the queue with the pattern of the config", name)
	}
}

// rulesOf gives the rules of the bus that feed the queue: the one that the config names, else all.
func (s *setup) rulesOf(ctx context.Context, queue *feed.Queue) (rules []rule, err error) {
	names := []string{s.c.Rule}
	if s.c.Rule == "" {
		if names, err = s.ruleNames(ctx, queue.ARN); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		r, err := s.rule(ctx, name)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		targets, err := s.targets(ctx, name)
		if err != nil {
			return nil, err
		}
		for i := range targets {
			if awssdk.ToString(targets[i].Arn) == queue.ARN {
				rules = append(rules, rule{r, &targets[i]})
				break
			}
		}
	}
	return rules, nil
}

func (s *setup) ruleNames(ctx context.Context, queueARN string) (names []string, err error) {
	in := &eventbridge.ListRuleNamesByTargetInput{TargetArn: &queueARN, EventBusName: awssdk.String(s.c.bus())}
	for {
		out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.ListRuleNamesByTargetOutput, error) { return s.events.ListRulesByTarget(ctx, in) })
		if err != nil {
			return nil, aws.AtStart(err, "bus "+s.c.bus(), "events:ListRuleNamesByTarget")
		}
		names = append(names, out.RuleNames...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			slices.Sort(names)
			return names, nil
		}
	}
}

// rule gives a rule, nil where there is none.
func (s *setup) rule(ctx context.Context, name string) (*eventbridge.DescribeRuleOutput, error) {
	out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.DescribeRuleOutput, error) {
		return s.events.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &name, EventBusName: awssdk.String(s.c.bus())})
	})
	if err != nil {
		if aws.KindOf(err) == aws.Missing {
			return nil, nil
		}
		return nil, aws.AtStart(err, "rule "+name, "events:DescribeRule")
	}
	return out, nil
}

func (s *setup) targets(ctx context.Context, rule string) ([]types.Target, error) {
	out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.ListTargetsByRuleOutput, error) {
		return s.events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &rule, EventBusName: awssdk.String(s.c.bus())})
	})
	if err != nil {
		return nil, aws.AtStart(err, "rule "+rule, "events:ListTargetsByRule")
	}
	return out.Targets, nil
}
