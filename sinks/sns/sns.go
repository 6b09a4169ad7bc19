// Package sns is a sink that publishes events to an SNS topic, standard or FIFO.
//
// The message is the event as the forward wrote it; attributes, by which subscriptions filter, say its id, type and source
// unless the config names others. To a FIFO topic an event goes in the message group of its stream, with its id as the
// deduplication id, so that a repeat within five minutes arrives once; events of one group go one call after another.
//
// What SNS would not take (sizes, subjects, characters) is poison before it is sent.
package sns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/aside"
)

func init() { sinks.Register("sns", Open) }

// Config is the sink's YAML.
type Config struct {
	_ struct{} `doc:"publishes events to an SNS topic"`

	Topic         string                 `yaml:"topic" doc:"ARN of the topic" example:"arn:aws:sns:eu-west-1:123456789012:orders"`
	Subject       config.Text            `yaml:"subject,omitempty" sees:"event,log" doc:"subject of each message: up to 100 characters of ASCII; e-mail subscriptions show it" example:"{{ type }}"`
	Group         config.Expr            `yaml:"group,omitempty" sees:"event,log" doc:"what names the message group; default: the stream (FIFO), none (standard)" example:"data.tenant"`
	Deduplication config.Expr            `yaml:"deduplication,omitempty" sees:"event,log" doc:"FIFO topics: what tells repeats within five minutes; default: the event's id" example:"data.orderId"`
	Attributes    map[string]config.Expr `yaml:"attributes,omitempty" sees:"event,log" doc:"message attributes and what they hold; default: id, type and source" example:"{ tenant: data.tenant }"`
	Watermill     bool                   `yaml:"watermill,omitempty" doc:"adds the event's id as the UUID that subscribers of watermill-aws read"`
	aws.Settings  `yaml:",inline"`
}

// Target implements sinks.Target.
func (c Config) Target() string { return c.Topic }

// Place implements config.Place.
func (c Config) Place() string { return c.Settings.TopicPlace(c.Topic) }

// Notifying implements config.Notifying.
func (c Config) Notifying() any {
	if c.Attributes == nil {
		c.Attributes = config.NoticeAttributes()
	}
	return c
}

// Permissions implements config.Permitted.
func (c Config) Permissions() []config.Statement {
	return []config.Statement{config.Allow("PublishToTheTopic", []string{"sns:Publish", "sns:GetTopicAttributes"}, c.Topic)}
}

// SNS' limits.
const (
	maxEntries = 10
	maxTotal   = 256 << 10 // bytes of a message and of all messages of a call
	maxSubject = 100
)

