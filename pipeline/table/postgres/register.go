package postgres

import (
	"context"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/table"
)

func init() { table.Register("postgres", openPlugin) }

// Settings are the YAML of a database.
type Settings struct {
	_ struct{} `doc:"tables in a schema of a PostgreSQL database"`

	DSN    config.Secret `yaml:"dsn" doc:"the database: a URL or key=value pairs, as libpq takes them" example:"postgres://leat:secret@db:5432/reporting?sslmode=verify-full"`
	Schema string        `yaml:"schema,omitempty" default:"leat" doc:"the schema that holds the tables; it is made where it is missing"`
}

// Target names the schema; the database is a secret.
func (s Settings) Target() string { return s.Schema }

// Validate implements config.Validator: a DSN that cannot be read is a mistake in the file, seen before anything starts.
func (s Settings) Validate() error {
	if s.DSN.IsZero() {
		return nil // required, or not looked up
	}
	if _, err := ParseDSN(s.DSN.Reveal(), s.Schema); err != nil {
		return &config.FieldError{Field: "dsn", Err: err}
	}
	return nil
}

func openPlugin(ctx context.Context, s Settings) (table.Database, error) {
	d, err := Open(ctx, s.DSN.Reveal(), s.Schema)
	if err != nil {
		return nil, err // not a nil *Database in the interface
	}
	return d, nil
}

// OpenReading implements table.Readable.
func (s Settings) OpenReading(ctx context.Context) (table.Database, error) {
	d, err := OpenReading(ctx, s.DSN.Reveal(), s.Schema)
	if err != nil {
		return nil, err
	}
	return d, nil
}
