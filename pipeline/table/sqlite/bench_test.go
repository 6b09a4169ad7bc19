package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/table"
)

// page is 1,000 rows of a key, a number and a text, over 1,000 keys.
func page() (*table.Def, []table.Row, []table.Row) {
	d := &table.Def{
		Name: "orders", Key: []string{"id"}, Version: 1,
		Columns: []table.Column{{Name: "id", Type: table.Any}, {Name: "total", Type: table.Any}, {Name: "state", Type: table.Any}},
	}
	var rows, keys []table.Row
	for i := range 1000 {
		id := fmt.Sprintf("order-%06d", i*7919%1000)
		rows = append(rows, table.Row{id, apd.New(int64(i)*100+25, -2), "placed"})
		keys = append(keys, table.Row{id})
	}
	return d, rows, keys
}

// BenchmarkApply commits 1,000 rows and the checkpoint in one transaction, synchronous=FULL.
func BenchmarkApply(b *testing.B) {
	f := openFile(b, filepath.Join(b.TempDir(), "t.db"))
	d, rows, _ := page()
	if _, err := f.Ensure(b.Context(), d, "d", "r", "l"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		c := &table.Checkpoint{Relay: "r", LogID: "l", From: i, To: i + 1}
		if err := f.Apply(b.Context(), &table.Write{Def: d, Put: rows, Checkpoint: c}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(rows))/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLoad reads 1,000 rows by their keys.
func BenchmarkLoad(b *testing.B) {
	f := openFile(b, filepath.Join(b.TempDir(), "t.db"))
	d, rows, keys := page()
	if _, err := f.Ensure(b.Context(), d, "d", "r", "l"); err != nil {
		b.Fatal(err)
	}
	if err := f.Apply(b.Context(), &table.Write{Def: d, Put: rows}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Load(b.Context(), d, keys); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(rows))/b.Elapsed().Seconds(), "rows/s")
}
