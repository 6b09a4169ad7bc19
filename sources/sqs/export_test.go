package sqs

import (
	"net/http"

	"github.com/leatdev/leat/sources"
)

// OpenOver opens a source whose requests go by a transport of the test's.
func OpenOver(c Config, env sources.Env, transport http.RoundTripper) sources.Source {
	return open(c, env, transport)
}
