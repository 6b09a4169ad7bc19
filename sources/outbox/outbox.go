// Package outbox is a source that moves what applications have put into an outbox (package pipeline/outbox) into the
// pipeline, in the order of the rows.
//
// An outbox in the database of the pipeline's own store is emptied in the transaction that appends its events: a row is in
// the outbox or in the log, never in both and never in neither. Rows of an outbox in another database are deleted once
// their events are committed; should leat be killed between the two, they are read again and are duplicates, which the
// inbox knows. No transaction of the application is waited for.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/outbox/rows"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("outbox", Open) }

// Config is the source's YAML. With neither Postgres nor SQLite the outbox is that of the pipeline's store.
type Config struct {
	_ struct{} `doc:"takes what applications have written into an outbox, inside their own transactions"`

	Postgres *Postgres `yaml:"postgres,omitempty" doc:"the application's PostgreSQL; without it or sqlite: the database of the pipeline's own store"`
	SQLite   *SQLite   `yaml:"sqlite,omitempty" doc:"the application's SQLite file"`
	Table    string    `yaml:"table,omitempty" doc:"the outbox there, table or schema.table; default: leat_outbox" example:"shop.leat_outbox"`
	Create   bool      `yaml:"create,omitempty" default:"true" doc:"make the table there where it is missing"`
}

// Postgres says where an application's PostgreSQL is.
type Postgres struct {
	DSN config.Secret `yaml:"dsn" doc:"the database: a URL or key=value pairs, as libpq takes them" example:"postgres://shop:secret@db:5432/shop"`
}

// SQLite says where an application's SQLite file is.
type SQLite struct {
	Path string `yaml:"path" doc:"the file" example:"shop.db"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Postgres != nil && c.SQLite != nil {
		return &config.FieldError{Field: "sqlite", Err: errors.New("an outbox is in one database: postgres or sqlite")}
	}
	if c.Table != "" && c.Postgres == nil && c.SQLite == nil {
		return &config.FieldError{Field: "table", Err: errors.New("the store's own outbox is called leat_outbox; table is for postgres and sqlite")}
	}
	if _, err := rows.Quote(c.Table); err != nil {
		return &config.FieldError{Field: "table", Err: err}
	}
	if c.Postgres != nil && !c.Postgres.DSN.IsZero() {
		if _, err := tables.ParseDSN(c.Postgres.DSN.Reveal(), ""); err != nil {
			return &config.FieldError{Field: "postgres", Err: err}
		}
	}
	return nil
}

// box is an outbox that the source has opened.
type box struct {
	eventstore.Outbox
	close func()
}

// Open makes the source; it does not connect.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{env: env}
	switch {
	case c.Postgres != nil:
		s.open = func(ctx context.Context) (box, error) { return openPostgres(ctx, c) }
	case c.SQLite != nil:
		s.open = func(ctx context.Context) (box, error) { return openSQLite(ctx, c) }
	case env.Outbox == nil:
		return nil, errors.New("the pipeline's store has no outbox; say where it is by postgres or sqlite")
	default:
		s.own = true
		s.open = func(context.Context) (box, error) { return box{env.Outbox, func() {}}, nil }
	}
	return s, nil
}

func quoted(table string) (string, error) {
	q, err := rows.Quote(table)
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	return q, nil
}
