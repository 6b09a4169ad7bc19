package putevents

import (
	"context"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: it tells that nobody needs credentials.
func (c Config) Check(context.Context, sources.Env) []check.Finding {
	return []check.Finding{check.Okf("bus %s takes PutEvents from everybody who reaches the listener; signatures are not checked", c.Bus)}
}