var topicARN = regexp.MustCompile(`^arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)

// Validate implements config.Validator.
func (c Config) Validate() error {
	if !topicARN.MatchString(c.Topic) {
		return &config.FieldError{Field: "topic", Err: fmt.Errorf("%q is no ARN of a topic, like arn:aws:sns:eu-west-1:123456789012:orders", c.Topic)}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	names := slices.Sorted(maps.Keys(c.Attributes))
	if c.Watermill {
		names = append(names, aside.WatermillUUID)
	}
	if err := aside.CheckNames(names); err != nil {
		return &config.FieldError{Field: "attributes", Err: err}
	}
	if !c.Deduplication.IsZero() && !c.fifo() {
		return &config.FieldError{Field: "deduplication", Err: errors.New("a standard topic tells no repeats")}
	}
	return nil
}

func (c Config) fifo() bool { return strings.HasSuffix(c.Topic, ".fifo") }

// Sink publishes to one topic. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	transport http.RoundTripper // nil: the network
	form      *form

	mu     sync.Mutex
	aws    awssdk.Config
	client *aws.SNS
	found  bool
}

var (
	_ sinks.Sink    = (*Sink)(nil)
	_ sinks.Partial = (*Sink)(nil)
)

// calls is how many calls are under way for one batch to a standard topic.
const calls = 8

// Open makes the sink; it does not connect.
func Open(_ context.Context, c Config, env sinks.Env) (sinks.Sink, error) {
	s, err := open(c, env, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(c Config, env sinks.Env, transport http.RoundTripper) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	f, err := newForm(&c)
	if err != nil {
		return nil, err
	}
	s := &Sink{cfg: c, log: env.Log, transport: transport, form: f}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// FailsInPart implements sinks.Partial: SNS takes the entries of a call one by one, and a FIFO topic keeps the order in
// which it took them. A standard topic keeps none.
func (s *Sink) FailsInPart() bool { return s.cfg.fifo() }

// Write publishes the batch, ten messages in a call.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sns: %w", err)
	}
	if len(batch) == 0 {
		return nil
	}
	client, err := s.ready(ctx)
	if err != nil {
		return fmt.Errorf("sns: %w", err)
	}
	var outcomes aws.Outcomes
	entries := make([]entry, 0, len(batch))
	for i := range batch {
		e, err := s.form.entry(i, &batch[i])
		if err != nil {
			outcomes.Fail(i, err)
			continue
		}
		entries = append(entries, e)
	}
	if s.cfg.fifo() {
		aside.InOrder(entries, maxEntries, maxTotal,
			func(now []entry) map[int]error { return s.publish(ctx, client, now, &outcomes) },
			func(e entry, err error) { outcomes.Fail(e.index, fmt.Errorf("sns: %w", err)) })
	} else {
		ends := aws.Cut(len(entries), maxEntries, maxTotal, func(i int) int { return entries[i].size })
		aws.Parallel(ends, calls, func(from, to int) { s.publish(ctx, client, entries[from:to], &outcomes) })
	}
	return outcomes.Err(len(batch))
}

// publish makes one call, and gives what failed by index in entries.
func (s *Sink) publish(ctx context.Context, client *aws.SNS, entries []entry, outcomes *aws.Outcomes) map[int]error {
	if len(entries) == 0 {
		return nil
	}
	in := &sns.PublishBatchInput{TopicArn: &s.cfg.Topic, PublishBatchRequestEntries: make([]types.PublishBatchRequestEntry, len(entries))}
	for i := range entries {
		in.PublishBatchRequestEntries[i] = entries[i].publish
		in.PublishBatchRequestEntries[i].Id = awssdk.String(strconv.Itoa(i))
	}
	out, err := client.PublishBatch(ctx, in)
	failed := map[int]error{}
	switch {
	case err != nil && aws.KindOf(err) == aws.Invalid && len(entries) > 1: // one of them is to blame
		for i := range entries {
			for _, err := range s.publish(ctx, client, entries[i:i+1], outcomes) {
				failed[i] = err
			}
		}
		return failed
	case err != nil:
		err = aws.Outcome(fmt.Errorf("sns: publish %d messages: %w", len(entries), aws.Explain(err, "topic "+s.cfg.Topic, "sns:Publish")))
		for i := range entries {
			failed[i] = err
		}
	default:
		var done []int
		for _, ok := range out.Successful {
			done = append(done, at(ok.Id))
		}
		var refused []aside.Failed
		for _, f := range out.Failed {
			refused = append(refused, aside.Failed{At: at(f.Id), Code: awssdk.ToString(f.Code), Message: awssdk.ToString(f.Message)})
		}
		failed = aside.Outcomes("sns", len(entries), done, refused)
	}
	for i, err := range failed {
		outcomes.Fail(entries[i].index, err)
	}
	return failed
}

// at reads the id of an entry, which is its place in the call; -1 where it is none.
func at(id *string) int {
	i, err := strconv.Atoi(awssdk.ToString(id))
	if err != nil {
		return -1
	}
	return i
}

// ready makes the client, and looks the topic up until it was found once.
func (s *Sink) ready(ctx context.Context) (*aws.SNS, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		settings := s.cfg.Settings
		settings.Region = topicARN.FindStringSubmatch(s.cfg.Topic)[1]
		cfg, err := aws.Load(ctx, settings, s.transport, 2*calls)
		if err != nil {
			return nil, event.Unavailable(0, fmt.Errorf("topic %s: %w", s.cfg.Topic, err))
		}
		s.aws, s.client = cfg, aws.NewSNS(cfg)
	}
	if s.found {
		return s.client, nil
	}
	_, err := s.client.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &s.cfg.Topic})
	switch {
	case err == nil:
	case aws.NotAllowed(err):
		s.log.Warn("sns: cannot look at the topic before the first message; allow sns:GetTopicAttributes", "topic", s.cfg.Topic) // publishing may be allowed
	case aws.KindOf(err) == aws.Interrupted:
		return nil, err
	default:
		return nil, event.Unavailable(0, aws.Explain(err, "topic "+s.cfg.Topic, "sns:GetTopicAttributes"))
	}
	s.found = true
	return s.client, nil
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		aws.Close(s.aws)
	}
	return nil
}
