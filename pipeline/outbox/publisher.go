package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/leatdev/leat/pipeline/outbox/rows"
)

// Options are a Publisher's.
type Options struct {
	// Source is the source of events that name none.
	Source string
	// Table is the outbox, table or schema.table; "": leat_outbox.
	Table string
	// MaxBytes bounds an event as it is written; 0: 1 MiB, which is what a leat pipeline takes unless it says otherwise.
	MaxBytes int
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// TraceParent gives the W3C traceparent of a context, so that a trace goes on in leat; nil: there is none.
	TraceParent func(ctx context.Context) string
}

// Publisher writes events into an outbox. It is safe for concurrent use; transactions are their callers'.
type Publisher struct {
	db DB
	o  Options
}

// New makes a publisher. Publish and PublishBatch write by db.
func New(db DB, o Options) *Publisher {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Publisher{db: db, o: o}
}

// Publish writes an event at once, whatever becomes of any transaction of the caller's.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	return p.write(ctx, p.db, []Message{m})
}

// PublishBatch writes events at once, all or none, in their order.
func (p *Publisher) PublishBatch(ctx context.Context, ms []Message) error {
	return p.write(ctx, p.db, ms)
}

// PublishAfterCommit writes an event inside the caller's transaction: it is published when that commits.
func (p *Publisher) PublishAfterCommit(ctx context.Context, tx DB, m Message) error {
	return p.write(ctx, tx, []Message{m})
}

// PublishBatchAfterCommit writes events inside the caller's transaction, in their order. An event that cannot be
// published (ErrMessage) is found before anything is written, so that the transaction is still good.
func (p *Publisher) PublishBatchAfterCommit(ctx context.Context, tx DB, ms []Message) error {
	return p.write(ctx, tx, ms)
}

func (p *Publisher) write(ctx context.Context, db DB, ms []Message) error {
	if len(ms) == 0 {
		return nil
	}
	if len(ms) > MaxBatch {
		return fmt.Errorf("%w: %d in one batch, %d are allowed", ErrMessage, len(ms), MaxBatch)
	}
	table, err := rows.Quote(p.o.Table)
	if err != nil {
		return err
	}
	ids, bodies, err := p.Encode(ctx, ms)
	if err != nil {
		return err
	}
	if err := db.insert(ctx, table, ids, bodies); err != nil {
		return fmt.Errorf("outbox: write %d events: %w", len(ms), err)
	}
	return nil
}

// Encode gives the ids of events and the bodies that are written for them, for outboxes in databases of other kinds
// (dynamodb is one). A publisher that does nothing else needs no database: New(nil, …).
func (p *Publisher) Encode(ctx context.Context, ms []Message) (ids []string, bodies [][]byte, err error) {
	ids, bodies = make([]string, len(ms)), make([][]byte, len(ms))
	for i, m := range ms {
		if ids[i], bodies[i], err = p.encode(ctx, m); err != nil {
			return nil, nil, err
		}
	}
	return ids, bodies, nil
}
