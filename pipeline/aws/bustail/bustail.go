// Package bustail watches an EventBridge bus: a temporary rule on the bus feeds a temporary queue, which is read until
// the watcher closes.
//
// It promises to leave nothing behind. What was made is removed in reverse order by Close, also where only half of it
// came to be; each part carries a tag with the time until which its owner lives, renewed while it does, so that Sweep can
// remove what a killed process left, and never anything else. Until then a forgotten queue costs little: it keeps messages
// for five minutes.
//
// Nothing is put on the bus, unless Options.Probe asks for it: others may have rules that take everything.
package bustail

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/watch"
)

// What is made is called Prefix and something random; Tag holds, in RFC 3339, until when its owner lives.
const (
	Prefix = "leat-tail-"
	Tag    = "leat:tail"
)

// Everything is the pattern that every event matches, those of other accounts too.
const Everything = `{"source":[{"prefix":""}]}`

const (
	target    = "leat-tail"
	retention = 5 * time.Minute  // of the queue: what nobody has read by then is gone
	lease     = 15 * time.Minute // a process that has been silent for so long is dead
	renewal   = 5 * time.Minute
	hidden    = 30 * time.Second // what is received comes again unless it is deleted within
	wait      = 20 * time.Second // the longest poll that SQS allows
)

// Options say what to watch.
type Options = watch.BusOptions

// Tail is a watch. Its methods are for one goroutine.
type Tail struct {
	// Name is that of the rule and of the queue; BusARN and RuleARN say where they are.
	Name, BusARN, RuleARN string

	o        Options
	sqs      *aws.SQS
	bus      *aws.EventBridge
	queueURL string
	undo     []undo
	seen     recent
	probe    probe

	stopRenewing context.CancelFunc
	renewing     sync.WaitGroup
}

// undo removes one part; it is there before the part is made, as a call that failed may have made it.
type undo struct {
	what string
	call func(context.Context) error
}

// Message is one event of the bus.
type Message = watch.Event

// Made implements watch.Bus.
func (t *Tail) Made() (name, bus string) { return t.Name, t.BusARN }

var _ watch.Bus = (*Tail)(nil)

// Open makes the rule and the queue. What was made is gone again where it fails. Events that are put within the next few
// seconds may be missed: a new target needs so long to act.
func Open(ctx context.Context, queues *aws.SQS, bus *aws.EventBridge, o Options) (*Tail, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Bus == "" {
		o.Bus = "default"
	}
	t := &Tail{Name: Prefix + o.Now().UTC().Format("20060102T150405Z-") + random(), o: o, sqs: queues, bus: bus}
	t.probe.name = t.Name
	if err := t.setUp(ctx); err != nil {
		undone, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
		defer cancel()
		return nil, errors.Join(err, t.Close(undone))
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stopRenewing = stop
	t.renewing.Go(func() { t.renew(renewing) })
	return t, nil
}

// undoWithin bounds the removal of what a failed Open made.
const undoWithin = 20 * time.Second

func random() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (t *Tail) setUp(ctx context.Context) error {
	var described *eventbridge.DescribeEventBusOutput
	err := again(ctx, func() (err error) {
		described, err = t.bus.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &t.o.Bus})
		return err
	})
	if err != nil {
		return explain(err, "bus "+t.o.Bus, "events:DescribeEventBus")
	}
	t.BusARN = awssdk.ToString(described.Arn)
	pattern, err := t.rulePattern()
	if err != nil {
		return err
	}
	expires := t.o.Now().Add(lease).UTC().Format(time.RFC3339)
	if err := t.makeRule(ctx, pattern, expires); err != nil {
		return err
	}
	queueARN, err := t.makeQueue(ctx, expires)
	if err != nil {
		return err
	}
	return t.makeTarget(ctx, queueARN)
}

// rulePattern is what the rule matches: what was asked for, and the probe where there is one.
func (t *Tail) rulePattern() (string, error) {
	if t.o.Pattern == "" {
		return Everything, nil
	}
	var tight bytes.Buffer // the service counts characters
	if err := json.Compact(&tight, []byte(t.o.Pattern)); err != nil {
		return "", fmt.Errorf("bustail: pattern: %w", err)
	}
	if !t.o.Probe {
		return tight.String(), nil
	}
	return `{"$or":[` + tight.String() + `,` + t.probe.pattern() + `]}`, nil
}

func (t *Tail) makeRule(ctx context.Context, pattern, expires string) error {
	what := "rule " + t.Name + " on bus " + t.o.Bus
	t.undo = append(t.undo, undo{what, func(ctx context.Context) error { return removeRule(ctx, t.bus, t.o.Bus, t.Name) }})
	return explain(again(ctx, func() error {
		out, err := t.bus.PutRule(ctx, &eventbridge.PutRuleInput{
			Name: &t.Name, EventBusName: &t.o.Bus, EventPattern: &pattern, State: ebtypes.RuleStateEnabled,
			Description: awssdk.String("temporary: leat tail watches this bus"),
			Tags:        []ebtypes.Tag{{Key: awssdk.String(Tag), Value: &expires}},
		})
		if err == nil {
			t.RuleARN = awssdk.ToString(out.RuleArn)
		}
		return err
	}), what, "events:PutRule")
}

