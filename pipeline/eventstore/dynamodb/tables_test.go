package dynamodb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
	"github.com/leatdev/leat/pipeline/table"
)

var counts = &table.Def{Name: "counts", Key: []string{"id"}, Version: 1, Columns: []table.Column{
	{Name: "id", Type: table.Text}, {Name: "n", Type: table.Numeric}, {Name: "any", Type: table.Any}, {Name: "at", Type: table.Timestamp}, {Name: "ok", Type: table.Boolean},
}}

// wide makes a write of so many rows.
func wide(rows int, n int64, from, to int64) *table.Write {
	w := &table.Write{Def: counts, Checkpoint: &table.Checkpoint{Relay: "r", LogID: "l", Epoch: 1, From: from, To: to}}
	for i := range rows {
		w.Put = append(w.Put, table.Row{fmt.Sprintf("k%04d", i), apd.New(n, -1), json.RawMessage(`{"a":[1]}`), time.Unix(n, 5).UTC(), true})
	}
	return w
}

func scan(t *testing.T, s table.Store) (out []string) {
	t.Helper()
	for row, err := range s.Scan(t.Context(), counts, nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(table.AppendRowJSON(nil, counts, row)))
	}
	return out
}

// TestJournal holds that a write of more rows than a transaction takes is whole from its transaction on, though its
// writer dies: readers see all of it, and the next owner brings it to its end.
func TestJournal(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	cfg := dynamodb.Config{Client: c, Table: "journal"}
	s := openStore(t, cfg)
	if _, err := s.Tables().Ensure(t.Context(), counts, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tables().Take(t.Context(), counts, "r", 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Tables().Apply(t.Context(), wide(300, 1, 0, 10)); err != nil {
		t.Fatal(err)
	}
	before := scan(t, s.Tables())
	if len(before) != 300 {
		t.Fatalf("%d rows", len(before))
	}
	second := wide(300, 2, 10, 20)
	for _, row := range second.Put[200:] {
		second.Delete = append(second.Delete, row[:1])
	}
	second.Put = second.Put[:200]
	died, err := dynamodb.Die(t.Context(), s, second)
	if err != nil || !died {
		t.Fatalf("journal %t, %v", died, err)
	}
	want := scan(t, s.Tables()) // through the journal
	if len(want) != 200 || want[0] == before[0] {
		t.Fatalf("%d rows, the first %s", len(want), want[0])
	}
	if rows, err := s.Tables().Load(t.Context(), counts, []table.Row{{"k0000"}, {"k0250"}}); err != nil || rows[0] == nil || rows[1] != nil {
		t.Errorf("loaded %v, %v", rows, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, cfg)
	info, err := s.Tables().Take(t.Context(), counts, "r", 2)
	if err != nil || info.Position != 20 {
		t.Fatalf("%+v, %v", info, err)
	}
	if diff := cmp.Diff(want, scan(t, s.Tables())); diff != "" {
		t.Errorf("after the next owner has it (-want +got):\n%.1000s", diff)
	}
	// The dead owner's repeat changes nothing.
	if err := s.Tables().Apply(t.Context(), second); !errors.Is(err, table.ErrFenced) {
		t.Errorf("a repeat: %v", err)
	}
	next := wide(200, 3, 20, 30)
	next.Checkpoint.Epoch = 2
	if died, err = dynamodb.Die(t.Context(), s, next); err != nil || !died {
		t.Fatalf("journal %t, %v", died, err)
	}
	last := wide(150, 4, 30, 40)
	last.Checkpoint.Epoch = 2
	if err := s.Tables().Apply(t.Context(), last); err != nil { // it finishes the one before first
		t.Fatal(err)
	}
	rows := scan(t, s.Tables())
	if len(rows) != 200 || rows[149] == rows[150] || rows[0] == rows[199] {
		t.Errorf("%d rows: %s, %s", len(rows), rows[0], rows[len(rows)-1])
	}
}

// TestTablesUnderFaults moves a checkpoint through all that can go wrong: each write is there once.
func TestTablesUnderFaults(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Seed: 3, Throttle: 0.05, Fail: 0.03, Lose: 0.05, Break: 0.05, Conflict: 0.01, Part: 0.3, Skip: 0.1}
	s := openStore(t, dynamodb.Config{Client: client(t, fake(t, plan).URL)})
	if _, err := s.Tables().Ensure(t.Context(), counts, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	position := int64(0)
	for n := range int64(12) {
		rows := 20
		if n%3 == 2 {
			rows = 130
		}
		if err := s.Tables().Apply(t.Context(), wide(rows, n, position, position+1)); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
		position++
	}
	plan.Stop()
	rows := scan(t, s.Tables())
	if len(rows) != 130 {
		t.Fatalf("%d rows", len(rows))
	}
	infos, err := s.Tables().Tables(t.Context())
	if err != nil || len(infos) != 1 || infos[0].Position != position {
		t.Errorf("%+v, %v", infos, err)
	}
}

func TestLargeRow(t *testing.T) {
	t.Parallel()
	s := openStore(t, dynamodb.Config{Client: client(t, fake(t, nil).URL)})
	if _, err := s.Tables().Ensure(t.Context(), counts, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	w := &table.Write{Def: counts, Put: []table.Row{{"k", nil, json.RawMessage(`"` + fmt.Sprintf("%0500000d", 1) + `"`), nil, nil}}}
	if err := s.Tables().Apply(t.Context(), w); !errors.Is(err, table.ErrValue) {
		t.Errorf("a row of half a megabyte: %v", err)
	}
}

// TestSwaps has two daemons append while the table that their transactions write is built anew by each in turn; also where the
// service throttles, cancels, and loses answers.
func TestSwaps(t *testing.T) {
	for name, plan := range map[string]*dynamofake.Plan{
		"calm":   nil,
		"faults": {Seed: 7, Throttle: 0.03, Fail: 0.02, Lose: 0.03, Conflict: 0.02, Part: 0.3, Skip: 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, fake(t, plan).URL)
			name := fmt.Sprintf("leat-%d", tables.Add(1))
			storetest.Swaps(t, []eventstore.Store{openStore(t, dynamodb.Config{Client: c, Table: name, Patience: time.Minute}), openStore(t, dynamodb.Config{Client: c, Table: name, Patience: time.Minute})}, 10, 4)
		})
	}
}
