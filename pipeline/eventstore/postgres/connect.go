package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

// roundTrip bounds how long the server is waited for; it is longer than it waits for a lock.
const roundTrip = 30 * time.Second

// connect opens a connection outside the pool.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, s.conf.Copy())
	if err != nil {
		return nil, err
	}
	if err := tables.Durable(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}
