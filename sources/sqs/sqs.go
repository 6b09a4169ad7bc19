// Package sqs is a source that reads an SQS queue, standard or FIFO.
//
// A message is deleted only when its event is settled; until then its visibility is extended from the moment it was
// received, also while it waits for its turn. What is poisoned is settled. What is given back becomes visible again: at once when the pipeline
// stops, else after a wait that grows with its receive count. A message that comes again while the first is still in hand
// is not passed on twice, its newer receipt handle takes the place of the old one.
//
// Where the queue has a dead-letter queue, a message that comes for the last time (its maxReceiveCount-th) is parked
// instead of tried: earlier receives ended without an outcome, a crash perhaps, and the next would take it out of sight.
//
// A body that the SQS or SNS extended client put into S3 is fetched from there, within the size of an event.
//
// FIFO: a message group is a lane of the pipeline (Traits.Lanes), in which its events are handled one after another while
// groups run side by side. What is received of a group goes to the pipeline together, so that a run of it may share a
// commit; what comes later waits until all of that is settled, so that a group that is stuck takes no room from others.
// Where an event is given back, all behind it in its group go back too. This holds across replicas, as SQS locks a group
// while any of it is in flight.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	_ "github.com/leatdev/leat/pipeline/aws/awswatch" // leat tail
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("sqs", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"receives the messages of an SQS queue, in batches, with heartbeats and FIFO groups"`

	Queue        string `yaml:"queue" doc:"name, URL or ARN of the queue; the groups of a FIFO queue keep their order and go side by side, unless order_by says otherwise" example:"orders"`
	aws.Settings `yaml:",inline"`
	Reading      `yaml:",inline"`
}

// Reading says how a queue is read. Sources that are fed by a queue have it too.
type Reading struct {
	Wait       time.Duration `yaml:"wait,omitempty" default:"20s" min:"0s" max:"20s" doc:"how long a receive waits for messages (long polling); whole seconds"`
	Visibility time.Duration `yaml:"visibility,omitempty" min:"1s" max:"12h" doc:"how long a message stays hidden without a sign of leat; extended while it is in hand; whole seconds; default: the queue's own"`
	Receivers  Receivers     `yaml:"receivers,omitempty" doc:"how many receives wait at a time: more while they come back full, fewer while they come back empty"`
	S3         Pointers      `yaml:"s3,omitempty" doc:"messages of the SQS and SNS extended clients, whose body lies in S3"`
}

// Place implements config.Place.
func (c Config) Place() string { return c.Settings.Place(c.Queue) }

// Receivers bounds the receives under way.
type Receivers struct {
	Min int `yaml:"min,omitempty" default:"1" min:"1" max:"100" doc:"at least"`
	Max int `yaml:"max,omitempty" default:"8" min:"1" max:"100" doc:"at most"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	if _, err := aws.ParseQueue(c.Queue); err != nil {
		return &config.FieldError{Field: "queue", Err: err}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	return c.Reading.Validate()
}

// Validate implements config.Validator.
func (r Reading) Validate() error {
	for field, d := range map[string]time.Duration{"wait": r.Wait, "visibility": r.Visibility} {
		if d%time.Second != 0 {
			return &config.FieldError{Field: field, Err: errors.New("SQS counts whole seconds")}
		}
	}
	if r.Receivers.Max != 0 && r.Receivers.Min > r.Receivers.Max {
		return &config.FieldError{Field: "receivers", Err: fmt.Errorf("min %d is above max %d", r.Receivers.Min, r.Receivers.Max)}
	}
	return nil
}

// Source reads one queue.
type Source struct {
	cfg       Config
	env       sources.Env
	log       *slog.Logger
	transport http.RoundTripper // nil: the network
	settling  time.Duration

	aws        awssdk.Config
	client     *aws.SQS
	url        string
	fifo       bool
	content    bool // ContentBasedDeduplication
	visibility time.Duration
	redrive    int // maxReceiveCount; 0: there is no dead-letter queue
	last       int // the receive after which the queue gives a message up; 0: it never does

	objects  *objects
	counts   Counts
	hand     *hand
	settler  *settler
	stop     context.CancelFunc // of receiving
	quit     context.CancelFunc // of everything
	received sync.WaitGroup     // receivers and the sender
	beating  sync.WaitGroup
	closed   bool
}

var _ sources.Source = (*Source)(nil)

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits {
	at, err := aws.ParseQueue(s.cfg.Queue)
	return sources.Traits{Lanes: err == nil && at.FIFO()}
}

// Open makes the source; it does not connect.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	return open(c, env, nil), nil
}

