// Package putevents is a source that speaks EventBridge's PutEvents protocol on the daemon's listener, so that the AWS
// CLI and every AWS SDK publish to leat with an endpoint URL:
//
//	aws events put-events --endpoint-url http://127.0.0.1:8087 --entries '[{"Source":"shop","DetailType":"OrderCreated","Detail":"{}"}]'
//
// The daemon embeds one bus for each name that its pipelines use; a pipeline takes what its pattern matches, like a rule.
// The answer comes when every pipeline that took an entry is done with it: what was answered with an EventId is
// committed, delivered, filtered, a duplicate or parked. An entry that no pipeline wants is accepted, as EventBridge
// does; one for a bus that no pipeline uses fails, where EventBridge loses it.
//
// Where the listener asks nobody who he is (on loopback), requests need no credentials and signatures are not looked at.
// Where it has server.auth, requests are signed with one of its keys that has the scope write: the access key id is the
// key's name, the secret access key the key. The header x-api-key and client certificates count too. An EventId is new in each call, so an entry that a client sends again is another event; give it an id of your own in the
// detail and use that as the event's id where this matters.
package putevents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("put_events", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"speaks EventBridge's PutEvents on the daemon's listener, so that the AWS CLI and SDKs publish to leat"`

	Bus     string         `yaml:"bus,omitempty" default:"default" doc:"name of the embedded bus that the pipeline listens to" example:"orders"`
	Pattern config.Pattern `yaml:"pattern,omitempty" doc:"which events of the bus the pipeline takes; default: all"`
}

var busName = regexp.MustCompile(`^[/.\-_A-Za-z0-9]{1,256}$`)

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Bus != "" && !busName.MatchString(c.Bus) {
		return &config.FieldError{Field: "bus", Err: errors.New("a bus is named by letters, digits and . - _ /")}
	}
	return nil
}

// Source is one pipeline that listens to an embedded bus.
type Source struct {
	cfg     Config
	env     sources.Env
	pattern *pattern.Pattern
	buses   *buses
	leave   func()

	in      chan *event.Batch
	stopped chan struct{} // closed when nothing more is taken
	stop    context.CancelFunc
}

var _ sources.Source = (*Source)(nil)

// anything is what a pipeline without a pattern takes: each event has a source.
const anything = `{"source":[{"prefix":""}]}`

// Open makes the source; it does not listen yet.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	if c.Bus == "" {
		c.Bus = defaultBus
	}
	text := c.Pattern.JSON
	if c.Pattern.IsZero() {
		text = []byte(anything)
	}
	p, err := pattern.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	s := &Source{
		cfg: c, env: env, pattern: p, buses: newBuses(env.Log, env.Now),
		in: make(chan *event.Batch), stopped: make(chan struct{}),
	}
	if env.Shared != nil {
		s.buses = env.Shared("sources/put_events", func() any { return s.buses }).(*buses)
	}
	return s, nil
}

// Subscribe puts the pipeline on its bus, and the buses on the daemon's listener.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	if s.env.Mount == nil {
		return nil, errors.New("put_events: there is no listener here")
	}
	ctx, s.stop = context.WithCancel(ctx)
	leave, err := s.buses.join(s)
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("put_events: listen: %w", err)
	}
	s.leave = leave
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		defer close(s.stopped)
		for {
			select {
			case b := <-s.in:
				select {
				case out <- b.Message(context.WithoutCancel(ctx)):
				case <-ctx.Done():
					release(b)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// release gives back what nobody took: its sender is told to try again.
func release(b *event.Batch) {
	for i := range b.Events {
		b.Settle(i, event.Released, errStopping)
	}
}

var errStopping = errors.New("put_events: the pipeline stops")

// Close takes the pipeline off its bus, and the last one the buses off the listener. Until then a pipeline that has
// stopped makes the entries that are for it fail, so that their senders come again.
func (s *Source) Close() error {
	if s.leave == nil {
		return nil
	}
	s.stop()
	<-s.stopped
	s.leave()
	s.leave = nil
	return nil
}
