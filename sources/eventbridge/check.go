package eventbridge

import (
	"context"

	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/internal/fed"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: bus, rule, target, queue, policy and pattern. Where something is missing, the first
// finding has the templates that it takes.
func (c Config) Check(ctx context.Context, env sources.Env) []check.Finding {
	return fed.Check(ctx, c.connect, env, func(found *feed.Report) []check.Finding {
		return found.Findings(c.Provision, []string{"the bus"}, feed.Templates(c, env.Pipeline))
	})
}
