// Package watermill makes any Watermill subscriber a source:
//
//	type Config struct {
//		Topic string `yaml:"topic" doc:"topic to read"`
//	}
//
//	func init() {
//		watermill.Register("nats", func(ctx context.Context, c Config, env sources.Env) (message.Subscriber, string, error) {
//			sub, err := nats.NewSubscriber(nats.SubscriberConfig{…}, nil)
//			return sub, c.Topic, err
//		})
//	}
//
// A message is acked when its event is committed, delivered, filtered, a duplicate, dropped or parked, and nacked when
// it is given back. Messages that are there at once travel as one batch, each with its own ack. The payload is the
// event's body, the metadata its metadata, the UUID the transport's id by which a repeat is known.
package watermill

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// Register notes a source under the name that the YAML uses; C is the struct that is its YAML. Open makes a subscriber
// of the source's own and names the topic; it must not connect. One that several sources share is wrapped by Shared.
func Register[C any](name string, open func(ctx context.Context, c C, env sources.Env) (message.Subscriber, string, error)) {
	sources.Register(name, func(ctx context.Context, c C, env sources.Env) (sources.Source, error) {
		sub, topic, err := open(ctx, c, env)
		if err != nil {
			return nil, err
		}
		return New(sub, topic, env), nil
	})
}

// Shared is a subscriber whose Close does nothing.
func Shared(sub message.Subscriber) message.Subscriber { return shared{sub} }

type shared struct{ message.Subscriber }

func (shared) Close() error { return nil }

// Source reads one topic of a subscriber.
type Source struct {
	sub   message.Subscriber
	topic string
	env   sources.Env

	stop    context.CancelFunc // of pulling
	cancel  context.CancelFunc // of the subscription
	msgs    <-chan *message.Message
	stopped chan struct{}
	closed  bool
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
)

// New makes a source of a topic. It has the traits of the subscriber where that is sources.Described.
func New(sub message.Subscriber, topic string, env sources.Env) *Source {
	return &Source{sub: sub, topic: topic, env: env}
}

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits { return sources.TraitsOf(s.sub) }

// Subscribe subscribes to the topic. The subscriber's own context lasts until Close: cancelled earlier, it would make
// many subscribers forget the acks of messages in flight.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	var inner context.Context
	inner, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	msgs, err := s.sub.Subscribe(inner, s.topic)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("subscribe to %s: %w", s.topic, err)
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.msgs, s.stopped = msgs, make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.stopped)
		defer close(out)
		for {
			batch, more := s.gather(ctx)
			if batch == nil {
				return
			}
			select {
			case out <- batch.message(inner):
			case <-ctx.Done():
				batch.nack()
				return
			}
			if !more {
				return
			}
		}
	}()
	return out, nil
}

// gather waits for a message and takes what else is there. More is false where the subscriber has closed its channel.
func (s *Source) gather(ctx context.Context) (b *batch, more bool) {
	select {
	case m, ok := <-s.msgs:
		if !ok {
			return nil, false
		}
		b = &batch{}
		b.add(m, s.env.MaxEventSize)
	case <-ctx.Done():
		return nil, false
	}
	for len(b.msgs) < s.env.MaxEvents && b.size < s.env.MaxBytes {
		select {
		case m, ok := <-s.msgs:
			if !ok {
				return b, false
			}
			b.add(m, s.env.MaxEventSize)
		default:
			return b, true
		}
	}
	return b, true
}

// Close ends the subscription and closes the subscriber. Messages that it still hands out are nacked.
func (s *Source) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var msgs <-chan *message.Message // nil: none to wait for
	if s.stopped != nil {
		s.stop()
		<-s.stopped
		s.cancel()
		msgs = s.msgs
	}
	closed := make(chan error, 1)
	go func() { closed <- s.sub.Close() }()
	for {
		select {
		case m, ok := <-msgs: // some subscribers cannot close while nobody reads
			if !ok {
				msgs = nil
				continue
			}
			m.Nack()
		case err := <-closed:
			if err != nil {
				return fmt.Errorf("close the subscriber of %s: %w", s.topic, err)
			}
			return nil
		}
	}
}

// batch is what travels as one message.
type batch struct {
	msgs   []*message.Message
	events []event.Event
	size   int
}

func (b *batch) add(m *message.Message, limit int) {
	raw := []byte(m.Payload)
	if limit > 0 && len(raw) > limit {
		raw = raw[: limit+1 : limit+1] // too large, which the pipeline says
	}
	b.msgs = append(b.msgs, m)
	b.events = append(b.events, event.Event{Raw: raw, Metadata: metadata(m.Metadata)})
	b.size += len(raw)
}

func metadata(m message.Metadata) []byte {
	kept := make(map[string]string, len(m))
	for k, v := range m {
		if v != "" {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		return nil
	}
	out, _ := json.Marshal(kept) // strings never fail; keys come out in their order
	return out
}

func (b *batch) message(ctx context.Context) *message.Message {
	return (&event.Batch{
		Events: b.events,
		Bytes:  b.size,
		Key:    func(i int) string { return b.msgs[i].UUID },
		OnSettle: func(i int, o event.Outcome, _ error) {
			if o == event.Released {
				b.msgs[i].Nack()
				return
			}
			b.msgs[i].Ack()
		},
	}).Message(context.WithoutCancel(ctx))
}

func (b *batch) nack() {
	for _, m := range b.msgs {
		m.Nack()
	}
}
