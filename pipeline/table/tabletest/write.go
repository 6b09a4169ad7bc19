package tabletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

func testLoadMany(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	const n = 400
	var rows, keys, want []table.Row
	for i := range n {
		id := fmt.Sprintf("o-%05d", i)
		row := table.Row{id, num(fmt.Sprint(i)), "new"}
		rows = append(rows, row)
		keys = append(keys, table.Row{id}, table.Row{id + "-no"})
		want = append(want, row, nil)
	}
	put(t, b.Store, d, rows...)
	keys, want = append(keys, table.Row{"o-00000"}), append(want, rows[0]) // the same key again
	got, err := b.Store.Load(t.Context(), d, keys)
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, got, want...)
	for _, some := range []int{0, 1, 2, 3, 249, 250, 251, 500} {
		got, err := b.Store.Load(t.Context(), d, keys[:some])
		if err != nil {
			t.Fatal(err)
		}
		wantRows(t, got, want[:some]...)
	}
}

func testScan(t *testing.T, b Backend) {
	d := &table.Def{
		Name: "lines", Key: []string{"id", "line"}, Version: 1,
		Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "line", Type: table.Integer}, {Name: "sku", Type: table.Text}, {Name: "qty", Type: table.Numeric}},
		Indexes: [][]string{{"sku"}},
	}
	ensure(t, b.Store, d)
	rows := []table.Row{
		{"a", num("-1"), "x", num("1")}, {"a", num("2"), "y", nil}, {"a", num("10"), "x", num("2")},
		{"b", num("1"), nil, num("1")}, {"ä", num("1"), "x", num("1")},
	}
	for _, i := range []int{3, 2, 4, 0, 1} {
		put(t, b.Store, d, rows[i])
	}
	for _, tt := range []struct {
		equal map[string]table.Value
		want  []int
	}{
		{nil, []int{0, 1, 2, 3, 4}},
		{map[string]table.Value{"sku": "x"}, []int{0, 2, 4}},
		{map[string]table.Value{"sku": "x", "qty": num("1.00")}, []int{0, 4}},
		{map[string]table.Value{"sku": nil}, []int{3}},
		{map[string]table.Value{"qty": nil, "id": "a"}, []int{1}},
		{map[string]table.Value{"line": num("1")}, []int{3, 4}},
		{map[string]table.Value{"sku": "X"}, nil},
		{map[string]table.Value{"qty": num("2")}, []int{2}},
	} {
		var want []table.Row
		for _, i := range tt.want {
			want = append(want, rows[i])
		}
		wantRows(t, all(t, b.Store.Scan(t.Context(), d, tt.equal)), want...)
	}
	for _, err := range b.Store.Scan(t.Context(), d, nil) {
		if err != nil {
			t.Error(err)
		}
		break // stopping early lets go of what it holds
	}
	put(t, b.Store, d, table.Row{"c", num("1"), nil, nil})
	for _, err := range b.Store.Scan(t.Context(), d, map[string]table.Value{"nope": "x"}) {
		var unknown *table.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("an unknown column gives %v", err)
		}
	}
}

