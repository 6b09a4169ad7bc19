package tabletest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/table"
)

func testEnsure(t *testing.T, b Backend) {
	d := orders()
	got := ensure(t, b.Store, d)
	if got.Position != 0 || got.Epoch != 0 || got.Building != 0 || got.Relay != relay || got.LogID != logID || got.Definition != "def-1" {
		t.Errorf("a new table is %+v", got)
	}
	if diff := cmp.Diff(*d, got.Def); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
	wantRows(t, scan(t, b.Store, d))
	wantRows(t, query(t, b.Store, table.Query{Table: "orders"}))
}

func testEnsureAgain(t *testing.T, b Backend) {
	d := orders()
	d.Indexes = [][]string{{"state"}, {"state", "total"}}
	ensure(t, b.Store, d)
	if err := apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{{"o-1", num("5"), "new"}}, Checkpoint: checkpoint(0, 9)}); err != nil {
		t.Fatal(err)
	}
	got := ensure(t, b.Store, d)
	if got.Position != 9 || got.Epoch != 1 {
		t.Errorf("the table stands at %d under epoch %d, want 9 under 1", got.Position, got.Epoch)
	}
	if diff := cmp.Diff(*d, got.Def); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
	wantRows(t, scan(t, b.Store, d), table.Row{"o-1", num("5"), "new"})
}

func testEnsureRefuses(t *testing.T, b Backend) {
	ctx := t.Context()
	first := orders()
	first.Version = 2
	ensure(t, b.Store, first)
	put(t, b.Store, first, table.Row{"o-1", num("5"), "new"})
	edit := func(f func(d *table.Def)) *table.Def {
		d := orders()
		d.Version = 2
		f(d)
		return d
	}
	for name, d := range map[string]*table.Def{
		"lower version": edit(func(d *table.Def) { d.Version = 1 }),
		"column type":   edit(func(d *table.Def) { d.Columns[1].Type = table.Text }),
		"column gone":   edit(func(d *table.Def) { d.Columns = d.Columns[:2] }),
		"other key":     edit(func(d *table.Def) { d.Key = []string{"id", "total"} }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Store.Ensure(ctx, d, "def-1", relay, logID)
			wantChanged(t, err)
		})
	}
	same := edit(func(*table.Def) {})
	_, err := b.Store.Ensure(ctx, same, "def-2", relay, logID)
	wantChanged(t, err)
	_, err = b.Store.Ensure(ctx, same, "def-1", relay, "log-2")
	wantErr(t, err, table.ErrForeignLog)
	_, err = b.Store.Ensure(ctx, same, "def-1", "shop/other/orders", logID)
	wantErr(t, err, table.ErrOwned)
	_, err = b.Store.Ensure(ctx, edit(func(d *table.Def) { d.Name = "ORDERS" }), "def-1", relay, logID)
	if err == nil {
		t.Error("a name that differs in case alone was taken")
	}
	for name, d := range map[string]*table.Def{
		"no key":         edit(func(d *table.Def) { d.Key = nil }),
		"key not first":  edit(func(d *table.Def) { d.Key = []string{"total"} }),
		"no version":     edit(func(d *table.Def) { d.Version = 0 }),
		"unknown type":   edit(func(d *table.Def) { d.Columns[2].Type = "varchar" }),
		"twice":          edit(func(d *table.Def) { d.Columns[2].Name = "Total" }),
		"taken name":     edit(func(d *table.Def) { d.Name = "leat_tables" }),
		"taken column":   edit(func(d *table.Def) { d.Columns[2].Name = "Leat_Types" }),
		"no name":        edit(func(d *table.Def) { d.Columns[2].Name = "" }),
		"index nowhere":  edit(func(d *table.Def) { d.Indexes = [][]string{{"nope"}} }),
		"index of none":  edit(func(d *table.Def) { d.Indexes = [][]string{{}} }),
		"json as key":    edit(func(d *table.Def) { d.Columns[0].Type = table.JSON }),
		"NUL in name":    edit(func(d *table.Def) { d.Columns[2].Name = "a\x00b" }),
		"name too long":  edit(func(d *table.Def) { d.Columns[2].Name = string(make([]byte, 64)) }),
		"table unnamed":  edit(func(d *table.Def) { d.Name = "" }),
		"sqlite's names": edit(func(d *table.Def) { d.Name = "SQLite_master" }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Store.Ensure(ctx, d, "def-1", relay, logID)
			wantErr(t, err, table.ErrDef)
		})
	}
	wantRows(t, scan(t, b.Store, first), table.Row{"o-1", num("5"), "new"})
}

