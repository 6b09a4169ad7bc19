package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// Swaps has callers append over one or several stores on one log while a table that their own transactions write is built
// anew again and again. Each row counts the events of a stream: one that is missing or there twice shows. Each caller appends
// at least so many events, and goes on until the last swap is done.
func Swaps(t *testing.T, stores []eventstore.Store, appends, swaps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	head, err := stores[0].Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	def := table.Def{Name: "counts", Version: 1, Key: []string{"stream"}, Columns: []table.Column{{Name: "stream", Type: table.Text}, {Name: "n", Type: table.Integer}}}
	ensure := func(s eventstore.Store) (table.Def, error) {
		d := def.Clone()
		info, err := s.Tables().Ensure(ctx, &d, "d", "inline", head.LogID)
		d.Build = info.Def.Build
		return d, err
	}
	if _, err := ensure(stores[0]); err != nil {
		t.Fatal(err)
	}
	done, appended := make(chan struct{}), make(chan struct{}, 1000)
	var callers sync.WaitGroup
	const each = 3
	for i, s := range stores {
		for c := range each {
			callers.Go(func() {
				d, err := ensure(s)
				if err != nil {
					t.Error(err)
					return
				}
				for n, over := 0, false; n < appends || !over; n++ {
					select {
					case <-done:
						over = true
					default:
					}
					name := event.Stream{Type: "count", ID: fmt.Sprint((i*each + c + n) % (2 * each))}
					u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: name, Expect: eventstore.Any, Events: []event.Event{{ID: fmt.Sprintf("%d-%d-%d", i, c, n), Type: "T", Data: []byte("{}")}}}}}
					for {
						now := d
						u.Within = func(ctx context.Context, tx table.Tx, written []event.Recorded) error {
							return count(ctx, tx, &now, written)
						}
						err := s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{})
						if err == nil && u.Result.Status == eventstore.Refused && errors.Is(u.Result.Err, table.ErrFenced) {
							if d, err = ensure(s); err == nil {
								continue
							}
						}
						if err != nil || u.Result.Status != eventstore.Done {
							t.Errorf("append: %v, %+v", err, u.Result)
							cancel()
							return
						}
						break
					}
					select {
					case appended <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	for n := range swaps {
		for range each * len(stores) * appends / (swaps + 1) {
			select {
			case <-appended:
			case <-ctx.Done():
			}
		}
		if err := countAnew(ctx, stores[n%len(stores)], ensure, head.LogID, int64(n+1)); err != nil {
			t.Errorf("swap %d: %v", n, err)
			break
		}
	}
	close(done)
	callers.Wait()
	want := map[string]int64{}
	for e, err := range stores[0].ReadAll(ctx, eventstore.ReadOptions{Filter: eventstore.Filter{StreamTypes: []string{"count"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		want[e.Stream.String()]++
	}
	d, err := ensure(stores[0])
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row, err := range stores[0].Tables().Scan(ctx, &d, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		if n, _ := row[1].(*apd.Decimal).Int64(); n != want[row[0].(string)] {
			t.Errorf("%s: %d events are counted, there are %d", row[0], n, want[row[0].(string)])
		}
	}
	if rows != len(want) {
		t.Errorf("%d rows for %d streams", rows, len(want))
	}
	all, err := stores[0].Tables().Tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if !i.Live {
			t.Errorf("it is left behind: %+v", i)
		}
	}
}

// count adds events to the rows of their streams.
func count(ctx context.Context, rows table.Tx, d *table.Def, events []event.Recorded) error {
	w, err := counted(ctx, rows, d, events)
	if err != nil {
		return err
	}
	return rows.Write(ctx, d, w, nil)
}

func counted(ctx context.Context, rows table.Reader, d *table.Def, events []event.Recorded) ([]table.Row, error) {
	more := map[string]int64{}
	var keys []table.Row
	for i := range events {
		s := events[i].Stream.String()
		if more[s] == 0 {
			keys = append(keys, table.Row{s})
		}
		more[s]++
	}
	now, err := rows.Load(ctx, d, keys)
	if err != nil {
		return nil, err
	}
	for i, row := range now {
		n := int64(0)
		if row != nil {
			n, _ = row[1].(*apd.Decimal).Int64()
		}
		s := keys[i][0].(string)
		now[i] = table.Row{s, apd.New(n+more[s], 0)}
	}
	return now, nil
}

// countAnew builds the table once more.
func countAnew(ctx context.Context, s eventstore.Store, ensure func(eventstore.Store) (table.Def, error), logID string, epoch int64) error {
	live, err := ensure(s)
	if err != nil {
		return err
	}
	info, err := s.Tables().Rebuild(ctx, &live, "inline", epoch)
	if err != nil {
		return err
	}
	d, at := info.Def, int64(0)
	to := func(ctx context.Context, head int64) error {
		for at < head {
			var events []event.Recorded
			for e, err := range s.ReadAll(ctx, eventstore.ReadOptions{From: at + 1, To: min(at+200, head)}) {
				if err != nil {
					return err
				}
				events = append(events, *e)
			}
			put, err := counted(ctx, s.Tables(), &d, events)
			if err != nil {
				return err
			}
			end := min(at+200, head)
			if len(events) == 0 || events[len(events)-1].Position != end {
				return fmt.Errorf("the log ends before %d", end)
			}
			w := &table.Write{Def: &d, Put: put, Checkpoint: &table.Checkpoint{Relay: "inline", LogID: logID, Epoch: epoch, From: at, To: end}}
			if err := s.Tables().Apply(ctx, w); err != nil {
				return err
			}
			at = end
		}
		return nil
	}
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	if err := to(ctx, head.Position); err != nil {
		return err
	}
	return s.(eventstore.Swapper).SwapAtEnd(ctx, &d, to)
}

// testSwap: what last says is what comes back, and nothing is swapped; while it runs nothing is appended.
func testSwap(f *fixture) {
	f.append("count/1", "1", "2")
	swapper, ok := f.s.(eventstore.Swapper)
	if !ok {
		f.Fatal("it has tables and is no Swapper")
	}
	head, err := f.s.Head(f.ctx)
	f.ok(err)
	def := testDef()
	_, err = f.s.Tables().Ensure(f.ctx, def, "d", "r", head.LogID)
	f.ok(err)
	info, err := f.s.Tables().Rebuild(f.ctx, def, "r", 1)
	f.ok(err)
	no := errors.New("no")
	f.is(swapper.SwapAtEnd(f.ctx, &info.Def, func(_ context.Context, at int64) error {
		f.same(at, int64(2))
		return no
	}), no)
	all, err := f.s.Tables().Tables(f.ctx)
	f.ok(err)
	f.same(len(all), 2)
	called := 0
	f.ok(swapper.SwapAtEnd(f.ctx, &info.Def, func(ctx context.Context, _ int64) error {
		called++
		_, err := f.s.Head(ctx)
		return err
	}))
	f.same(called, 1)
	// Who has the old one is told, and its unit leaves nothing.
	u := unit(appendTo("count/1", eventstore.Any, "3"))
	u.Within = func(ctx context.Context, tx table.Tx, _ []event.Recorded) error {
		return tx.Write(ctx, def, []table.Row{{"3", "x"}}, nil)
	}
	f.refused(f.commit(u), table.ErrFenced)
	f.same(len(f.all(eventstore.ReadOptions{})), 2)
	// A table that is live already stays.
	f.ok(swapper.SwapAtEnd(f.ctx, &info.Def, func(context.Context, int64) error { return nil }))
	// One that was given up for another build is fenced.
	f.is(swapper.SwapAtEnd(f.ctx, def, func(context.Context, int64) error { return nil }), table.ErrFenced)
	Swaps(f.T, []eventstore.Store{f.s}, 20, 3)
}
