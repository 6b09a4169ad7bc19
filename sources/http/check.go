package http

import (
	"context"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: it tells who may send.
func (c Config) Check(context.Context, sources.Env) []check.Finding {
	switch {
	case c.HMAC != nil && len(c.Keys) > 0:
		return []check.Finding{check.Okf("%s takes events with a key and a signature", c.Path)}
	case c.HMAC != nil:
		return []check.Finding{check.Okf("%s takes events with a signature", c.Path)}
	case len(c.Keys) > 0:
		return []check.Finding{check.Okf("%s takes events with one of %d keys", c.Path, len(c.Keys))}
	}
	return []check.Finding{check.Warnf("%s takes events from everybody who reaches the listener", c.Path).With("set keys or hmac (leat describe source http)")}
}