func testEnsureExtends(t *testing.T, b Backend) {
	old := orders()
	ensure(t, b.Store, old)
	put(t, b.Store, old, table.Row{"o-1", num("5"), "new"})

	wide := orders()
	wide.Columns = append(wide.Columns[:2:2], table.Column{Name: "note", Type: table.Any}, wide.Columns[2], table.Column{Name: "paid", Type: table.Boolean})
	wide.Indexes = [][]string{{"note", "state"}}
	ensure(t, b.Store, wide)
	wantRows(t, scan(t, b.Store, wide), table.Row{"o-1", num("5"), nil, "new", nil})
	put(t, b.Store, wide, table.Row{"o-2", num("6"), at("2026-01-02T03:04:05Z"), "new", true})
	wantRows(t, scan(t, b.Store, wide),
		table.Row{"o-1", num("5"), nil, "new", nil},
		table.Row{"o-2", num("6"), at("2026-01-02T03:04:05Z"), "new", true})
	d, rows, err := b.Store.Query(t.Context(), table.Query{Table: "orders", Equal: map[string]string{"id": "o-2"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"id", "total", "state", "note", "paid"}, d.Names()); diff != "" {
		t.Errorf("new columns stand behind the old ones (-want +got):\n%s", diff)
	}
	wantRows(t, all(t, rows), table.Row{"o-2", num("6"), "new", at("2026-01-02T03:04:05Z"), true})

	_, err = b.Store.Ensure(t.Context(), old, "def-1", relay, logID)
	wantChanged(t, err) // a column is gone
	wide.Indexes = nil
	if got := ensure(t, b.Store, wide); len(got.Def.Indexes) != 0 {
		t.Errorf("indexes that were taken out are still there: %v", got.Def.Indexes)
	}
}

// In a rolling deploy the older definition still reads and writes for a while.
func testOldDefinition(t *testing.T, b Backend) {
	old := orders()
	ensure(t, b.Store, old)
	wide := orders()
	wide.Columns = append(wide.Columns, table.Column{Name: "paid", Type: table.Boolean})
	ensure(t, b.Store, wide)
	put(t, b.Store, wide, table.Row{"o-1", num("5"), "new", true})
	put(t, b.Store, old, table.Row{"o-1", num("6"), "open"})
	wantRows(t, []table.Row{load(t, b.Store, old, "o-1")}, table.Row{"o-1", num("6"), "open"})
	wantRows(t, []table.Row{load(t, b.Store, wide, "o-1")}, table.Row{"o-1", num("6"), "open", true})
}

func testNames(t *testing.T, b Backend) {
	d := &table.Def{
		Name: `group "by"; --`, Key: []string{"select", `order by"`}, Version: 1,
		Columns: []table.Column{
			{Name: "select", Type: table.Text}, {Name: `order by"`, Type: table.Integer}, {Name: "from", Type: table.Any},
			{Name: "größe", Type: table.Numeric}, {Name: "a.b", Type: table.JSON}, {Name: "'", Type: table.Text}, {Name: "]`", Type: table.Any},
		},
		Indexes: [][]string{{"größe", "a.b"}, {"'"}},
	}
	ensure(t, b.Store, d)
	row := table.Row{"x", num("1"), at("2026-01-02T03:04:05Z"), num("0.1"), raw(`{"a":1}`), `'"`, true}
	put(t, b.Store, d, row, table.Row{"x", num("2"), nil, nil, nil, nil, nil})
	wantRows(t, []table.Row{load(t, b.Store, d, "x", num("1"))}, row)
	wantRows(t, all(t, b.Store.Scan(t.Context(), d, map[string]table.Value{"'": `'"`, "]`": true})), row)
	wantRows(t, query(t, b.Store, table.Query{Table: d.Name, Equal: map[string]string{"größe": "0.10", `order by"`: "1"}, Order: []string{"-a.b"}}), row)
	if err := apply(t, b.Store, &table.Write{Def: d, Delete: []table.Row{{"x", num("1")}}}); err != nil {
		t.Fatal(err)
	}
	up := *d
	up.Version = 2
	ensure(t, b.Store, &up)
	put(t, b.Store, &up, row)
	if err := b.Store.Swap(t.Context(), &up); err != nil {
		t.Fatal(err)
	}
	wantRows(t, query(t, b.Store, table.Query{Table: d.Name}), row)
}

func testBuildBeside(t *testing.T, b Backend) {
	ctx := t.Context()
	v1 := orders()
	v1.Indexes = [][]string{{"state"}}
	ensure(t, b.Store, v1)
	if err := apply(t, b.Store, &table.Write{Def: v1, Put: []table.Row{{"o-1", num("5"), "new"}}, Checkpoint: checkpoint(0, 10)}); err != nil {
		t.Fatal(err)
	}

	// A first attempt at a new version, and one that supersedes it before it was ever swapped in.
	v2 := orders()
	v2.Version = 2
	if _, err := b.Store.Ensure(ctx, v2, "def-2", relay, logID); err != nil {
		t.Fatal(err)
	}
	put(t, b.Store, v2, table.Row{"o-1", num("1"), "wrong"})
	v3 := &table.Def{
		Name: "orders", Key: []string{"id", "line"}, Version: 3, Indexes: [][]string{{"state"}},
		Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "line", Type: table.Integer}, {Name: "state", Type: table.Text}},
	}
	got, err := b.Store.Ensure(ctx, v3, "def-3", relay, logID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Position != 0 || got.Building != 3 || got.Def.Version != 3 {
		t.Fatalf("the table that is built beside is %+v", got)
	}
	if i := info(t, b.Store, "orders"); i.Def.Version != 1 || i.Building != 3 || i.Position != 10 {
		t.Fatalf("the live table is %+v", i)
	}
	_, err = b.Store.Ensure(ctx, v2, "def-2", relay, logID)
	wantChanged(t, err)
	_, err = b.Store.Ensure(ctx, v3, "def-4", relay, logID)
	wantChanged(t, err)

	// Each has its own rows and checkpoint; people see the old one.
	if err := apply(t, b.Store, &table.Write{Def: v3, Put: []table.Row{{"o-1", num("1"), "built"}}, Checkpoint: checkpoint(0, 4)}); err != nil {
		t.Fatal(err)
	}
	if err := apply(t, b.Store, &table.Write{Def: v1, Put: []table.Row{{"o-2", num("6"), "new"}}, Checkpoint: checkpoint(10, 11)}); err != nil {
		t.Fatal(err)
	}
	wantRows(t, query(t, b.Store, table.Query{Table: "orders"}), table.Row{"o-1", num("5"), "new"}, table.Row{"o-2", num("6"), "new"})
	wantRows(t, scan(t, b.Store, v3), table.Row{"o-1", num("1"), "built"})
	if again, err := b.Store.Ensure(ctx, v1, "def-1", relay, logID); err != nil || again.Position != 11 || again.Building != 3 {
		t.Fatalf("the old version in a rolling deploy: %+v, %v", again, err)
	}
	if again, err := b.Store.Ensure(ctx, v3, "def-3", relay, logID); err != nil || again.Position != 4 {
		t.Fatalf("the new version after a restart: %+v, %v", again, err)
	}

	if err := b.Store.Swap(ctx, v3); err != nil {
		t.Fatal(err)
	}
	wantRows(t, query(t, b.Store, table.Query{Table: "orders"}), table.Row{"o-1", num("1"), "built"})
	if i := info(t, b.Store, "orders"); i.Def.Version != 3 || i.Building != 0 || i.Position != 4 {
		t.Fatalf("after the swap the table is %+v", i)
	}
	if infos, _ := b.Store.Tables(ctx); len(infos) != 1 {
		t.Errorf("after the swap there are %d tables", len(infos))
	}
	// The old owner has been overtaken.
	wantErr(t, apply(t, b.Store, &table.Write{Def: v1, Checkpoint: checkpoint(11, 12)}), table.ErrFenced)
	wantErr(t, apply(t, b.Store, &table.Write{Def: v1, Put: []table.Row{{"o-9", nil, nil}}}), table.ErrFenced)
	_, err = b.Store.Take(ctx, v1, relay, 9)
	wantErr(t, err, table.ErrFenced)
	_, err = b.Store.Load(ctx, v1, []table.Row{{"o-1"}})
	wantErr(t, err, table.ErrFenced)
	if err := b.Store.Swap(ctx, v3); err != nil {
		t.Errorf("a swap that is done: %v", err)
	}
	wantErr(t, b.Store.Swap(ctx, v1), table.ErrFenced)
	if err := apply(t, b.Store, &table.Write{Def: v3, Checkpoint: checkpoint(4, 5)}); err != nil {
		t.Fatal(err)
	}
}

