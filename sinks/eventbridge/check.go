package eventbridge

import (
	"context"

	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sinks"
)

var _ sinks.Checker = Config{}

// Check implements sinks.Checker: what is written to is there. Nothing is sent.
func (c Config) Check(ctx context.Context, env sinks.Env) []check.Finding {
	s := open(c, env, nil)
	defer s.Close()
	_, err := s.ready(ctx)
	if err == nil && s.blind {
		return []check.Finding{check.Warnf("cannot see whether the bus %s exists, and EventBridge loses events for one that does not", c.Target()).With("allow events:DescribeEventBus")}
	}
	return feed.There("bus", c.Target(), err)
}
