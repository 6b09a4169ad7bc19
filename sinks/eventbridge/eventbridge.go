// Package eventbridge is a sink that puts events on an EventBridge bus.
//
// An event's source, type, time and data become an entry's source, detail-type, time and detail; its subject is the
// resource where there are no others. EventBridge gives each entry an id of its own and a new one when it comes again,
// so the event's id travels in the detail, at metadata.id unless the detail has one there or id_field says otherwise.
// Delivery is at least once and in no order.
//
// EventBridge takes events for a bus that does not exist and loses them: the bus is looked up before the first event
// and again each minute while events flow.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/entries"
)

func init() { sinks.Register("eventbridge", Open) }

// Config is the sink's YAML.
type Config struct {
	_ struct{} `doc:"puts events on an EventBridge bus"`

	Bus          string `yaml:"bus,omitempty" default:"default" doc:"name or ARN of the bus" example:"orders"`
	aws.Settings `yaml:",inline"`
	Resources    []config.Text `yaml:"resources,omitempty" sees:"event,log" doc:"resources of each event; those that come out empty are left out; default: those it came with, else its subject" example:"[\"arn:shop:order/{{ data.orderId }}\"]"`
	IDField      string        `yaml:"id_field,omitempty" default:"metadata.id" doc:"where in the detail the event's id is put, if nothing is there; none: nowhere"`
	Trace        string        `yaml:"trace,omitempty" default:"AWSTraceHeader" doc:"the entry of the event's metadata that is sent as the X-Ray trace header; none: no header"`
}

// Target implements sinks.Target.
func (c Config) Target() string {
	if c.Bus == "" {
		return defaultBus
	}
	return c.Bus
}

// Place implements config.Place.
func (c Config) Place() string { return c.Settings.BusPlace(c.Bus) }

const (
	defaultBus = "default"
	none       = "none"
)

var (
	busName = regexp.MustCompile(`^[/.\-_A-Za-z0-9]{1,256}$`)
	busARN  = regexp.MustCompile(`^arn:aws[a-z-]*:events:([a-z0-9-]+):[0-9]{12}:event-bus/[/.\-_A-Za-z0-9]{1,256}$`)
)

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Bus != "" && !busName.MatchString(c.Bus) && !busARN.MatchString(c.Bus) {
		return &config.FieldError{Field: "bus", Err: fmt.Errorf("%q is neither a name of letters, digits and . - _ / nor the ARN of a bus", c.Bus)}
	}
	if err := c.Settings.Check(); err != nil {
		return &config.FieldError{Field: "endpoint", Err: err}
	}
	for _, part := range strings.Split(c.IDField, ".") {
		if c.IDField != "" && part == "" {
			return &config.FieldError{Field: "id_field", Err: fmt.Errorf("%q is no path, like metadata.id", c.IDField)}
		}
	}
	return nil
}

// Sink puts events on one bus. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	transport http.RoundTripper // nil: the network
	idPath    []string
	resources *resources // of the config; nil: the event's own

	mu      sync.Mutex
	aws     awssdk.Config
	client  *aws.EventBridge
	checked time.Time // when the bus was there
	blind   bool      // it cannot be looked up
}

// Open makes the sink; it does not connect.
func Open(_ context.Context, c Config, env sinks.Env) (sinks.Sink, error) {
	s := open(c, env, nil)
	if s.resources != nil && s.resources.err != nil {
		return nil, s.resources.err
	}
	return s, nil
}

func open(c Config, env sinks.Env, transport http.RoundTripper) *Sink {
	c.Bus = c.Target()
	if c.IDField == "" {
		c.IDField = "metadata.id"
	}
	if c.Trace == "" {
		c.Trace = "AWSTraceHeader"
	}
	s := &Sink{cfg: c, log: env.Log, now: env.Now, transport: transport}
	if c.IDField != none {
		s.idPath = strings.Split(c.IDField, ".")
	}
	s.resources = newResources(c.Resources)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Write puts the batch on the bus, ten entries in a call. Entries that are throttled or met a fault of the service are
// outages of their own, those that it refuses are poison; what it would refuse anyway is not sent.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("eventbridge: %w", err)
	}
	if len(batch) == 0 {
		return nil
	}
	client, err := s.ready(ctx)
	if err != nil {
		return fmt.Errorf("eventbridge: %w", err)
	}
	return entries.Make("eventbridge", batch, s.entry).SideBySide(limits, func(now []entry) (entries.Answer, error) { return s.put(ctx, client, now) })
}

// put makes one call.
func (s *Sink) put(ctx context.Context, client *aws.EventBridge, now []entry) (answer entries.Answer, err error) {
	in := &eventbridge.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, len(now))}
	for i := range now {
		in.Entries[i] = now[i].Send
	}
	out, err := client.PutEvents(ctx, in)
	if err == nil && len(out.Entries) != len(now) {
		err = fmt.Errorf("%d outcomes for %d entries", len(out.Entries), len(now))
	}
	if err != nil {
		return answer, fmt.Errorf("put %d events: %w", len(now), aws.Explain(err, "bus "+s.cfg.Bus, "events:PutEvents"))
	}
	for i, r := range out.Entries {
		if awssdk.ToString(r.ErrorCode) == "" {
			answer.Took(i)
		} else {
			answer.Refused(i, r.ErrorCode, r.ErrorMessage)
		}
	}
	return answer, nil
}

// checkEvery is how often the bus is looked up.
const checkEvery = time.Minute

// ready gives the client once the bus is known to be there.
func (s *Sink) ready(ctx context.Context) (*aws.EventBridge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		settings := s.cfg.Settings
		if at := busARN.FindStringSubmatch(s.cfg.Bus); at != nil {
			settings.Region = at[1]
		}
		cfg, err := aws.Load(ctx, settings, s.transport, 2*entries.Calls)
		if err != nil {
			return nil, event.Unavailable(0, fmt.Errorf("bus %s: %w", s.cfg.Bus, err))
		}
		s.aws, s.client = cfg, aws.NewEventBridge(cfg)
	}
	if now := s.now(); s.cfg.Bus != defaultBus && !s.blind && (s.checked.IsZero() || now.Sub(s.checked) >= checkEvery) {
		_, err := s.client.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &s.cfg.Bus})
		switch {
		case err == nil:
			s.checked = now
		case aws.NotAllowed(err):
			s.blind = true
			s.log.Warn("eventbridge: cannot see whether the bus exists, and EventBridge loses events for one that does not; allow events:DescribeEventBus", "bus", s.cfg.Bus)
		default:
			return nil, aws.Outage(err, "bus "+s.cfg.Bus, "events:DescribeEventBus")
		}
	}
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

var errNoObject = errors.New("the detail of an event must be a JSON object")
