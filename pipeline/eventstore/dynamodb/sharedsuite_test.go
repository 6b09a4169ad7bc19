package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
	"github.com/leatdev/leat/pipeline/table"
)

// named is a store whose streams have UUIDs for ids, whatever its user calls them: so that all of the suite's streams lie in
// the shared table.
type named struct {
	*dynamodb.Store
	names *sync.Map // by UUID
}

var suiteIDs = uuid.MustParse("0d4f8f5e-6d3b-4a68-9f5b-2f6f4c1d8e11")

func (s named) to(name event.Stream) event.Stream {
	if name.Type == "" || name.ID == "" {
		return name
	}
	id := uuid.NewSHA1(suiteIDs, []byte(name.Type+"\x00"+name.ID)).String()
	s.names.Store(id, name.ID)
	return event.Stream{Type: name.Type, ID: id}
}

func (s named) from(name event.Stream) event.Stream {
	if id, ok := s.names.Load(name.ID); ok {
		name.ID = id.(string)
	}
	return name
}

func (s named) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	inner := make([]*eventstore.Unit, len(units))
	for i, u := range units {
		c := *u
		c.Appends = make([]eventstore.Append, len(u.Appends))
		for j, a := range u.Appends {
			a.Stream = s.to(a.Stream)
			c.Appends[j] = a
		}
		if within := u.Within; within != nil {
			c.Within = func(ctx context.Context, tx table.Tx, written []event.Recorded) error {
				for j := range written {
					written[j].Stream = s.from(written[j].Stream)
				}
				return within(ctx, tx, written)
			}
		}
		inner[i] = &c
	}
	err := s.Store.Commit(ctx, inner, o)
	for i, u := range units {
		u.Result = inner[i].Result
		var c *eventstore.ConflictError
		if errors.As(u.Result.Err, &c) {
			u.Result.Err = &eventstore.ConflictError{Stream: s.from(c.Stream), Expected: c.Expected, Actual: c.Actual}
		}
	}
	return err
}

func (s named) events(seq iter.Seq2[*event.Recorded, error]) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		for e, err := range seq {
			if e != nil {
				e.Stream = s.from(e.Stream)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s named) ReadStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return s.events(s.Store.ReadStream(ctx, s.to(name), o))
}

func (s named) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return s.events(s.Store.ReadAll(ctx, o))
}

func (s named) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		for i, err := range s.Store.Updated(ctx, typ, since, most) {
			if i.Stream = s.from(i.Stream); !yield(i, err) {
				return
			}
		}
	}
}

func (s named) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	return func(yield func(eventstore.Page, error) bool) {
		for p, err := range s.Store.Subscribe(ctx, o) {
			for i := range p.Events {
				p.Events[i].Stream = s.from(p.Events[i].Stream)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// TestSharedStore runs the suite with all streams in the shared table, while the daemon looks for what the Lambda writes.
func TestSharedStore(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	name := ""
	f := storetest.Features{
		Durable: true, MaxEvent: 380 << 10, MaxUnit: 50, NoNames: true, PutOutbox: putOutbox(c, func() string { return name }),
	}
	storetest.Run(t, f, func(t *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		name = fmt.Sprintf("leat-%d", tables.Add(1))
		cfg := dynamodb.Config{Client: c, Table: name, Now: now, Shared: sharing(lambdatest.Table(t, c))}
		s := named{openStore(t, cfg), &sync.Map{}}
		return s, func() eventstore.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s.Store = openStore(t, cfg)
			return s
		}
	})
}

// TestSharedLinearizable has two daemons on one log and the shared table, while the service throttles, cancels, and
// loses answers.
func TestSharedLinearizable(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Seed: 11, Throttle: 0.03, Fail: 0.02, Lose: 0.03, Break: 0.03, Conflict: 0.02, Part: 0.3, Skip: 0.05}
	c := client(t, fake(t, plan).URL)
	name, shared := fmt.Sprintf("leat-%d", tables.Add(1)), sharing(lambdatest.Table(t, c))
	names := &sync.Map{}
	var stores []eventstore.Store
	for range 2 {
		stores = append(stores, named{openStore(t, dynamodb.Config{Client: c, Table: name, Shared: shared}), names})
	}
	storetest.Linearizable(t, storetest.Linear{Stores: stores, Alone: true, Histories: 8})
}
