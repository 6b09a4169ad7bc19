package http

import (
	"context"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/httpclient"
	"github.com/leatdev/leat/sinks"
)

var _ sinks.Checker = Config{}

// Check implements sinks.Checker: the host can be reached, and its certificate holds. No request is sent, as the endpoint
// would take it for an event.
func (c Config) Check(ctx context.Context, _ sinks.Env) []check.Finding {
	return []check.Finding{httpclient.Check(ctx, c.URL.Source, httpclient.Options{Timeout: c.Timeout, AllowPrivate: c.AllowPrivate, CAFile: c.CAFile})}
}
