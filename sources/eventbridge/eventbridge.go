// Package eventbridge is a source of the events of an EventBridge bus.
//
// EventBridge cannot be read: a rule on the bus feeds an SQS queue, and leat reads the queue as source sqs does. With
// provision: true leat makes what is missing at the start: the queue, a dead-letter queue for events that the bus cannot
// deliver and one for messages that nobody settles, the queue's policy, the rule, and the target with its retries. It can
// be repeated, and what exists is changed only where it carries leat's tag or is adopted. Without it leat only looks: where
// nothing can ever arrive (no bus, queue or rule, a policy that denies) it does not start and says what is missing; a rule
// that is disabled or has another pattern is named in the log and by `leat doctor`.
//
// The pattern is applied by leat too, before the first step: the queue may be fed by others, a rule may be older than the
// config, and `leat test` knows no bus. What does not match counts as filtered.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
	"github.com/leatdev/leat/sources/sqs"
)

func init() { sources.Register("eventbridge", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"reads the events of an EventBridge bus, through a queue that a rule feeds"`

	Bus          string           `yaml:"bus,omitempty" default:"default" doc:"name or ARN of the bus" example:"orders"`
	Queue        string           `yaml:"queue" doc:"name, URL or ARN of the queue that the rule feeds; to provision: its name" example:"orders-projection"`
	Pattern      config.Pattern   `yaml:"pattern" doc:"which events of the bus the pipeline takes: the rule's event pattern" example:"{ source: [shop] }"`
	Rule         string           `yaml:"rule,omitempty" doc:"name of the rule; default: the queue's name to provision, else any rule of the bus that feeds the queue"`
	Provision    bool             `yaml:"provision,omitempty" doc:"make rule, target, queue, dead-letter queues and policy where they are missing, and keep the rule's pattern as it is here"`
	Adopt        bool             `yaml:"adopt,omitempty" doc:"to provision: change and tag what exists and is not leat's"`
	Delivery     Delivery         `yaml:"delivery,omitempty" doc:"to provision: how the bus delivers to the queue"`
	DeadLetters  feed.DeadLetters `yaml:"dead_letters,omitempty" doc:"to provision: the queues for what goes wrong"`
	Group        string           `yaml:"group,omitempty" doc:"to provision: message group of all events in a FIFO queue; default: leat"`
	aws.Settings `yaml:",inline"`
	sqs.Reading  `yaml:",inline"`
}

// Delivery is the target's retry policy.
type Delivery struct {
	Attempts int           `yaml:"attempts,omitempty" default:"185" min:"0" max:"185" doc:"how often the bus tries again"`
	Age      time.Duration `yaml:"age,omitempty" default:"24h" min:"1m" max:"24h" doc:"how old an event may become before the bus gives it up"`
}

const defaultBus = "default"

var (
	busName  = regexp.MustCompile(`^[/.\-_A-Za-z0-9]{1,256}$`)
	busARN   = regexp.MustCompile(`^arn:aws[a-z-]*:events:([a-z0-9-]+):[0-9]{12}:event-bus/([/.\-_A-Za-z0-9]{1,256})$`)
	ruleName = regexp.MustCompile(`^[.\-_A-Za-z0-9]{1,64}$`)
)

// Place implements config.Place: the bus, as sink eventbridge names it.
func (c Config) Place() string { return c.Settings.BusPlace(c.Bus) }

// Match implements sources.Matching.
func (c Config) Match() config.Pattern { return c.Pattern }

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Bus != "" && !busName.MatchString(c.Bus) && !busARN.MatchString(c.Bus) {
		return &config.FieldError{Field: "bus", Err: fmt.Errorf("%q is neither a name of letters, digits and . - _ / nor the ARN of a bus", c.Bus)}
	}
	if _, err := aws.ParseQueue(c.Queue); err != nil {
		return &config.FieldError{Field: "queue", Err: err}
	}
	if err := c.provisionable(); err != nil {
		return err
	}
	if c.Pattern.IsZero() {
		return &config.FieldError{Field: "pattern", Err: errors.New("is empty"), Hint: `for all events of the bus: pattern: { source: [ { prefix: "" } ] }`}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	return c.Reading.Validate()
}

var _ sources.Matching = Config{}

// Open makes the source; it does not connect.
func Open(ctx context.Context, c Config, env sources.Env) (sources.Source, error) {
	if at := busARN.FindStringSubmatch(c.Bus); at != nil { // an ARN says where the bus is
		c.Region = at[1]
	}
	return fed.Open(ctx, "eventbridge", c.reading(), c.connect, env, "bus", c.bus())
}

// reading is the source of the queue.
func (c Config) reading() sqs.Config {
	return sqs.Config{Queue: c.Queue, Settings: c.Settings, Reading: c.Reading}
}

// bus gives the name of the bus.
func (c Config) bus() string {
	if at := busARN.FindStringSubmatch(c.Bus); at != nil {
		return at[2]
	}
	if c.Bus == "" {
		return defaultBus
	}
	return c.Bus
}