func (t *Tail) makeQueue(ctx context.Context, expires string) (arn string, err error) {
	what := "queue " + t.Name
	t.undo = append(t.undo, undo{what, func(ctx context.Context) error { return removeQueue(ctx, t.sqs, t.Name, t.queueURL) }})
	err = again(ctx, func() error {
		out, err := t.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: &t.Name, Tags: map[string]string{Tag: expires},
			Attributes: map[string]string{
				"MessageRetentionPeriod": seconds(retention), "SqsManagedSseEnabled": "true",
				"VisibilityTimeout": seconds(hidden), "ReceiveMessageWaitTimeSeconds": seconds(wait),
			},
		})
		if err == nil {
			t.queueURL = awssdk.ToString(out.QueueUrl)
		}
		return err
	})
	if err != nil {
		return "", explain(err, what, "sqs:CreateQueue")
	}
	err = again(ctx, func() error {
		out, err := t.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &t.queueURL, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
		})
		if err == nil {
			arn = out.Attributes["QueueArn"]
		}
		return err
	}, aws.Missing) // a new queue may take a second to be known
	if err != nil {
		return "", explain(err, what, "sqs:GetQueueAttributes")
	}
	policy, err := queuePolicy(arn, t.RuleARN)
	if err != nil {
		return "", err
	}
	return arn, explain(again(ctx, func() error {
		_, err := t.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &t.queueURL, Attributes: map[string]string{"Policy": policy}})
		return err
	}, aws.Missing), what, "sqs:SetQueueAttributes")
}

// queuePolicy lets the rule, and nothing else, send to the queue.
func queuePolicy(queueARN, ruleARN string) (string, error) {
	b, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Sid": "leat-tail", "Effect": "Allow", "Principal": map[string]string{"Service": "events.amazonaws.com"},
			"Action": "sqs:SendMessage", "Resource": queueARN,
			"Condition": map[string]any{"ArnEquals": map[string]string{"aws:SourceArn": ruleARN}},
		}},
	})
	if err != nil {
		return "", fmt.Errorf("bustail: policy: %w", err)
	}
	return string(b), nil
}

// makeTarget joins the two. What cannot be delivered is given up within a minute: after the watch nobody wants it.
func (t *Tail) makeTarget(ctx context.Context, queueARN string) error {
	what := "target of rule " + t.Name
	t.undo = append(t.undo, undo{what, func(ctx context.Context) error { return removeTarget(ctx, t.bus, t.o.Bus, t.Name) }})
	return explain(again(ctx, func() error {
		out, err := t.bus.PutTargets(ctx, &eventbridge.PutTargetsInput{
			Rule: &t.Name, EventBusName: &t.o.Bus,
			Targets: []ebtypes.Target{{Id: awssdk.String(target), Arn: &queueARN, RetryPolicy: &ebtypes.RetryPolicy{
				MaximumEventAgeInSeconds: awssdk.Int32(60), MaximumRetryAttempts: awssdk.Int32(3),
			}}},
		})
		if err == nil && out.FailedEntryCount > 0 {
			f := out.FailedEntries[0]
			err = fmt.Errorf("%s: %s", awssdk.ToString(f.ErrorCode), awssdk.ToString(f.ErrorMessage))
		}
		return err
	}), what, "events:PutTargets")
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// renew moves the expiry on while the watch lasts.
func (t *Tail) renew(ctx context.Context) {
	every := time.NewTicker(renewal)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		expires := t.o.Now().Add(lease).UTC().Format(time.RFC3339)
		err := again(ctx, func() error {
			_, err := t.bus.TagResource(ctx, &eventbridge.TagResourceInput{ResourceARN: &t.RuleARN, Tags: []ebtypes.Tag{{Key: awssdk.String(Tag), Value: &expires}}})
			return err
		})
		if err == nil {
			err = again(ctx, func() error {
				_, err := t.sqs.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &t.queueURL, Tags: map[string]string{Tag: expires}})
				return err
			})
		}
		if err != nil && ctx.Err() == nil {
			t.o.Warn(explain(err, "expiry of rule and queue "+t.Name, "events:TagResource and sqs:TagQueue"))
		}
	}
}

// Close removes what was made, the last first, and says what is left where it cannot. It may be called again.
func (t *Tail) Close(ctx context.Context) error {
	if t.stopRenewing != nil {
		t.stopRenewing()
		t.renewing.Wait()
	}
	var errs []error
	var left []undo
	for i := len(t.undo) - 1; i >= 0; i-- {
		u := t.undo[i]
		if err := again(ctx, func() error { return u.call(ctx) }); err != nil {
			left = append([]undo{u}, left...)
			errs = append(errs, explain(err, u.what+" is left behind", ""))
		}
	}
	t.undo = left
	return errors.Join(errs...)
}
