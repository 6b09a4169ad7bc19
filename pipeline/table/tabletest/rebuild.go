package tabletest

import (
	"testing"

	"github.com/leatdev/leat/pipeline/table"
)

// testRebuild builds a table once more under its version, beside the live one, which goes on meanwhile.
func testRebuild(t *testing.T, b Backend) {
	ctx := t.Context()
	live := orders()
	live.Indexes = [][]string{{"state"}}
	ensure(t, b.Store, live)
	row := func(id, total, state string) table.Row { return table.Row{id, num(total), state} }
	write := func(d *table.Def, c *table.Checkpoint, rows ...table.Row) {
		t.Helper()
		if err := apply(t, b.Store, &table.Write{Def: d, Put: rows, Checkpoint: c}); err != nil {
			t.Fatal(err)
		}
	}
	write(live, checkpoint(0, 10), row("o-1", "5", "wrong"))

	if _, err := b.Store.Rebuild(ctx, live, "another", 1); err == nil {
		t.Error("another relay rebuilds the table")
	}
	before := map[int]bool{}
	begin := func() *table.Def {
		t.Helper()
		info, err := b.Store.Rebuild(ctx, live, relay, 1)
		if err != nil {
			t.Fatal(err)
		}
		if info.Live || info.Position != 0 || info.Def.Version != 1 || info.Def.Build == live.Build || before[info.Def.Build] {
			t.Fatalf("the table that is built: %+v", info)
		}
		before[info.Def.Build] = true
		return &info.Def
	}
	for round := range 3 {
		next := begin()
		write(next, checkpoint(0, 4), row("x", "1", "half"))
		was := next
		next = begin() // the first try broke off
		// Whoever began it, and does not know yet, can neither put the new one in place nor drop it.
		wantErr(t, b.Store.Swap(ctx, was), table.ErrFenced)
		if err := b.Store.Abandon(ctx, was); err != nil {
			t.Fatal(err)
		}
		wantRows(t, all(t, b.Store.Scan(ctx, next, nil)))
		at := int64(10 + round)
		write(next, checkpoint(0, 4), row("o-1", "1", "right"))
		write(live, checkpoint(at, at+1), row("o-2", "6", "wrong")) // the live one goes on
		write(next, checkpoint(4, at+1), row("o-2", "2", "right"))
		if len(query(t, b.Store, table.Query{Table: "orders", Equal: map[string]string{"state": "half"}})) > 0 {
			t.Error("people see what is being built")
		}
		i := info(t, b.Store, "orders")
		if !i.Live || i.Building != 1 || i.Position != at+1 {
			t.Errorf("the live table is %+v", i)
		}
		// A daemon that starts meanwhile finds the live one.
		again, err := b.Store.Ensure(ctx, orders1(live), "def-1", relay, logID)
		if err != nil || !again.Live || again.Def.Build != live.Build || again.Position != at+1 {
			t.Errorf("Ensure: %+v, %v", again, err)
		}
		if err := b.Store.Swap(ctx, next); err != nil {
			t.Fatal(err)
		}
		wantRows(t, query(t, b.Store, table.Query{Table: "orders"}), row("o-1", "1", "right"), row("o-2", "2", "right"))
		wantErr(t, apply(t, b.Store, &table.Write{Def: live, Checkpoint: checkpoint(at+1, at+2)}), table.ErrFenced)
		if i := info(t, b.Store, "orders"); !i.Live || i.Building != 0 || i.Def.Build != next.Build || i.Position != at+1 {
			t.Errorf("after the swap: %+v", i)
		}
		live = next
		live.Indexes = [][]string{{"state"}}
	}

	next := begin()
	if err := b.Store.Abandon(ctx, live); err != nil {
		t.Fatal(err)
	}
	if i := info(t, b.Store, "orders"); i.Building != 1 {
		t.Errorf("the live one was given up: %+v", i)
	}
	if err := b.Store.Abandon(ctx, next); err != nil {
		t.Fatal(err)
	}
	if i := info(t, b.Store, "orders"); i.Building != 0 || len(all(t, b.Store.Scan(ctx, live, nil))) != 2 {
		t.Errorf("after it was given up: %+v", i)
	}
	if err := b.Store.Abandon(ctx, next); err != nil {
		t.Error(err)
	}

	// What was built before another took the live table is not put in its place.
	clear(before) // the same owner may give the number of what it gave up once more
	next = begin()
	if _, err := b.Store.Take(ctx, live, relay, 2); err != nil {
		t.Fatal(err)
	}
	wantErr(t, b.Store.Swap(ctx, next), table.ErrFenced)
	if i := info(t, b.Store, "orders"); i.Def.Build != live.Build {
		t.Errorf("swapped by who was overtaken: %+v", i)
	}
	again, err := b.Store.Rebuild(ctx, live, relay, 2)
	if err != nil || again.Def.Build == next.Build {
		t.Fatalf("the next owner's: %+v, %v", again, err)
	}
	if err := b.Store.Abandon(ctx, &again.Def); err != nil {
		t.Error(err)
	}

	// A raised version takes the place of what is being rebuilt, and is not disturbed by a rebuild.
	if _, err := b.Store.Rebuild(ctx, live, relay, 2); err != nil {
		t.Fatal(err)
	}
	up := orders()
	up.Version = 2
	if got, err := b.Store.Ensure(ctx, up, "def-2", relay, logID); err != nil || got.Live || got.Def.Build != 0 {
		t.Fatalf("a raised version: %+v, %v", got, err)
	}
	if _, err := b.Store.Rebuild(ctx, live, relay, 2); err == nil {
		t.Error("a rebuild beside a version that is being built")
	}
	if err := b.Store.Swap(ctx, up); err != nil {
		t.Fatal(err)
	}
	if i := info(t, b.Store, "orders"); i.Def.Version != 2 || i.Building != 0 {
		t.Errorf("after the raise: %+v", i)
	}
}

// orders1 is the definition as a file has it: it knows no builds.
func orders1(d *table.Def) *table.Def {
	c := d.Clone()
	c.Build = 0
	return &c
}
