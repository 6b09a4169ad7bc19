// Package watermill makes any Watermill publisher a sink:
//
//	type Config struct {
//		Topic string `yaml:"topic" doc:"topic to publish to"`
//	}
//
//	func init() {
//		watermill.Register("nats", func(ctx context.Context, c Config, env sinks.Env) (message.Publisher, string, error) {
//			pub, err := nats.NewPublisher(nats.PublisherConfig{…}, nil)
//			return pub, c.Topic, err
//		})
//	}
//
// An event becomes a message: its body the payload, its id the UUID, and in the metadata type, source, subject and time
// (where it has them), then stream, revision and position (where it comes from a log), then those entries of its own
// metadata that are text and have none of these names. Delivery is at least once; the UUID stays the same.
package watermill

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sinks"
)

// Register notes a sink under the name that the YAML uses; C is the struct that is its YAML. Open makes a publisher of
// the sink's own and names the topic. One that several sinks share is wrapped by Shared. Let C have the method
// Target() string, so that a forward to one topic is told from a forward to another (see sinks.Target).
func Register[C any](name string, open func(ctx context.Context, c C, env sinks.Env) (message.Publisher, string, error)) {
	sinks.Register(name, func(ctx context.Context, c C, env sinks.Env) (sinks.Sink, error) {
		pub, topic, err := open(ctx, c, env)
		if err != nil {
			return nil, err
		}
		return New(pub, topic), nil
	})
}

// Shared is a publisher whose Close does nothing.
func Shared(pub message.Publisher) message.Publisher { return shared{pub} }

type shared struct{ message.Publisher }

func (shared) Close() error { return nil }

// Sink publishes to one topic. It is safe for concurrent use where the publisher is.
type Sink struct {
	pub   message.Publisher
	topic string
}

// New makes a sink of a topic.
func New(pub message.Publisher, topic string) *Sink { return &Sink{pub: pub, topic: topic} }

var _ sinks.Sink = (*Sink)(nil)

// Write publishes the batch in one call. A publisher's errors do not say whose fault they are, so they count as an
// outage and the batch comes again as a whole; a publisher that knows better returns an error of package event.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish to %s: %w", s.topic, err)
	}
	if len(batch) == 0 {
		return nil
	}
	msgs := make([]*message.Message, len(batch))
	for i := range batch {
		msgs[i] = convert(&batch[i])
		msgs[i].SetContext(ctx)
	}
	err := s.pub.Publish(s.topic, msgs...)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("publish %d events to %s: %w", len(batch), s.topic, err)
	_, waits := event.AsRetryAfter(err)
	if _, down := event.AsUnavailable(err); down || waits || event.IsPoison(err) || ctx.Err() != nil {
		return err
	}
	return event.Unavailable(0, err)
}

// Close closes the publisher.
func (s *Sink) Close() error {
	if err := s.pub.Close(); err != nil {
		return fmt.Errorf("close the publisher to %s: %w", s.topic, err)
	}
	return nil
}

// convert makes a message that shares no memory with the batch: a publisher may keep it.
func convert(e *event.Recorded) *message.Message {
	m := message.NewMessage(strings.Clone(e.ID), bytes.Clone(e.Raw))
	if rawjson.KindOf(e.Metadata) == rawjson.KindObject {
		_ = rawjson.Object(e.Metadata, func(key, value []byte) bool {
			if rawjson.KindOf(value) == rawjson.KindString {
				m.Metadata.Set(string(key), strings.Clone(rawjson.Text(value)))
			}
			return true
		})
	}
	set := func(key, value string) {
		if value != "" {
			m.Metadata.Set(key, strings.Clone(value))
		}
	}
	set("type", e.Type)
	set("source", e.Source)
	set("subject", e.Subject)
	if !e.Time.IsZero() {
		set("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	if !e.Stream.IsZero() {
		set("stream", e.Stream.String())
		set("revision", strconv.FormatInt(e.Revision, 10))
		set("position", strconv.FormatInt(e.Position, 10))
	}
	return m
}