func testScanDuringWrites(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	for i := range 50 {
		put(t, b.Store, d, table.Row{fmt.Sprintf("o-%02d", i), num("1"), "new"})
	}
	n := 0
	for row, err := range b.Store.Scan(t.Context(), d, map[string]table.Value{"state": "new"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		put(t, b.Store, d, table.Row{row[0], num("2"), "seen"})
		if n > 50 {
			break
		}
	}
	if n != 50 {
		t.Errorf("the scan gave %d rows of 50", n)
	}
	wantRows(t, all(t, b.Store.Scan(t.Context(), d, map[string]table.Value{"state": "new"})))
}

func testApplyPutDelete(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	put(t, b.Store, d, table.Row{"o-1", num("1"), "new"}, table.Row{"o-2", num("2"), "new"}, table.Row{"o-3", nil, nil})
	err := apply(t, b.Store, &table.Write{
		Def: d,
		Put: []table.Row{{"o-2", num("3"), nil}, {"o-4", num("4"), "new"}},
		Delete: []table.Row{
			{"o-1"}, {"o-9"}, // the second was never there
		},
		Checkpoint: checkpoint(0, 4),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, scan(t, b.Store, d), table.Row{"o-2", num("3"), nil}, table.Row{"o-3", nil, nil}, table.Row{"o-4", num("4"), "new"})
	put(t, b.Store, d, table.Row{"o-1", num("9"), "back"})
	wantRows(t, []table.Row{load(t, b.Store, d, "o-1")}, table.Row{"o-1", num("9"), "back"})
	if got := info(t, b.Store, "orders"); got.Rows != 4 && got.Rows != -1 {
		t.Errorf("%d rows, want 4", got.Rows)
	}
}

func testApplyAtomic(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	put(t, b.Store, d, table.Row{"o-1", num("1"), "new"})
	for name, w := range map[string]*table.Write{
		"bad row":        {Def: d, Put: []table.Row{{"o-2", num("2"), "new"}, {"o-3", 3, "new"}}, Delete: []table.Row{{"o-1"}}, Checkpoint: checkpoint(0, 5)},
		"bad key":        {Def: d, Put: []table.Row{{"o-2", num("2"), "new"}}, Delete: []table.Row{{"o-1"}, {nil}}, Checkpoint: checkpoint(0, 5)},
		"bad checkpoint": {Def: d, Put: []table.Row{{"o-2", num("2"), "new"}}, Delete: []table.Row{{"o-1"}}, Checkpoint: checkpoint(3, 5)},
		"backwards":      {Def: d, Put: []table.Row{{"o-2", num("2"), "new"}}, Checkpoint: checkpoint(0, -1)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := apply(t, b.Store, w); err == nil {
				t.Fatal("it went through")
			}
			wantRows(t, scan(t, b.Store, d), table.Row{"o-1", num("1"), "new"})
			if i := info(t, b.Store, "orders"); i.Position != 0 {
				t.Errorf("the checkpoint moved to %d", i.Position)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Store.Apply(ctx, &table.Write{Def: d, Put: []table.Row{{"o-2", num("2"), "new"}}}); err != nil {
		wantRows(t, scan(t, b.Store, d), table.Row{"o-1", num("1"), "new"})
	}
}

func testCheckpoint(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	w := &table.Write{Def: d, Put: []table.Row{{"o-1", num("1"), "new"}}, Checkpoint: checkpoint(0, 5)}
	if err := apply(t, b.Store, w); err != nil {
		t.Fatal(err)
	}
	wantErr(t, apply(t, b.Store, w), table.ErrFenced) // the outcome was unknown, and it had gone through
	if i := info(t, b.Store, "orders"); i.Position != 5 || i.Epoch != 1 || i.Updated.IsZero() {
		t.Errorf("the table is %+v", i)
	}
	if err := apply(t, b.Store, &table.Write{Def: d, Checkpoint: checkpoint(5, 5)}); err != nil {
		t.Errorf("a checkpoint that stays: %v", err)
	}
	if err := apply(t, b.Store, &table.Write{Def: d, Checkpoint: checkpoint(5, 1_000)}); err != nil {
		t.Errorf("a checkpoint without rows: %v", err)
	}
	foreign := checkpoint(1_000, 1_001)
	foreign.LogID = "log-2"
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: foreign}), table.ErrForeignLog)
	other := checkpoint(1_000, 1_001)
	other.Relay = "shop/other/orders"
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: other}), table.ErrFenced)
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: checkpoint(999, 1_001)}), table.ErrFenced)
}

// Of many owners that stand at one place, one moves.
func testCheckpointRaces(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	const owners, steps = 8, 10
	for step := range int64(steps) {
		var won atomic.Int64
		var wg sync.WaitGroup
		for o := range owners {
			wg.Go(func() {
				err := apply(t, b.Store, &table.Write{
					Def:        d,
					Put:        []table.Row{{fmt.Sprintf("o-%d-%d", step, o), num("1"), "new"}},
					Checkpoint: checkpoint(step, step+1),
				})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, table.ErrFenced):
					t.Errorf("Apply: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d owners moved from %d", won.Load(), step)
		}
	}
	if rows := scan(t, b.Store, d); len(rows) != steps {
		t.Errorf("%d rows, want %d", len(rows), steps)
	}
}

// Whoever reads while others write sees whole writes.
func testReadsAreWhole(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	put(t, b.Store, d, table.Row{"a", num("100"), nil}, table.Row{"b", num("0"), nil})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				rows, err := b.Store.Load(t.Context(), d, []table.Row{{"a"}, {"b"}})
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				sum := new(apd.Decimal)
				for _, r := range rows {
					if _, err := apd.BaseContext.Add(sum, sum, r[1].(*apd.Decimal)); err != nil {
						t.Error(err)
					}
				}
				if sum.Cmp(num("100")) != 0 {
					t.Errorf("a read saw half a write: %v", show(rows))
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range int64(25) {
		put(t, b.Store, d, table.Row{"a", apd.New(100-i, 0), nil}, table.Row{"b", apd.New(i, 0), nil})
	}
	close(done)
	wg.Wait()
}

// testResent: the id of an entry that was sent again stays until that of another takes its place.
func testResent(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	for i, id := range []int64{0, 7, 0, 1 << 40, 0} {
		c := checkpoint(int64(i), int64(i+1))
		c.Resent = id
		if err := apply(t, b.Store, &table.Write{Def: d, Checkpoint: c}); err != nil {
			t.Fatal(err)
		}
		want := []int64{0, 7, 7, 1 << 40, 1 << 40}[i]
		if info := ensure(t, b.Store, d); info.Resent != want {
			t.Errorf("after %d the table says %d, want %d", i, info.Resent, want)
		}
		if info, err := b.Store.Take(t.Context(), d, relay, 1); err != nil || info.Resent != want {
			t.Errorf("after %d Take says %d, %v, want %d", i, info.Resent, err, want)
		}
	}
	late := checkpoint(0, 1)
	late.Resent = 9
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: late}), table.ErrFenced)
	if info := ensure(t, b.Store, d); info.Resent != 1<<40 {
		t.Errorf("a write that was refused left %d", info.Resent)
	}
}

