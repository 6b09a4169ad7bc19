package bustail

import (
	"context"
	"errors"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/watch"
)

// Swept says what Sweep did: the names of what it removed, and of what is still in use.
type Swept = watch.Swept

// Sweep removes what killed watches left on the buses named, and their queues; without names, on all buses of the region.
// It touches only what is called and tagged as Open does, and whose time is over.
func Sweep(ctx context.Context, queues *aws.SQS, bus *aws.EventBridge, now time.Time, buses ...string) (s Swept, err error) {
	if len(buses) == 0 {
		if buses, err = Buses(ctx, bus); err != nil {
			return s, err
		}
	}
	var errs []error
	for _, name := range buses {
		errs = append(errs, sweepRules(ctx, bus, name, now, &s))
	}
	errs = append(errs, sweepQueues(ctx, queues, now, &s))
	return s, errors.Join(errs...)
}

// Buses gives the names of a region's buses.
func Buses(ctx context.Context, bus *aws.EventBridge) (names []string, err error) {
	for token := (*string)(nil); ; {
		out, err := bus.ListEventBuses(ctx, &eventbridge.ListEventBusesInput{NextToken: token})
		if err != nil {
			return names, explain(err, "list of buses", "events:ListEventBuses")
		}
		for i := range out.EventBuses {
			names = append(names, awssdk.ToString(out.EventBuses[i].Name))
		}
		if token = out.NextToken; token == nil {
			return names, nil
		}
	}
}

func sweepRules(ctx context.Context, bus *aws.EventBridge, name string, now time.Time, s *Swept) error {
	for token := (*string)(nil); ; {
		out, err := bus.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: &name, NamePrefix: awssdk.String(Prefix), NextToken: token})
		if err != nil {
			return explain(err, "rules of bus "+name, "events:ListRules")
		}
		for i := range out.Rules {
			rule := awssdk.ToString(out.Rules[i].Name)
			tags, err := bus.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: out.Rules[i].Arn})
			if aws.KindOf(err) == aws.Missing && err != nil {
				continue // its owner has just removed it
			}
			if err != nil {
				return explain(err, "tags of rule "+rule, "events:ListTagsForResource")
			}
			expires := ""
			for _, t := range tags.Tags {
				if awssdk.ToString(t.Key) == Tag {
					expires = awssdk.ToString(t.Value)
				}
			}
			if !over(expires, now) {
				alive(s, rule, expires)
				continue
			}
			if err := again(ctx, func() error { return removeTarget(ctx, bus, name, rule) }); err != nil {
				return explain(err, "target of rule "+rule, "events:RemoveTargets")
			}
			if err := again(ctx, func() error { return removeRule(ctx, bus, name, rule) }); err != nil {
				return explain(err, "rule "+rule, "events:DeleteRule")
			}
			s.Rules = append(s.Rules, rule)
		}
		if token = out.NextToken; token == nil {
			return nil
		}
	}
}

func sweepQueues(ctx context.Context, queues *aws.SQS, now time.Time, s *Swept) error {
	for token := (*string)(nil); ; {
		out, err := queues.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: awssdk.String(Prefix), MaxResults: awssdk.Int32(1000), NextToken: token})
		if err != nil {
			return explain(err, "list of queues", "sqs:ListQueues")
		}
		for _, url := range out.QueueUrls {
			name := url[strings.LastIndexByte(url, '/')+1:]
			tags, err := queues.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
			if aws.KindOf(err) == aws.Missing && err != nil {
				continue
			}
			if err != nil {
				return explain(err, "tags of queue "+name, "sqs:ListQueueTags")
			}
			if expires := tags.Tags[Tag]; !over(expires, now) {
				alive(s, name, expires)
				continue
			}
			if err := again(ctx, func() error { return removeQueue(ctx, queues, name, url) }); err != nil {
				return explain(err, "queue "+name, "sqs:DeleteQueue")
			}
			s.Queues = append(s.Queues, name)
		}
		if token = out.NextToken; token == nil {
			return nil
		}
	}
}

// over reports whether a tag is ours and its time is past. What has no such tag is somebody else's, whatever its name.
func over(expires string, now time.Time) bool {
	t, err := time.Parse(time.RFC3339, expires)
	return err == nil && now.After(t)
}

func alive(s *Swept, name, expires string) {
	if expires != "" && (len(s.Alive) == 0 || s.Alive[len(s.Alive)-1] != name) {
		s.Alive = append(s.Alive, name)
	}
}
