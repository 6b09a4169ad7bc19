package bustail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leatdev/leat/pipeline/aws"
)

// again makes a call up to five times while it may fare better, with pauses of 0.2 s to 1.6 s; all calls here may be
// repeated.
func again(ctx context.Context, call func() error, also ...aws.Kind) error {
	for n := 0; ; n++ {
		err := call()
		kind := aws.KindOf(err)
		if err == nil || n == 4 || kind != aws.Throttled && kind != aws.Unreachable && !slices.Contains(also, kind) {
			return err
		}
		if !sleep(ctx, 200*time.Millisecond<<n) {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func explain(err error, what, need string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bustail: %w", aws.Explain(err, what, need))
}

// gone takes what is not there for removed.
func gone(err error) error {
	if err != nil && aws.KindOf(err) == aws.Missing {
		return nil
	}
	return err
}

func removeRule(ctx context.Context, bus *aws.EventBridge, on, name string) error {
	_, err := bus.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &name, EventBusName: &on})
	return gone(err)
}

func removeTarget(ctx context.Context, bus *aws.EventBridge, on, rule string) error {
	out, err := bus.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &rule, EventBusName: &on, Ids: []string{target}})
	if err == nil && out.FailedEntryCount > 0 {
		f := out.FailedEntries[0]
		if code := *f.ErrorCode; aws.KindOfCode(code) != aws.Missing {
			err = fmt.Errorf("%s: %s", code, *f.ErrorMessage)
		}
	}
	return gone(err)
}

// removeQueue deletes a queue. Without a URL, as where the call that made it was not answered, it is looked for.
func removeQueue(ctx context.Context, queues *aws.SQS, name, url string) error {
	if url == "" {
		out, err := queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		if err != nil {
			return gone(err)
		}
		url = *out.QueueUrl
	}
	_, err := queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
	return gone(err)
}
