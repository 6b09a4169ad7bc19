// Package sqs is a sink that sends events to an SQS queue, standard or FIFO.
//
// The body is the event as the forward wrote it; attributes say its id, type and source unless the config names others.
// To a FIFO queue an event goes in the message group of its stream, with its id as the deduplication id, so that a repeat
// within five minutes arrives once; events of one group go one call after another, so none overtakes another. A standard
// queue has events at least once and in no order.
//
// What SQS or a reader would not take (empty bodies and attributes, characters that XML has not, sizes beyond the queue's)
// is poison before it is sent.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/entries"
	"github.com/leatdev/leat/sinks/internal/message"
)

func init() { sinks.Register("sqs", Open) }

// Config is the sink's YAML.
type Config struct {
	_ struct{} `doc:"sends events to an SQS queue"`

	Queue         string `yaml:"queue" doc:"name, URL or ARN of the queue" example:"orders"`
	aws.Settings  `yaml:",inline"`
	Group         config.Expr            `yaml:"group,omitempty" sees:"event,log" doc:"what names the message group; default: the stream (FIFO), none (standard)" example:"data.tenant"`
	Deduplication config.Expr            `yaml:"deduplication,omitempty" sees:"event,log" doc:"FIFO queues: what tells repeats within five minutes; default: the event's id" example:"data.orderId"`
	Delay         time.Duration          `yaml:"delay,omitempty" min:"0s" max:"15m" doc:"how long a message stays hidden at first; standard queues only; whole seconds; default: the queue's own"`
	Attributes    map[string]config.Expr `yaml:"attributes,omitempty" sees:"event,log" doc:"message attributes and what they hold; default: id, type and source" example:"{ tenant: data.tenant }"`
	Watermill     bool                   `yaml:"watermill,omitempty" doc:"adds the event's id as the UUID that subscribers of watermill-aws read"`
}

// Target implements sinks.Target.
func (c Config) Target() string { return c.Queue }

// Place implements config.Place.
func (c Config) Place() string { return c.Settings.Place(c.Queue) }

// Notifying implements config.Notifying.
func (c Config) Notifying() any {
	if c.Attributes == nil {
		c.Attributes = config.NoticeAttributes()
	}
	return c
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	at, err := aws.ParseQueue(c.Queue)
	if err != nil {
		return &config.FieldError{Field: "queue", Err: err}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	switch {
	case c.Delay%time.Second != 0:
		return &config.FieldError{Field: "delay", Err: errors.New("SQS counts whole seconds")}
	case c.Delay > 0 && at.FIFO():
		return &config.FieldError{Field: "delay", Err: errors.New("a FIFO queue delays all its messages alike"), Hint: "set the queue's own DelaySeconds"}
	case !c.Deduplication.IsZero() && !at.FIFO():
		return &config.FieldError{Field: "deduplication", Err: errors.New("a standard queue tells no repeats")}
	}
	if err := c.messages().CheckNames(); err != nil {
		return &config.FieldError{Field: "attributes", Err: err}
	}
	return nil
}

func (c Config) messages() message.Config {
	at, _ := aws.ParseQueue(c.Queue) // Validate has seen it
	return message.Config{Service: "SQS", FIFO: at.FIFO(), Group: c.Group, Deduplication: c.Deduplication, Attributes: c.Attributes, Watermill: c.Watermill}
}

// Sink sends to one queue. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	transport http.RoundTripper // nil: the network
	at        aws.Queue
	messages  *message.Maker

	mu     sync.Mutex
	aws    awssdk.Config
	client *aws.SQS
	queue  *queue // nil: not known yet
}

// queue is what was found of the queue.
type queue struct {
	client  *aws.SQS
	url     string
	maxSize int
}

var (
	_ sinks.Sink    = (*Sink)(nil)
	_ sinks.Partial = (*Sink)(nil)
)

