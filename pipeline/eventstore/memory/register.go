package memory

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
)

func init() { eventstore.Register("memory", openPlugin) }

// Settings are the backend's YAML: there is nothing to set.
type Settings struct {
	_ struct{} `doc:"keeps everything in memory: gone when the process ends; for tests and tries"`
}

func openPlugin(_ context.Context, _ Settings, env eventstore.Env) (eventstore.Store, error) {
	return Open(Options{Now: env.Now}), nil
}
