// Package sns is a source of the messages of an SNS topic.
//
// A topic cannot be read: a subscription feeds an SQS queue, and leat reads the queue as source sqs does. With
// provision: true leat makes what is missing at the start: the queue, a dead-letter queue for messages that the topic
// cannot deliver and one for messages that nobody settles, the queue's policy, and the subscription with its filter policy.
// It can be repeated, and what exists is changed only where the queue carries leat's tag or is adopted. Without it leat
// only looks: where nothing can ever arrive (no topic, queue or subscription, a policy that denies) it does not start and
// says what is missing.
//
// Messages come wrapped in SNS' notification, or raw; the events in both are the same. leat does not apply the filter policy
// itself: a step does that where the queue is fed by others.
package sns

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
	"github.com/leatdev/leat/sources/sqs"
)

func init() { sources.Register("sns", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"reads the messages of an SNS topic, through a queue that is subscribed to it"`

	Topic        string           `yaml:"topic" doc:"ARN of the topic" example:"arn:aws:sns:eu-west-1:123456789012:orders"`
	Queue        string           `yaml:"queue" doc:"name, URL or ARN of the queue that is subscribed; to provision: its name" example:"orders-projection"`
	Filter       Filter           `yaml:"filter,omitempty" doc:"which messages of the topic are wanted: the subscription's filter policy; default: all"`
	Raw          bool             `yaml:"raw,omitempty" doc:"to provision: raw message delivery, without SNS' notification around it"`
	Provision    bool             `yaml:"provision,omitempty" doc:"make subscription, queue, dead-letter queues and policy where they are missing, and keep the filter policy as it is here"`
	Adopt        bool             `yaml:"adopt,omitempty" doc:"to provision: change and tag a queue that exists and is not leat's"`
	DeadLetters  feed.DeadLetters `yaml:"dead_letters,omitempty" doc:"to provision: the queues for what goes wrong"`
	aws.Settings `yaml:",inline"`
	sqs.Reading  `yaml:",inline"`
}

// Filter is a subscription's filter policy.
type Filter struct {
	Policy config.Pattern `yaml:"policy,omitempty" doc:"the policy, written like an event pattern" example:"{ tenant: [acme] }"`
	Scope  string         `yaml:"scope,omitempty" default:"attributes" enum:"attributes,body" doc:"what it looks at: message attributes, or the message as JSON"`
}

// scope gives SNS' word for it.
func (f Filter) scope() string {
	if f.Scope == "body" {
		return "MessageBody"
	}
	return "MessageAttributes"
}

var topicARN = regexp.MustCompile(`^arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:([A-Za-z0-9_-]{1,256}(?:\.fifo)?)$`)

// Place implements config.Place.
func (c Config) Place() string { return c.Settings.TopicPlace(c.Topic) }

// Validate implements config.Validator.
func (c Config) Validate() error {
	if !topicARN.MatchString(c.Topic) {
		return &config.FieldError{Field: "topic", Err: fmt.Errorf("%q is no ARN of a topic, like arn:aws:sns:eu-west-1:123456789012:orders", c.Topic)}
	}
	at, err := aws.ParseQueue(c.Queue)
	if err != nil {
		return &config.FieldError{Field: "queue", Err: err}
	}
	if at.FIFO() && !c.fifo() {
		return &config.FieldError{Field: "queue", Err: fmt.Errorf("a standard topic does not deliver to the FIFO queue %s", at.Name)}
	}
	if err := feed.CheckProvision(c.Queue, c.Provision, c.Adopt, c.DeadLetters, at.FIFO()); err != nil {
		return err
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	return c.Reading.Validate()
}

func (c Config) fifo() bool { return strings.HasSuffix(c.Topic, ".fifo") }

// here gives the config with the topic's region: an ARN says where it is.
func (c Config) here() Config {
	if at := topicARN.FindStringSubmatch(c.Topic); at != nil {
		c.Region = at[1]
	}
	return c
}

// Open makes the source; it does not connect.
func Open(ctx context.Context, c Config, env sources.Env) (sources.Source, error) {
	c = c.here()
	return fed.Open(ctx, "sns", c.reading(), c.connect, env, "topic", c.Topic)
}

// reading is the source of the queue.
func (c Config) reading() sqs.Config {
	return sqs.Config{Queue: c.Queue, Settings: c.Settings, Reading: c.Reading}
}