func testTake(t *testing.T, b Backend) {
	ctx := t.Context()
	d := orders()
	ensure(t, b.Store, d)
	paused := checkpoint(0, 1)
	if got, err := b.Store.Take(ctx, d, relay, 1); err != nil || got.Epoch != 1 || got.Position != 0 {
		t.Fatalf("Take: %+v, %v", got, err)
	}
	if err := apply(t, b.Store, &table.Write{Def: d, Checkpoint: paused}); err != nil {
		t.Fatal(err)
	}
	// A new owner takes over. The old one wakes up with its write in hand, at the right place: it cannot commit.
	if got, err := b.Store.Take(ctx, d, relay, 3); err != nil || got.Epoch != 3 || got.Position != 1 {
		t.Fatalf("Take: %+v, %v", got, err)
	}
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{{"o-1", num("1"), "late"}}, Checkpoint: checkpoint(1, 2)}), table.ErrFenced)
	wantRows(t, scan(t, b.Store, d))
	_, err := b.Store.Take(ctx, d, relay, 2)
	wantErr(t, err, table.ErrFenced)
	_, err = b.Store.Take(ctx, d, "shop/other/orders", 9)
	wantErr(t, err, table.ErrFenced)
	if _, err := b.Store.Take(ctx, d, relay, 3); err != nil {
		t.Errorf("taking it again: %v", err)
	}
	now := checkpoint(1, 2)
	now.Epoch = 3
	if err := apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{{"o-1", num("1"), "new"}}, Checkpoint: now}); err != nil {
		t.Fatal(err)
	}
	nope := orders()
	nope.Name = "nope"
	var unknown *table.UnknownError
	if _, err := b.Store.Take(ctx, nope, relay, 1); !errors.As(err, &unknown) {
		t.Errorf("taking a table that is not there: %v", err)
	}
}

func testPark(t *testing.T, b Backend) {
	d := orders()
	ensure(t, b.Store, d)
	if !b.Store.WithStore() {
		if err := apply(t, b.Store, &table.Write{Def: d, Park: []poison.Entry{entry("7")}}); err == nil {
			t.Error("an entry was parked nowhere")
		}
		return
	}
	// Parked together with the rows and the checkpoint …
	w := &table.Write{Def: d, Put: []table.Row{{"o-1", num("1"), "new"}}, Checkpoint: checkpoint(0, 7), Park: []poison.Entry{entry("6"), entry("7")}}
	if err := apply(t, b.Store, w); err != nil {
		t.Fatal(err)
	}
	parked := b.Parked()
	if len(parked) != 2 || parked[0].Key != "6" || parked[1].Key != "7" || parked[0].Reason != "no number" {
		t.Fatalf("parked: %+v", parked)
	}
	// … or not at all.
	late := checkpoint(0, 8)
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: late, Park: []poison.Entry{entry("8")}}), table.ErrFenced)
	if n := len(b.Parked()); n != 2 {
		t.Fatalf("a fenced write left %d entries", n)
	}
	// Sent again: the row and the end of the entry in one.
	id := parked[0].ID
	if err := apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{{"o-1", num("2"), "mended"}}, Unpark: []int64{id}}); err != nil {
		t.Fatal(err)
	}
	again := &table.Write{Def: d, Put: []table.Row{{"o-1", num("3"), "twice"}}, Park: []poison.Entry{entry("9")}, Unpark: []int64{parked[1].ID, id}}
	wantErr(t, apply(t, b.Store, again), table.ErrGone)
	wantRows(t, scan(t, b.Store, d), table.Row{"o-1", num("2"), "mended"})
	if parked = b.Parked(); len(parked) != 1 || parked[0].Key != "7" {
		t.Fatalf("parked: %+v", parked)
	}
	if i := info(t, b.Store, "orders"); i.Position != 7 {
		t.Errorf("sending again moved the checkpoint to %d", i.Position)
	}
}
