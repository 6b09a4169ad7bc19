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
	"net/http"
	"regexp"
	"strings"
	"sync"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/entries"
	"github.com/leatdev/leat/sinks/internal/message"
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

// limits are SNS' own; a message may have as many bytes as all of a call.
var limits = entries.Limits{Entries: 10, Bytes: 256 << 10}

var topicARN = regexp.MustCompile(`^arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)

// Validate implements config.Validator.
func (c Config) Validate() error {
	if !topicARN.MatchString(c.Topic) {
		return &config.FieldError{Field: "topic", Err: fmt.Errorf("%q is no ARN of a topic, like arn:aws:sns:eu-west-1:123456789012:orders", c.Topic)}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	if err := c.messages().CheckNames(); err != nil {
		return &config.FieldError{Field: "attributes", Err: err}
	}
	if !c.Deduplication.IsZero() && !c.fifo() {
		return &config.FieldError{Field: "deduplication", Err: errors.New("a standard topic tells no repeats")}
	}
	return nil
}

func (c Config) fifo() bool { return strings.HasSuffix(c.Topic, ".fifo") }

func (c Config) messages() message.Config {
	return message.Config{
		Service: "SNS", FIFO: c.fifo(), Subject: c.Subject, Group: c.Group, Deduplication: c.Deduplication, Attributes: c.Attributes, Watermill: c.Watermill,
	}
}

// Sink publishes to one topic. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	transport http.RoundTripper // nil: the network
	messages  *message.Maker

	mu     sync.Mutex
	aws    awssdk.Config
	client *aws.SNS
	found  bool
}

var (
	_ sinks.Sink    = (*Sink)(nil)
	_ sinks.Partial = (*Sink)(nil)
)

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
	messages, err := message.New(c.messages())
	if err != nil {
		return nil, err
	}
	s := &Sink{cfg: c, log: env.Log, transport: transport, messages: messages}
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
	b := entries.Make("sns", batch, s.entry)
	publish := func(now []entry) (entries.Answer, error) { return s.publish(ctx, client, now) }
	if s.cfg.fifo() {
		return b.InOrder(limits, publish)
	}
	return b.SideBySide(limits, publish)
}

// publish makes one call.
func (s *Sink) publish(ctx context.Context, client *aws.SNS, now []entry) (answer entries.Answer, err error) {
	in := &sns.PublishBatchInput{TopicArn: &s.cfg.Topic, PublishBatchRequestEntries: make([]types.PublishBatchRequestEntry, len(now))}
	for i := range now {
		in.PublishBatchRequestEntries[i] = now[i].Send
		in.PublishBatchRequestEntries[i].Id = entries.ID(i)
	}
	out, err := client.PublishBatch(ctx, in)
	if err != nil {
		return answer, fmt.Errorf("publish %d messages: %w", len(now), aws.Explain(err, "topic "+s.cfg.Topic, "sns:Publish"))
	}
	for _, ok := range out.Successful {
		answer.Took(entries.At(ok.Id))
	}
	for _, f := range out.Failed {
		answer.Refused(entries.At(f.Id), f.Code, f.Message)
	}
	return answer, nil
}

// ready makes the client, and looks the topic up until it was found once.
func (s *Sink) ready(ctx context.Context) (*aws.SNS, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		settings := s.cfg.Settings
		settings.Region = topicARN.FindStringSubmatch(s.cfg.Topic)[1]
		cfg, err := aws.Load(ctx, settings, s.transport, 2*entries.Calls)
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
	default:
		return nil, aws.Outage(err, "topic "+s.cfg.Topic, "sns:GetTopicAttributes")
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