func testRenameRelay(t *testing.T, b Backend) {
	r, ok := b.Store.(table.Renamer)
	if !ok {
		t.Fatal("the backend renames no relays: was: would lose their tables")
	}
	d := orders()
	ensure(t, b.Store, d)
	next := orders()
	next.Version = 2
	if _, err := b.Store.Ensure(t.Context(), next, "def-2", relay, logID); err != nil {
		t.Fatal(err)
	}
	const now = "shop/orders/summary"
	if err := r.RenameRelay(t.Context(), relay, now); err != nil {
		t.Fatal(err)
	}
	if err := r.RenameRelay(t.Context(), "nobody", "somebody"); err != nil {
		t.Errorf("renaming a relay that has no table: %v", err)
	}
	wantErr(t, apply(t, b.Store, &table.Write{Def: d, Checkpoint: checkpoint(0, 1)}), table.ErrFenced)
	if _, err := b.Store.Ensure(t.Context(), d, "def-1", now, logID); err != nil {
		t.Error(err)
	}
	if _, err := b.Store.Ensure(t.Context(), next, "def-2", now, logID); err != nil {
		t.Errorf("the table that is being built was left behind: %v", err)
	}
	// Another relay has the old name now; renaming again, as each start does, leaves it alone.
	other := orders()
	other.Name = "others"
	ensure(t, b.Store, other)
	if err := r.RenameRelay(t.Context(), relay, now); err != nil {
		t.Fatal(err)
	}
	ensure(t, b.Store, other)
	c := checkpoint(0, 1)
	c.Relay = now
	if err := apply(t, b.Store, &table.Write{Def: d, Checkpoint: c}); err != nil {
		t.Error(err)
	}
}

func testReopen(t *testing.T, b Backend) {
	d := orders()
	d.Columns = append(d.Columns, table.Column{Name: "extra", Type: table.Any})
	ensure(t, b.Store, d)
	row := table.Row{"o-1", num("123456789012345678901234567890"), "new", at("2026-01-02T03:04:05.000000001Z")}
	if err := apply(t, b.Store, &table.Write{Def: d, Put: []table.Row{row}, Checkpoint: checkpoint(0, 3)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Take(t.Context(), d, relay, 5); err != nil {
		t.Fatal(err)
	}
	s := b.Reopen()
	got := ensure(t, s, d)
	if got.Position != 3 || got.Epoch != 5 || got.Relay != relay {
		t.Errorf("reopened: %+v", got)
	}
	wantRows(t, scan(t, s, d), row)
	wantErr(t, apply(t, s, &table.Write{Def: d, Checkpoint: checkpoint(3, 4)}), table.ErrFenced)
	var unknown *table.UnknownError
	nope := *d
	nope.Name = "nope"
	if err := apply(t, s, &table.Write{Def: &nope}); !errors.As(err, &unknown) {
		t.Errorf("writing to a table that is not there: %v", err)
	}
}
