package memory

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
)

func init() { eventstore.Register("memory", openPlugin) }

// Settings are the backend's YAML: there is nothing to set.
type Settings struct{}

func openPlugin(_ context.Context, _ Settings, env eventstore.Env) (eventstore.Store, error) {
	return Open(Options{Now: env.Now}), nil
}
