package eventbridge

import (
	"context"
	"fmt"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
)

// Provision implements fed.Feed: it makes what is missing, in the order in which each needs the other, and says what it did. It does not make the
// bus: a wrong name would make one that nobody puts events on.
func (s *setup) Provision(ctx context.Context) (done []string, err error) {
	if !s.c.Provision {
		return nil, nil
	}
	there, err := s.bus(ctx)
	if err != nil && !feed.IsDenied(err) {
		return nil, err
	}
	if !there {
		return nil, &feed.GoneError{Words: fmt.Sprintf("the bus %s does not exist in this region and account; leat makes no bus, as a mistake in its name would go unseen", s.c.bus())}
	}
	queue, undelivered, err := s.c.layout().Make(ctx, s.queues, &done)
	if err != nil {
		return done, err
	}
	arn, err := s.ensureRule(ctx, &done)
	if err != nil {
		return done, err
	}
	if err := s.queues.LetIn(ctx, &done, service, arn, "the rule "+s.c.rule(), queue, undelivered); err != nil {
		return done, err
	}
	return done, s.ensureTarget(ctx, &done, queue, undelivered)
}

// ensureRule makes the rule, or gives it the pattern of the config. A rule that is disabled stays so: somebody did it.
func (s *setup) ensureRule(ctx context.Context, done *[]string) (arn string, err error) {
	name := s.c.rule()
	r, err := s.rule(ctx, name)
	if err != nil {
		return "", err
	}
	in := &eventbridge.PutRuleInput{
		Name: &name, EventBusName: awssdk.String(s.c.bus()), EventPattern: awssdk.String(string(s.c.Pattern.JSON)), State: types.RuleStateEnabled,
		Description: awssdk.String("feeds the queue " + s.c.Queue + " of leat's pipeline " + s.queues.Owner.Pipeline),
	}
	adopted := false
	if r != nil {
		if feed.Difference(awssdk.ToString(r.EventPattern), string(s.c.Pattern.JSON)) == "" {
			return awssdk.ToString(r.Arn), nil
		}
		if adopted, err = s.owned(ctx, name, awssdk.ToString(r.Arn)); err != nil {
			return "", err
		}
		in.State, in.Description, in.RoleArn = r.State, r.Description, r.RoleArn
	} else {
		in.Tags = s.tags()
	}
	out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.PutRuleOutput, error) { return s.events.PutRule(ctx, in) })
	if err != nil {
		return "", aws.AtStart(err, "rule "+name, "events:PutRule")
	}
	arn = awssdk.ToString(out.RuleArn)
	if r == nil {
		*done = append(*done, "rule "+name)
		return arn, nil
	}
	*done = append(*done, "pattern of rule "+name)
	if adopted {
		return arn, s.tagRule(ctx, name, arn)
	}
	return arn, nil
}

// owned says whether a rule may be changed, and whether it is yet to be tagged.
func (s *setup) owned(ctx context.Context, name, arn string) (adopted bool, err error) {
	out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.ListTagsForResourceOutput, error) {
		return s.events.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: &arn})
	})
	if err != nil {
		return false, aws.AtStart(err, "rule "+name, "events:ListTagsForResource")
	}
	tags := map[string]string{}
	for _, t := range out.Tags {
		tags[awssdk.ToString(t.Key)] = awssdk.ToString(t.Value)
	}
	return s.queues.Owner.Check("rule "+name, tags)
}

func (s *setup) tagRule(ctx context.Context, name, arn string) error {
	_, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.TagResourceOutput, error) {
		return s.events.TagResource(ctx, &eventbridge.TagResourceInput{ResourceARN: &arn, Tags: s.tags()})
	})
	if err != nil {
		return aws.AtStart(err, "rule "+name, "events:TagResource")
	}
	return nil
}

func (s *setup) tags() (tags []types.Tag) {
	for k, v := range s.queues.Owner.Tags() {
		tags = append(tags, types.Tag{Key: &k, Value: &v})
	}
	return tags
}

// ensureTarget makes the queue a target of the rule, with retries and a dead-letter queue. A target that somebody made for
// the queue stays as it is.
func (s *setup) ensureTarget(ctx context.Context, done *[]string, queue, undelivered *feed.Queue) error {
	name := s.c.rule()
	targets, err := s.targets(ctx, name)
	if err != nil {
		return err
	}
	want := types.Target{
		Id: awssdk.String(targetID), Arn: &queue.ARN, DeadLetterConfig: &types.DeadLetterConfig{Arn: &undelivered.ARN},
		RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: awssdk.Int32(int32(s.c.Delivery.Attempts)), MaximumEventAgeInSeconds: awssdk.Int32(int32(s.c.age() / time.Second))},
	}
	if s.c.fifo() {
		want.SqsParameters = &types.SqsParameters{MessageGroupId: awssdk.String(s.c.group())}
	}
	for i := range targets {
		t := &targets[i]
		if awssdk.ToString(t.Arn) != queue.ARN {
			continue
		}
		if awssdk.ToString(t.Id) != targetID || sameTarget(t, &want) {
			return nil
		}
	}
	out, err := aws.Retry(ctx, s.c.Settings, func() (*eventbridge.PutTargetsOutput, error) {
		return s.events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &name, EventBusName: awssdk.String(s.c.bus()), Targets: []types.Target{want}})
	})
	if err != nil {
		return aws.AtStart(err, "rule "+name, "events:PutTargets")
	}
	for _, f := range out.FailedEntries {
		return fmt.Errorf("rule %s: the queue cannot be its target: %s: %s", name, awssdk.ToString(f.ErrorCode), awssdk.ToString(f.ErrorMessage))
	}
	*done = append(*done, fmt.Sprintf("target of rule %s: queue %s", name, queue.Name))
	return nil
}

func sameTarget(a, b *types.Target) bool {
	if a.DeadLetterConfig == nil || awssdk.ToString(a.DeadLetterConfig.Arn) != awssdk.ToString(b.DeadLetterConfig.Arn) {
		return false
	}
	if p, q := a.RetryPolicy, b.RetryPolicy; p == nil || awssdk.ToInt32(p.MaximumRetryAttempts) != awssdk.ToInt32(q.MaximumRetryAttempts) ||
		awssdk.ToInt32(p.MaximumEventAgeInSeconds) != awssdk.ToInt32(q.MaximumEventAgeInSeconds) {
		return false
	}
	group := func(t *types.Target) string {
		if t.SqsParameters == nil {
			return ""
		}
		return awssdk.ToString(t.SqsParameters.MessageGroupId)
	}
	return group(a) == group(b)
}
