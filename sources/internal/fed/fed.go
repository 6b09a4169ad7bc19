// Package fed is a source that reads an SQS queue which something else feeds: a rule of an EventBridge bus, a subscription
// to an SNS topic.
//
// Before the queue is read, its feed is made where it provisions, and looked at. Where nothing can ever arrive the source
// does not start; what only spoils the feed is a warning.
package fed

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sqs"
)

// Feed is a connection to what feeds a queue.
type Feed interface {
	// Provision makes what is missing and says what it did. It does nothing where the config does not ask for it.
	Provision(ctx context.Context) (done []string, err error)
	// Look finds out whether the queue is fed.
	Look(ctx context.Context) (*feed.Report, error)
	Close()
}

// Connect opens the feed of a pipeline's queue.
type Connect func(context.Context, sources.Env) (Feed, error)

// Source reads a queue once it is fed.
type Source struct {
	sources.Source // of the queue
	plugin         string
	connect        Connect
	env            sources.Env
	log            *slog.Logger
}

// Open makes the source for a plugin's name; it does not connect. Log lines have the queue and the pair of from, which
// says what feeds it.
func Open(ctx context.Context, plugin string, queue sqs.Config, connect Connect, env sources.Env, from ...any) (sources.Source, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	q, err := sqs.Open(ctx, queue, env)
	if err != nil {
		return nil, err
	}
	return &Source{Source: q, plugin: plugin, connect: connect, env: env, log: env.Log.With(from...).With("queue", queue.Queue)}, nil
}

// Traits implements sources.Described: those of the queue.
func (s *Source) Traits() sources.Traits { return sources.TraitsOf(s.Source) }

// Subscribe sees that the queue is fed, and starts to read it.
func (s *Source) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s.plugin, err)
	}
	return s.Source.Subscribe(ctx, topic)
}

func (s *Source) ready(ctx context.Context) error {
	f, err := s.connect(ctx, s.env)
	if err != nil {
		return err
	}
	defer f.Close()
	done, err := f.Provision(ctx)
	for _, what := range done {
		s.log.Info(s.plugin+": provisioned", "what", what)
	}
	if err != nil {
		return err
	}
	found, err := f.Look(ctx)
	if err != nil {
		return err
	}
	if err := found.Err(s.plugin); err != nil {
		return err
	}
	for _, fault := range found.Faults {
		s.log.Warn(s.plugin+": "+fault.What, "mend", fault.Mend)
	}
	return nil
}

// Check looks at a feed for doctor; findings turns what was found into words.
func Check(ctx context.Context, connect Connect, env sources.Env, findings func(*feed.Report) []check.Finding) []check.Finding {
	f, err := connect(ctx, env)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	defer f.Close()
	found, err := f.Look(ctx)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	return findings(found)
}