func open(c Config, env sources.Env, transport http.RoundTripper) *Source {
	c.Receivers.Min = max(c.Receivers.Min, 1)
	if c.Receivers.Max == 0 {
		c.Receivers.Max = 8
	}
	c.Receivers.Max = max(c.Receivers.Max, c.Receivers.Min)
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.MaxEvents <= 0 {
		env.MaxEvents = 1000
	}
	if env.MaxBytes <= 0 {
		env.MaxBytes = 1 << 20
	}
	if env.MaxEventSize <= 0 {
		env.MaxEventSize = 1 << 20
	}
	return &Source{cfg: c, env: env, log: env.Log.With("queue", c.Queue), transport: transport, settling: settling}
}

// Subscribe looks the queue up and starts to receive. A queue that is missing or denied, and credentials that are missing
// or refused, are errors here. Once it runs, they are waited for.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	if err := s.find(ctx); err != nil {
		return nil, fmt.Errorf("sqs: %w", err)
	}
	receiving, stop := context.WithCancel(ctx)
	working, quit := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.quit = stop, quit
	s.settler = newSettler(working, s)
	s.hand = newHand(s)
	s.show(s.env.Metrics)
	out := make(chan *message.Message)
	s.beating.Go(func() { s.hand.beat(working) })
	s.received.Go(func() { s.hand.send(receiving, out) })
	pool := &pool{s: s, ctx: receiving}
	pool.start(s.cfg.Receivers.Min)
	return out, nil
}

// find makes the client and reads what the queue says of itself.
func (s *Source) find(ctx context.Context) error {
	at, err := aws.ParseQueue(s.cfg.Queue)
	if err != nil {
		return err
	}
	settings := s.cfg.Settings
	if at.Region != "" { // an ARN or URL says where the queue is
		settings.Region = at.Region
	}
	cfg, err := aws.Load(ctx, settings, s.transport, s.cfg.Receivers.Max+settleCalls+beatCalls)
	if err != nil {
		return aws.AtStart(err, "queue "+s.cfg.Queue, "")
	}
	s.aws, s.client = cfg, aws.NewSQS(cfg)
	s.objects = newObjects(cfg, settings.Endpoint, s.cfg.S3, s.env.MaxEventSize, s.log)
	if s.url = at.URL; s.url == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &at.Name}
		if at.Account != "" {
			in.QueueOwnerAWSAccountId = &at.Account
		}
		got, err := aws.Retry(ctx, settings, func() (*sqs.GetQueueUrlOutput, error) { return s.client.GetQueueUrl(ctx, in) })
		if err != nil {
			return aws.AtStart(err, "queue "+s.cfg.Queue, "sqs:GetQueueUrl")
		}
		s.url = *got.QueueUrl
	}
	got, err := aws.Retry(ctx, settings, func() (*sqs.GetQueueAttributesOutput, error) {
		return s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &s.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	})
	if err != nil {
		return aws.AtStart(err, "queue "+s.cfg.Queue, "sqs:GetQueueAttributes")
	}
	s.fifo = at.FIFO()
	s.content = got.Attributes["ContentBasedDeduplication"] == "true"
	s.visibility = s.cfg.Visibility
	if s.visibility == 0 {
		seconds, _ := strconv.Atoi(got.Attributes["VisibilityTimeout"])
		s.visibility = time.Duration(seconds) * time.Second
	}
	if s.visibility == 0 { // the queue hides nothing: ask for it with each receive
		s.visibility = 30 * time.Second
		s.cfg.Visibility = s.visibility
	}
	s.redrive = redriveAfter(got.Attributes["RedrivePolicy"])
	switch n := s.redrive; {
	case n >= fewestReceives:
		s.last = n
	case n > 0:
		s.log.Warn("sqs: the queue moves messages to its dead-letter queue after very few receives; a broken connection may cost one", "maxReceiveCount", n)
	}
	return nil
}

// fewestReceives is the least maxReceiveCount at which a message that comes for the last time is parked instead of
// tried: below it, an unlucky receive would be enough.
const fewestReceives = 3

var maxReceiveCount = regexp.MustCompile(`"maxReceiveCount"\s*:\s*"?([0-9]+)`)

func redriveAfter(policy string) int {
	m := maxReceiveCount.FindStringSubmatch(policy)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Close gives back what was received and not passed on, and waits until everything settled is deleted, for a while.
func (s *Source) Close() error {
	if s.closed || s.stop == nil {
		return nil
	}
	s.closed = true
	s.stop()
	s.received.Wait()
	left := s.settler.finish(closeWithin)
	s.objects.finish(closeWithin)
	s.quit()
	s.beating.Wait()
	aws.Close(s.aws)
	if left > 0 {
		s.log.Warn("sqs: closed with messages that could not be deleted; they come again and are duplicates then", "messages", left)
	}
	return nil
}

// closeWithin bounds the last deletes. A message that stays comes again, and is known then.
const closeWithin = 10 * time.Second

// Counts says what the source met so far.
func (s *Source) Counts() *Counts { return &s.counts }
