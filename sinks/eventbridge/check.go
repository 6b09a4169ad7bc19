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
	if _, err := s.ready(ctx); err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	if s.blind {
		return []check.Finding{check.Warnf("cannot see whether the bus %s exists, and EventBridge loses events for one that does not", c.Target()).With("allow events:DescribeEventBus")}
	}
	return []check.Finding{check.Okf("the bus %s is there", c.Target())}
}
