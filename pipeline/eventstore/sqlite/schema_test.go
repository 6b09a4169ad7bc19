package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
)

// What Schema prints is what Open makes, also where it was broken off between two steps.
func TestSchemaBySomebodyElse(t *testing.T) {
	whole := sqlite.Schema()
	steps := strings.SplitAfter(whole, "INSERT INTO leat_schema VALUES (1, ")
	cut := steps[0] + steps[1][:strings.IndexByte(steps[1], '\n')+1] + "COMMIT;\n"
	for name, script := range map[string]string{"whole": whole, "the first step": cut} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, sqlite.File)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			other := t.TempDir()
			db, err := sql.Open("sqlite", filepath.Join(other, filepath.Base(file)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), script); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			st, err := sqlite.Open(t.Context(), sqlite.Config{Dir: other})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if h, err := st.Head(t.Context()); err != nil || h.LogID == "" || !strings.Contains(script, h.LogID) {
				t.Errorf("%+v, %v: the log's id is not that of the script", h, err)
			}
			if dumped(t, file) != dumped(t, filepath.Join(other, filepath.Base(file))) {
				t.Error("the schemas differ")
			}
		})
	}
}

func dumped(t *testing.T, file string) string {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out.WriteString(s + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
