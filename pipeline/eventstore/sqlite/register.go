package sqlite

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
)

func init() { eventstore.Register("sqlite", openPlugin) }

// Settings are the backend's YAML.
type Settings struct {
	_ struct{} `doc:"one SQLite file in a directory, embedded in the daemon; the default"`

	Dir        string `yaml:"dir" default:"${LEAT_DATA:-./data}" doc:"data directory; it is made where it is missing"`
	Durability string `yaml:"durability,omitempty" default:"full" enum:"full,relaxed" doc:"full: what is acknowledged is on the disk; relaxed: a power cut may take back the last commits"`
}

// Target names the directory.
func (s Settings) Target() string { return s.Dir }

// SchemaSQL gives the statements that make the schema from nothing.
func (Settings) SchemaSQL() string { return Schema() }

func openPlugin(ctx context.Context, s Settings, env eventstore.Env) (eventstore.Store, error) {
	st, err := Open(ctx, Config{Dir: s.Dir, Durability: s.Durability, ReadOnly: env.ReadOnly, Now: env.Now, Logger: env.Log})
	if err != nil {
		return nil, err // not a nil *Store in the interface
	}
	return st, nil
}
