package sqs

import (
	"context"

	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sinks"
)

var _ sinks.Checker = Config{}

// Check implements sinks.Checker: what is written to is there. Nothing is sent.
func (c Config) Check(ctx context.Context, env sinks.Env) []check.Finding {
	s, err := open(c, env, nil)
	if err != nil {
		return []check.Finding{check.Problemf("%v", err)}
	}
	defer s.Close()
	_, err = s.ready(ctx)
	return feed.There("queue", c.Queue, err)
}
