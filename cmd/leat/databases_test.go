package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/race"
)

// TestTablesElsewhere keeps a table in another database than the log, kills the daemon again and again, and compares the
// table with one that nobody disturbed. Some events fail, are mended, and sent again under the kills too.
func TestTablesElsewhere(t *testing.T) {
	n := 4000
	if race.Enabled || testing.Short() {
		n = 1500
	}
	server := pgtest.New(t)
	server.Exec(t, "", "CREATE DATABASE log")
	server.Exec(t, "", "CREATE DATABASE reporting")
	const files = `
pipelines:
  p:
    source: { file: { path: in.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - { batch: { events: 100 }, project: { table: totals, key: { order_id: data.order_id }, add: { total: data.amount, n: 1 } } }
    lease: 1s
tables: { totals: { in: reporting } }
`
	embedded := func(t *testing.T, dir string) eventstore.Store {
		st, err := sqlite.Open(t.Context(), sqlite.Config{Dir: filepath.Join(dir, "data")})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	onServer := func(t *testing.T, _ string) eventstore.Store {
		st, err := postgres.Open(t.Context(), postgres.Config{DSN: server.Database("log")})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	for _, tt := range []struct {
		name, stores, databases string
		open                    func(t *testing.T, dir string) eventstore.Store
	}{
		{"SQLite beside PostgreSQL", "{ main: { postgres: { dsn: \"" + server.Database("log") + "\" } } }", "{ reporting: { sqlite: { path: reporting.db } } }", onServer},
		{"PostgreSQL beside SQLite", "{}", "{ reporting: { postgres: { dsn: \"" + server.Database("reporting") + "\", schema: shop } } }", embedded},
		{"SQLite beside SQLite", "{}", "{ reporting: { sqlite: { path: reporting.db } } }", embedded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var in strings.Builder
			sums := map[string][2]int{}
			fails := func(i int) bool { return i > n-400 && i%97 == 0 } // late, so that not too much waits behind them
			for i := range n {
				id, amount := fmt.Sprint("o-", i%13), fmt.Sprint(i%7)
				if fails(i) {
					amount = `"many"`
				}
				fmt.Fprintf(&in, `{"id":"e%d","source":"shop","detail-type":"Order","detail":{"order_id":%q,"amount":%s}}`+"\n", i, id, amount)
				s := sums[id]
				if fails(i) {
					sums[id] = [2]int{s[0] + 100, s[1] + 1} // as they are mended
				} else {
					sums[id] = [2]int{s[0] + i%7, s[1] + 1}
				}
			}
			write(t, dir, "in.ndjson", in.String())
			write(t, dir, "pipeline.yaml", files+"stores: "+tt.stores+"\ndatabases: "+tt.databases+"\n")
			run := func() *child { return startLeat(t, dir, nil, "run", "pipeline.yaml", "--listen", "off") }
			disturb := func(times int) {
				for range times {
					c := run()
					select {
					case <-c.done:
					case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond): // the moment of the kill is the point
					}
					c.kill()
				}
				if c := run(); c.exit(t, 60*time.Second) != 0 {
					t.Fatalf("the run failed:\n%s", clip(c.stderr.String()))
				}
			}
			disturb(4)
			if mend(t, tt.open(t, dir)) == 0 {
				t.Error("nothing failed: the test shows little")
			}
			disturb(4)
			for mend(t, tt.open(t, dir)) > 0 { // what was held behind those that failed, and fails too
				disturb(1)
			}
			if left := objects[struct{ ID int64 }](t, leat(t, dir, nil, "poison", "ls", "pipeline.yaml", "--json").want(t, 0).out); len(left) > 0 {
				t.Errorf("%d events are parked still", len(left))
			}
			rows := objects[struct {
				OrderID string `json:"order_id"`
				Total   int
				N       int
			}](t, leat(t, dir, nil, "table", "totals", "pipeline.yaml", "--json").want(t, 0).out)
			got := map[string][2]int{}
			for _, r := range rows {
				got[r.OrderID] = [2]int{r.Total, r.N}
			}
			if d := cmp.Diff(sums, got); d != "" {
				t.Errorf("totals (-want +got):\n%s", d)
			}
		})
	}
}

// mend gives each event that failed a number, and has it sent again by the next run.
func mend(t *testing.T, s eventstore.Store) int {
	t.Helper()
	defer s.Close()
	n := 0
	for e, err := range s.ListParked(t.Context(), poison.Filter{States: []poison.State{poison.Parked}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if err := s.EditParked(t.Context(), e.ID, []byte(strings.Replace(string(e.Payload), `"many"`, "100", 1))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.SetParked(t.Context(), poison.Filter{States: []poison.State{poison.Parked}}, poison.Retrying); err != nil {
		t.Fatal(err)
	}
	return n
}
