package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/postgres"
)

func stock() *table.Def {
	return &table.Def{
		Name: "stock", Key: []string{"sku"}, Version: 1, Indexes: [][]string{{"seen"}, {"doc"}},
		Columns: []table.Column{
			{Name: "sku", Type: table.Text}, {Name: "qty", Type: table.Numeric}, {Name: "seen", Type: table.Timestamp},
			{Name: "open", Type: table.Boolean}, {Name: "doc", Type: table.JSON}, {Name: "what", Type: table.Any},
		},
	}
}

func mustEnsure(t *testing.T, s table.Store, d *table.Def) {
	t.Helper()
	if _, err := s.Ensure(t.Context(), d, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
}

// TestPeople reads a table as people do: the view has PostgreSQL's own types.
func TestPeople(t *testing.T) {
	schema := pgtest.Schema()
	d := open(t, schema)
	def := stock()
	mustEnsure(t, d, def)
	seen, err := table.ParseText(table.Timestamp, "2026-01-02T03:04:05.123456789Z")
	if err != nil {
		t.Fatal(err)
	}
	row := table.Row{"a", apd.New(125, -1), seen[0], true, []byte(nil), apd.New(7, 0)}
	row[4] = table.Value(nil)
	if err := d.Apply(t.Context(), &table.Write{Def: def, Put: []table.Row{row}}); err != nil {
		t.Fatal(err)
	}
	var got string
	err = pgtest.Shared(t).Conn(t, "").QueryRow(t.Context(),
		"SELECT concat_ws(' ', sku, qty * 2, to_char(seen AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD HH24:MI:SS.US'), NOT open, doc, what::int + 1) FROM "+schema+".stock").Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a 25.0 2026-01-03 03:04:05.123456 f 8", got); diff != "" {
		t.Errorf("the view (-want +got):\n%s", diff)
	}
}

// TestLongNames: PostgreSQL cuts names off at 63 bytes, which must not make one of two.
func TestLongNames(t *testing.T) {
	d := open(t, pgtest.Schema())
	var defs []*table.Def
	for _, tail := range []string{"a", "b"} {
		for version := 1; version <= 2; version++ {
			def := stock()
			def.Name, def.Version = strings.Repeat("ü", 31)+tail, version
			mustEnsure(t, d, def)
			defs = append(defs, def)
			if err := d.Apply(t.Context(), &table.Write{Def: def, Put: []table.Row{{tail + fmt.Sprint(version), nil, nil, nil, nil, nil}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, def := range defs {
		n := 0
		for row, err := range d.Scan(t.Context(), def, nil) {
			if want := def.Name[62:] + fmt.Sprint(def.Version); err != nil || row[0] != want {
				t.Errorf("%v, %v, want %s", row, err, want)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d rows", n)
		}
	}
}

// TestEnsureTogether has several daemons start with the same new tables.
func TestEnsureTogether(t *testing.T) {
	schema := pgtest.Schema()
	var wg sync.WaitGroup
	stores := []*postgres.Database{open(t, schema), open(t, schema), open(t, schema)}
	for _, s := range stores {
		wg.Go(func() {
			for i := range 4 {
				def := stock()
				def.Name = fmt.Sprint("stock", i)
				if _, err := s.Ensure(t.Context(), def, "d", "r", "l"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	infos, err := stores[0].Tables(t.Context())
	if err != nil || len(infos) != 4 {
		t.Errorf("%d tables, %v", len(infos), err)
	}
}

// TestTakenName leaves alone what somebody else has made.
func TestTakenName(t *testing.T) {
	schema := pgtest.Schema()
	d := open(t, schema)
	pgtest.Shared(t).Exec(t, "", "CREATE TABLE "+schema+".stock (n int)")
	if _, err := d.Ensure(t.Context(), stock(), "d", "r", "l"); err == nil || !strings.Contains(err.Error(), "no table of leat's") {
		t.Errorf("error %v", err)
	}
}

// TestOutage tells an outage from a fault, and says no password.
func TestOutage(t *testing.T) {
	_, err := postgres.Open(t.Context(), "postgres://leat:s3cret@127.0.0.1:1/x", "")
	if _, ok := event.AsUnavailable(err); !ok || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	server := pgtest.New(t)
	d, err := postgres.Open(t.Context(), server.DSN(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	def := stock()
	mustEnsure(t, d, def)
	server.Stop(false)
	row := table.Row{"a", nil, nil, nil, nil, nil}
	write := &table.Write{Def: def, Put: []table.Row{row}, Checkpoint: &table.Checkpoint{Relay: "r", LogID: "l", To: 3}}
	if err := d.Apply(t.Context(), write); err == nil {
		t.Error("a write without a server")
	} else if _, ok := event.AsUnavailable(err); !ok {
		t.Errorf("error %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), write); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	if err := d.Apply(t.Context(), write); !errors.Is(err, table.ErrFenced) {
		t.Errorf("again: %v", err)
	}
}