// limits are SQS' own; a message may have as many bytes as all of a call.
var limits = entries.Limits{Entries: 10, Bytes: 1 << 20}

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
	s := &Sink{cfg: c, log: env.Log, transport: transport}
	s.at, _ = aws.ParseQueue(c.Queue) // Validate has seen it
	var err error
	if s.messages, err = message.New(c.messages()); err != nil {
		return nil, err
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// FailsInPart implements sinks.Partial: SQS takes the entries of a call one by one, and a FIFO queue keeps the order in
// which it took them. A standard queue keeps none.
func (s *Sink) FailsInPart() bool { return s.at.FIFO() }

// Write sends the batch, ten messages in a call.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqs: %w", err)
	}
	if len(batch) == 0 {
		return nil
	}
	q, err := s.ready(ctx)
	if err != nil {
		return fmt.Errorf("sqs: %w", err)
	}
	b := entries.Make("sqs", batch, func(e *event.Recorded) (entry, error) { return s.entry(q, e) })
	send := func(now []entry) (entries.Answer, error) { return s.send(ctx, q, now) }
	if s.at.FIFO() {
		return b.InOrder(limits, send)
	}
	return b.SideBySide(limits, send)
}

// send makes one call.
func (s *Sink) send(ctx context.Context, q *queue, now []entry) (answer entries.Answer, err error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: make([]types.SendMessageBatchRequestEntry, len(now))}
	for i := range now {
		in.Entries[i] = now[i].Send
		in.Entries[i].Id = entries.ID(i)
	}
	out, err := q.client.SendMessageBatch(ctx, in)
	if err != nil {
		if aws.KindOf(err) == aws.Missing {
			s.forget()
		}
		return answer, fmt.Errorf("send %d messages: %w", len(now), aws.Explain(err, "queue "+s.cfg.Queue, "sqs:SendMessage"))
	}
	for _, ok := range out.Successful {
		answer.Took(entries.At(ok.Id))
	}
	for _, f := range out.Failed {
		answer.Refused(entries.At(f.Id), f.Code, f.Message)
	}
	return answer, nil
}

// ready makes the client and looks the queue up, until it was found once.
func (s *Sink) ready(ctx context.Context) (*queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		settings := s.cfg.Settings
		if s.at.Region != "" { // an ARN or URL says where the queue is
			settings.Region = s.at.Region
		}
		cfg, err := aws.Load(ctx, settings, s.transport, 2*entries.Calls)
		if err != nil {
			return nil, event.Unavailable(0, fmt.Errorf("queue %s: %w", s.cfg.Queue, err))
		}
		s.aws, s.client = cfg, aws.NewSQS(cfg)
	}
	if s.queue != nil {
		return s.queue, nil
	}
	url := s.at.URL
	if url == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &s.at.Name}
		if s.at.Account != "" {
			in.QueueOwnerAWSAccountId = &s.at.Account
		}
		got, err := s.client.GetQueueUrl(ctx, in)
		if err != nil {
			return nil, aws.Outage(err, "queue "+s.cfg.Queue, "sqs:GetQueueUrl")
		}
		url = *got.QueueUrl
	}
	got, err := s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameMaximumMessageSize}})
	found := &queue{client: s.client, url: url, maxSize: limits.Bytes}
	switch {
	case err == nil:
		if n, err := strconv.Atoi(got.Attributes["MaximumMessageSize"]); err == nil && n > 0 {
			found.maxSize = n
		}
	case aws.NotAllowed(err): // it takes sending, which may be allowed
		s.log.Warn("sqs: cannot read the queue's largest message size; 1 MiB is assumed; allow sqs:GetQueueAttributes", "queue", s.cfg.Queue)
	default:
		return nil, aws.Outage(err, "queue "+s.cfg.Queue, "sqs:GetQueueAttributes")
	}
	s.queue = found
	return found, nil
}

// forget makes the next Write look the queue up again: one that was made anew may have another URL or size.
func (s *Sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = nil
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
