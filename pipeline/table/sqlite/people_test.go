package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/sqlite"
)

func num(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

// sheet runs a query as a person would and gives its rows, columns joined by |.
func sheet(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(sql.NullString)
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, c := range cells {
			line = append(line, c.(*sql.NullString).String)
		}
		lines = append(lines, strings.Join(line, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func tool(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func ensure(t *testing.T, s table.Store, d *table.Def) {
	t.Helper()
	if _, err := s.Ensure(t.Context(), d, fmt.Sprint("d", d.Version), "r", "l"); err != nil {
		t.Fatal(err)
	}
}

// What people see with any SQLite tool: the plain name, plain values, sums that work.
func TestPeopleRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	db := tool(t, path)
	d := &table.Def{
		Name: "orders", Key: []string{"id"}, Version: 1, Indexes: [][]string{{"customer", "total"}},
		Columns: []table.Column{{Name: "id", Type: table.Any}, {Name: "total", Type: table.Numeric}, {Name: "paid", Type: table.Any}, {Name: "customer", Type: table.Text}, {Name: "at", Type: table.Any}},
	}
	ensure(t, f, d)
	at := event.Event{}.Time.AddDate(2025, 0, 1)
	for _, row := range []table.Row{
		{"o-1", num("10.25"), true, "ann", at}, {"o-2", num("5"), false, "bob", nil}, {"o-3", num("0.1"), nil, "ann", nil},
	} {
		if err := f.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{row}}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"SELECT * FROM orders": "o-1|10.25|1|ann|2026-01-02T00:00:00.000000000Z\no-2|5|0|bob|\no-3|0.1||ann|",
		"SELECT sum(total), typeof(total) FROM orders GROUP BY customer":  "10.35|real\n5|integer",
		"SELECT id FROM orders WHERE customer='ann' AND total > 1":        "o-1",
		"SELECT date(at) FROM orders WHERE at > '2026-01-01'":             "2026-01-02",
		"SELECT name, version, live, relay, position FROM leat_tables":    "orders|1|1|r|0",
		"SELECT leat_types FROM leat_orders_v1 WHERE leat_types NOT NULL": "{\"at\":\"timestamp\",\"paid\":\"boolean\"}\n{\"paid\":\"boolean\"}",
	} {
		if diff := cmp.Diff(want, sheet(t, db, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if plan := sheet(t, db, "EXPLAIN QUERY PLAN SELECT id FROM orders WHERE customer='ann' AND total > 1"); !strings.Contains(plan, "INDEX leat_orders_v1_") {
		t.Errorf("the index is not used: %s", plan)
	}
	if _, err := db.Exec("UPDATE orders SET total = 0"); err == nil {
		t.Error("a person changed a row behind the projection's back")
	}
}

// A view that people have made over a table goes on over the next version.
func TestPeoplesViewsSurviveSwap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	db := tool(t, path)
	d := &table.Def{Name: "orders", Key: []string{"id"}, Version: 1, Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "n", Type: table.Integer}}}
	ensure(t, f, d)
	if _, err := db.Exec("CREATE VIEW totals AS SELECT sum(n) AS s FROM orders"); err != nil {
		t.Fatal(err)
	}
	next := d.Clone()
	next.Version = 2
	ensure(t, f, &next)
	if err := f.Apply(t.Context(), &table.Write{Def: &next, Put: []table.Row{{"a", num("7")}}}); err != nil {
		t.Fatal(err)
	}
	if got := sheet(t, db, "SELECT s FROM totals"); got != "" {
		t.Errorf("before the swap people see %q", got)
	}
	if err := f.Swap(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	if got := sheet(t, db, "SELECT s FROM totals"); got != "7" {
		t.Errorf("after the swap people see %q", got)
	}
	if got := sheet(t, db, "SELECT name FROM sqlite_master WHERE name LIKE '%orders%'"); got != "leat_orders_v2\norders" {
		t.Errorf("left are %q", got)
	}
}

func TestNameIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	if _, err := tool(t, path).Exec("CREATE TABLE Orders (id)"); err != nil {
		t.Fatal(err)
	}
	d := &table.Def{Name: "orders", Key: []string{"id"}, Version: 1, Columns: []table.Column{{Name: "id", Type: table.Text}}}
	if _, err := f.Ensure(t.Context(), d, "d", "r", "l"); err == nil || !strings.Contains(err.Error(), "no table of leat's") {
		t.Errorf("Ensure over a table of somebody else: %v", err)
	}
	if infos, err := f.Tables(t.Context()); err != nil || len(infos) != 0 {
		t.Errorf("after it there are %v, %v", infos, err)
	}
}

// How a number is stored decides whether people can count with it.
func TestStorageClasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	d := &table.Def{Name: "n", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Numeric}}}
	ensure(t, f, d)
	db := tool(t, path)
	for s, want := range map[string]string{
		"0": "integer", "1": "integer", "-5.0": "integer", "1e18": "integer", "9223372036854775807": "integer", "-9223372036854775808": "integer",
		"0.1": "real", "1.5": "real", "-123456789012.345": "real", "0.30000000000000004": "real", "1e-20": "real", "5e-324": "real",
		"9223372036854775808": "text", "1e25": "text", "0.12345678901234567890": "text", "0.10000000000000001": "text", "1e-400": "text",
	} {
		if err := f.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{{num(s)}}}); err != nil {
			t.Fatal(err)
		}
		if got := sheet(t, db, "SELECT typeof(k) FROM n"); got != want {
			t.Errorf("%s is stored as %s, want %s", s, got, want)
		}
		rows := slices.Collect(func(yield func(string) bool) {
			for row, err := range f.Scan(t.Context(), d, nil) {
				if err != nil {
					t.Fatal(err)
				}
				yield(string(table.AppendText(nil, row[0])))
			}
		})
		c, _ := table.Canonical(num(s))
		if len(rows) != 1 || rows[0] != string(table.AppendText(nil, c)) {
			t.Errorf("%s comes back as %v", s, rows)
		}
		if err := f.Apply(t.Context(), &table.Write{Def: d, Delete: []table.Row{{num(s)}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// Two processes, one file: of two owners at one place one moves, and a lock that is held is an outage.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	a, b := openFile(t, path), openFile(t, path)
	d := &table.Def{Name: "t", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Text}}}
	ensure(t, a, d)
	ensure(t, b, d)
	for i := range int64(20) {
		results := make(chan error, 2)
		for _, f := range []*sqlite.File{a, b} {
			go func() {
				c := &table.Checkpoint{Relay: "r", LogID: "l", From: i, To: i + 1}
				results <- f.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{{fmt.Sprint(i)}}, Checkpoint: c})
			}()
		}
		x, y := <-results, <-results
		if (x == nil) == (y == nil) || !errors.Is(errors.Join(x, y), table.ErrFenced) {
			t.Fatalf("two owners at %d: %v, %v", i, x, y)
		}
	}
}

