package postgres

import (
	"context"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

func init() { eventstore.Register("postgres", openPlugin) }

// Settings are the backend's YAML.
type Settings struct {
	_ struct{} `doc:"a schema in a PostgreSQL database, for several daemons that share the work"`

	DSN         config.Secret `yaml:"dsn" doc:"the database: a URL or key=value pairs, as libpq takes them" example:"postgres://leat:secret@db:5432/shop?sslmode=verify-full"`
	Schema      string        `yaml:"schema,omitempty" default:"leat" doc:"the schema that holds the log and the tables; it is made where it is missing"`
	Connections int           `yaml:"connections,omitempty" default:"8" doc:"connections for reading and for the state of relays, besides one that appends and one that listens"`
}

// Target names the schema; the database is a secret.
func (s Settings) Target() string { return s.Schema }

// SchemaSQL gives the statements that make the schema from nothing.
func (s Settings) SchemaSQL() string { return Schema(s.Schema) }

// Validate implements config.Validator: a DSN that cannot be read is a mistake in the file, seen before anything starts.
func (s Settings) Validate() error {
	if s.DSN.IsZero() {
		return nil // required, or not looked up
	}
	if _, err := tables.ParseDSN(s.DSN.Reveal(), s.Schema); err != nil {
		return &config.FieldError{Field: "dsn", Err: err}
	}
	return nil
}

// openPlugin leaves the clock to the store: the leases of several daemons are by one clock, the database's.
func openPlugin(ctx context.Context, s Settings, env eventstore.Env) (eventstore.Store, error) {
	st, err := Open(ctx, Config{DSN: s.DSN.Reveal(), Schema: s.Schema, Connections: s.Connections, ReadOnly: env.ReadOnly, Logger: env.Log})
	if err != nil {
		return nil, err // not a nil *Store in the interface
	}
	return st, nil
}
