package eventbridge

import (
	"context"

	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: bus, rule, target, queue, policy and pattern. Where something is missing, the first
// finding has the templates that it takes.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	set, err := c.connect(ctx, env)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	defer set.close()
	found, err := set.look(ctx)
	if err != nil {
		return []check.Finding{feed.Finding(err)}
	}
	return found.Findings(c.Provision, []string{"the bus"}, feed.Templates(c, env.Pipeline))
}
