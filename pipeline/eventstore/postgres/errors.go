package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/eventstore"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

// ErrSchema says that the database holds something else than this program can use; nothing was changed in it.
var ErrSchema = errors.New("postgres: this is no event store for this program")

// classify gives PostgreSQL's errors the meaning that the contract has for them.
func classify(err error) error {
	if err == nil || errors.Is(err, errUnknown) || errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrCorrupt) {
		return err
	}
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e) && (e.Code == "XX001" || e.Code == "XX002"):
		return fmt.Errorf("%w: %w", eventstore.ErrCorrupt, err)
	case tables.Outage(err):
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	return err
}

// isConstraint reports a broken rule of the schema, or data that the server does not take: the evaluation of units
// should have kept it away.
func isConstraint(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && len(e.Code) == 5 && (e.Code[:2] == "23" || e.Code[:2] == "22" || e.Code[:2] == "54")
}
