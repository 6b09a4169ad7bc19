// Package tabletest is the suite that every table.Store passes.
//
// A backend's test calls Run with a function that opens an empty store. The suite needs no clock and no sleep, and
// takes a second on a slow disk.
package tabletest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Features say what a backend does beyond the contract.
type Features struct {
	// Durable: what was written outlives the store. Backend.Reopen is set.
	Durable bool
}

// Backend is an open, empty store.
type Backend struct {
	Store table.Store
	// Reopen closes the store and opens the same database again; it is asked for where Features.Durable is set.
	Reopen func() table.Store
	// Parked lists what is parked beside the tables, by id; nil where Store.WithStore is false.
	Parked func() []poison.Entry
}

// The log and the relay of most tests.
const (
	logID = "log-1"
	relay = "shop/orders/orders"
)

// Run runs the suite. Each test opens a store of its own.
func Run(t *testing.T, f Features, open func(t *testing.T) Backend) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, b Backend)
	}{
		{"Ensure", testEnsure},
		{"EnsureAgain", testEnsureAgain},
		{"EnsureRefuses", testEnsureRefuses},
		{"EnsureExtends", testEnsureExtends},
		{"OldDefinitionWritesOn", testOldDefinition},
		{"Names", testNames},
		{"Values", testValues},
		{"AnyValues", testAnyValues},
		{"KeyValues", testKeyValues},
		{"ValuesRefused", testValuesRefused},
		{"LoadMany", testLoadMany},
		{"Scan", testScan},
		{"ScanDuringWrites", testScanDuringWrites},
		{"ApplyPutDelete", testApplyPutDelete},
		{"ApplyAtomic", testApplyAtomic},
		{"CheckpointMoves", testCheckpoint},
		{"CheckpointRaces", testCheckpointRaces},
		{"ReadsAreWhole", testReadsAreWhole},
		{"Take", testTake},
		{"Resent", testResent},
		{"BuildBeside", testBuildBeside},
		{"Rebuild", testRebuild},
		{"RenameRelay", testRenameRelay},
		{"Park", testPark},
		{"Query", testQuery},
		{"QueryAny", testQueryAny},
		{"QueryRefuses", testQueryRefuses},
		{"Reopen", testReopen},
	} {
		if tt.name == "Reopen" && !f.Durable {
			continue
		}
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// orders is the definition of most tests.
func orders() *table.Def {
	return &table.Def{
		Name: "orders", Key: []string{"id"}, Version: 1,
		Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "total", Type: table.Numeric}, {Name: "state", Type: table.Text}},
	}
}

func ensure(t *testing.T, s table.Store, d *table.Def) table.Info {
	t.Helper()
	info, err := s.Ensure(t.Context(), d, "def-1", relay, logID)
	if err != nil {
		t.Fatalf("Ensure: %v", err)
	}
	return info
}

// put writes rows without moving the checkpoint.
func put(t *testing.T, s table.Store, d *table.Def, rows ...table.Row) {
	t.Helper()
	if err := s.Apply(t.Context(), &table.Write{Def: d, Put: rows}); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

func checkpoint(from, to int64) *table.Checkpoint {
	return &table.Checkpoint{Relay: relay, LogID: logID, Epoch: 1, From: from, To: to}
}

// load gives one row.
func load(t *testing.T, r table.Reader, d *table.Def, key ...table.Value) table.Row {
	t.Helper()
	rows, err := r.Load(t.Context(), d, []table.Row{key})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if len(rows) != 1 {
		t.Fatalf("Load gave %d rows for one key", len(rows))
	}
	return rows[0]
}

func all(t *testing.T, seq iter.Seq2[table.Row, error]) []table.Row {
	t.Helper()
	var rows []table.Row
	for r, err := range seq {
		if err != nil {
			t.Fatalf("rows: %v", err)
		}
		rows = append(rows, r)
	}
	return rows
}

func scan(t *testing.T, s table.Store, d *table.Def) []table.Row {
	t.Helper()
	return all(t, s.Scan(t.Context(), d, nil))
}

func query(t *testing.T, s table.Store, q table.Query) []table.Row {
	t.Helper()
	_, rows, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("Query %+v: %v", q, err)
	}
	return all(t, rows)
}

// info gives the live table's entry.
func info(t *testing.T, s table.Store, name string) table.Info {
	t.Helper()
	infos, err := s.Tables(t.Context())
	if err != nil {
		t.Fatalf("Tables: %v", err)
	}
	i := slices.IndexFunc(infos, func(i table.Info) bool { return i.Def.Name == name })
	if i < 0 {
		t.Fatalf("Tables has no %s", name)
	}
	return infos[i]
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func wantChanged(t *testing.T, err error) {
	t.Helper()
	var changed *table.ChangedError
	if !errors.As(err, &changed) {
		t.Fatalf("error %v, want a *ChangedError", err)
	}
}

func wantRows(t *testing.T, got []table.Row, want ...table.Row) {
	t.Helper()
	if d := cmp.Diff(show(want), show(got)); d != "" {
		t.Fatalf("rows (-want +got):\n%s", d)
	}
}

// show writes rows so that two of them read alike only where each value has the same type and content.
func show(rows []table.Row) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		if r == nil {
			out[i] = "no row"
			continue
		}
		var b []byte
		for _, v := range r {
			b = append(b, ' ')
			b = append(b, table.Kind(v)...)
			b = append(b, ':')
			b = table.AppendJSON(b, v)
		}
		out[i] = string(b)
	}
	return out
}

// num reads a number.
func num(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

func at(s string) time.Time {
	tm, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return tm.UTC()
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func entry(key string) poison.Entry {
	return poison.Entry{
		Pipeline: "orders", Step: "orders", Key: key, State: poison.Parked, Code: event.CodeProjection, Reason: "no number",
		Attempts: 1, First: at("2026-01-02T03:04:05Z"), Last: at("2026-01-02T03:04:05Z"), Relay: relay,
		Stream: event.Stream{Type: "order", ID: "o-1"}, Position: 7, Payload: []byte(`{}`),
	}
}

// apply is Store.Apply on a live context.
func apply(t *testing.T, s table.Store, w *table.Write) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	return s.Apply(ctx, w)
}
