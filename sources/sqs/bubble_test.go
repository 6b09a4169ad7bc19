package sqs

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// started is a source that runs on a fake without a network, for use in a synctest bubble.
type started struct {
	*Source
	t    *testing.T
	msgs <-chan *message.Message
	stop context.CancelFunc
}

func start(t *testing.T, cloud *awsfake.Cloud, c Config, log *slog.Logger) *started {
	t.Helper()
	return startIn(t, cloud, c, sources.Env{Log: log})
}

func startIn(t *testing.T, cloud *awsfake.Cloud, c Config, env sources.Env) *started {
	t.Helper()
	if c.Wait == 0 {
		c.Wait = 20 * time.Second
	}
	s := &started{Source: open(c, env, cloud.Transport()), t: t}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	var err error
	if s.msgs, err = s.Subscribe(ctx, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

// next gives the next batch.
func (s *started) next() *event.Batch {
	s.t.Helper()
	select {
	case m, ok := <-s.msgs:
		if !ok {
			s.t.Fatal("the channel is closed")
		}
		return event.FromMessage(m)
	case <-time.After(time.Hour):
		s.t.Fatal("nothing comes within an hour")
		return nil
	}
}

// end stops, gives back what still comes, and closes.
func (s *started) end() {
	s.t.Helper()
	s.stop()
	for m := range s.msgs {
		settle(event.FromMessage(m), event.Released)
	}
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
}

func settle(b *event.Batch, o event.Outcome) {
	for i := range b.Events {
		b.Settle(i, o, nil)
	}
}

// received is a message as the SDK gives it.
func received(id, body string, system map[string]string) *types.Message {
	return &types.Message{MessageId: &id, ReceiptHandle: &id, Body: &body, Attributes: system}
}
