package eventstore

import (
	"context"
	"time"
)

// Outbox is a store whose own database has an outbox: rows that applications write in transactions of theirs (package
// outbox), and that leat moves into the log. All of it is safe for concurrent use.
type Outbox interface {
	// ReadOutbox gives committed rows in the order of their ids, all but those in but, at most max of them and no more
	// bodies than bytes hold (one row is given whatever it weighs). It waits for no transaction that is still open.
	ReadOutbox(ctx context.Context, but []int64, max, bytes int) ([]OutboxRow, error)
	// DropOutbox removes rows that no unit has taken with it; one that is gone is no fault.
	DropOutbox(ctx context.Context, ids []int64) error
	// WaitOutbox returns when rows may have come since the last ReadOutbox began, at the latest after a few seconds, or
	// with ctx's error.
	WaitOutbox(ctx context.Context) error
}

// OutboxRow is an event that an application has put into the outbox.
type OutboxRow struct {
	// ID orders the rows. Of two that one transaction after another wrote, the later one's is higher.
	ID int64
	// Written is the writer's clock.
	Written time.Time
	// Body is the event in its envelope.
	Body []byte
}
