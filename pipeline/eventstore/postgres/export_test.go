package postgres

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// CopyFrom sets from how many events on a commit goes by COPY, until the test ends.
func CopyFrom(t testing.TB, n int) {
	old := copyRows
	copyRows = n
	t.Cleanup(func() { copyRows = old })
}

// Closed reports whether a store was closed.
func Closed(s *Store) bool { return s.queue.Closed() }

// SchemaOf gives the schema of a store.
func SchemaOf(s *Store) string { return s.cfg.Schema }

// RawCopy copies events into the log's table behind a position, and does nothing else that a commit does.
func RawCopy(ctx context.Context, c *pgx.Conn, schema string, behind int, events []event.Event) error {
	b := append([]byte{}, copyHeader...)
	var r row
	st := &plan.Stream{Name: event.Stream{Type: "order", ID: "o-1"}}
	for i := range events {
		n := int64(behind + i + 1)
		r.set(&plan.Write{Stream: st, Event: &events[i], Origin: "p", Revision: n/1000 + 1, Position: n}, time.Unix(1772366400, 0), n%1000)
		b = r.appendCopy(b)
	}
	b = append(b, 0xff, 0xff)
	_, err := c.PgConn().CopyFrom(ctx, bytes.NewReader(b), "COPY "+quote(schema)+".leat_events ("+columns+") FROM STDIN (FORMAT binary)")
	return err
}

// Setting gives a setting of a session that a store opens.
func Setting(t testing.TB, s *Store, name string) (value string) {
	c, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// ForgetBlocks makes followers read the log from the database again.
func ForgetBlocks(s *Store) {
	s.blocks.mu.Lock()
	defer s.blocks.mu.Unlock()
	s.blocks.known, s.blocks.bytes = nil, 0
}