func TestOutage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	d := &table.Def{Name: "t", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Text}, {Name: "v", Type: table.Text}}}
	ensure(t, f, d)
	limit := func(pages int) {
		t.Helper()
		if err := f.Limit(t.Context(), pages); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // the file cannot grow: SQLite says that the disk is full
	w := &table.Write{Def: d, Put: []table.Row{{"k", strings.Repeat("x", 1<<20)}}, Checkpoint: &table.Checkpoint{Relay: "r", LogID: "l", To: 5}}
	err := f.Apply(t.Context(), w)
	if _, out := event.AsUnavailable(err); !out {
		t.Fatalf("a full disk gives %v", err)
	}
	limit(1 << 30)
	if err := f.Apply(t.Context(), w); err != nil {
		t.Fatalf("with space again: %v", err)
	}
}

func TestOpenFileRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{garbage, filepath.Join(dir, "no", "such", "dir", "t.db"), dir} {
		if f, err := sqlite.OpenFile(t.Context(), path); err == nil {
			t.Errorf("OpenFile(%s) works", path)
			f.Close()
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	f := openFile(t, path)
	d := &table.Def{Name: "t", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Text}}}
	ensure(t, f, d)
	s := sqlite.New(tool(t, path), nil, nil)
	if err := s.Apply(t.Context(), &table.Write{Def: d, Put: []table.Row{{"x"}}}); err == nil {
		t.Error("a store without a writer wrote")
	}
	if _, rows, err := s.Query(t.Context(), table.Query{Table: "T"}); err != nil {
		t.Error(err)
	} else {
		for range rows {
			t.Error("a row")
		}
	}
	empty := sqlite.New(tool(t, filepath.Join(t.TempDir(), "empty.db")), nil, nil)
	if infos, err := empty.Tables(t.Context()); err != nil || len(infos) != 0 {
		t.Errorf("a database without tables: %v, %v", infos, err)
	}
	var unknown *table.UnknownError
	if _, _, err := empty.Query(t.Context(), table.Query{Table: "t"}); !errors.As(err, &unknown) {
		t.Errorf("a database without tables: %v", err)
	}
}
