package postgres_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/table/postgres"
)

// TestOutageErrors are the shapes in which pgx says that a session is gone, and some faults that are none of it.
func TestOutageErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{pgconn.ErrConnClosed, true},
		{fmt.Errorf("failed to deallocate cached statement(s): %w", pgconn.ErrConnClosed), true},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{&pgconn.PgError{Code: "57P01"}, true}, // ended by an administrator
		{&pgconn.PgError{Code: "40001"}, true},
		{&pgconn.PgError{Code: "23505"}, false},
		{&pgconn.PgError{Code: "42601"}, false},
		{context.Canceled, false},
	} {
		if got := postgres.Outage(c.err); got != c.want {
			t.Errorf("Outage(%v) = %v", c.err, got)
		}
	}
}
