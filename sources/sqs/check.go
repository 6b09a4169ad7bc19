package sqs

import (
	"context"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: the queue is there and lets us look at it. Nothing is received: a look would raise
// receive counts.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	s := open(c, env, nil)
	defer func() {
		if s.client != nil {
			aws.Close(s.aws)
		}
	}()
	if err := s.find(ctx); err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	found := []check.Finding{check.Okf("the queue %s is there", c.Queue)}
	switch {
	case s.redrive == 0:
		found = append(found, check.Warnf("the queue %s has no dead-letter queue: what kills leat whenever it comes, comes for ever", c.Queue).With("give it a redrive policy with a maxReceiveCount of 5 or more"))
	case s.redrive < fewestReceives:
		found = append(found, check.Warnf("the queue %s moves messages to its dead-letter queue after %d receives: a broken connection may cost one", c.Queue, s.redrive).With("raise maxReceiveCount to 5 or more"))
	}
	return found
}
