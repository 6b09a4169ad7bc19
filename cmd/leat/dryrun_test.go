package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestDryRunBesideADaemon: the store of a running daemon is read too, and a pipeline that a log alone feeds is computed from
// its beginning.
func TestDryRunBesideADaemon(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "daemon.yaml", fmt.Sprintf(`
server: { listen: "%s" }
pipelines:
  p:
    source: { http: { path: /in } }
    steps:
      - append: { stream: "order/{{ data.id }}" }
      - project: { table: orders, key: { id: data.id }, add: { n: data.n } }
  sums:
    source: { event_log: {} }
    steps:
      - project: { table: sums, key: { all: '"all"' }, add: { n: data.n } }
`, addr))
	write(t, dir, "more.yaml", `
server: { listen: "off" }
pipelines:
  p:
    source: { file: { path: more.ndjson } }
    steps:
      - append: { stream: "order/{{ data.id }}" }
      - project: { table: orders, key: { id: data.id }, add: { n: data.n } }
  sums:
    source: { event_log: { follow: false } }
    steps:
      - project: { table: sums, key: { all: '"all"' }, add: { n: data.n } }
`)
	write(t, dir, "more.ndjson", `{"id":"e9","source":"shop","detail-type":"Order","detail":{"id":"1","n":100}}`+"\n")
	c := startLeat(t, dir, nil, "run", "daemon.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	for i := range 3 {
		if code := post("http://"+addr+"/in", fmt.Sprintf(`{"id":"e%d","source":"shop","detail-type":"Order","detail":{"id":"1","n":%d}}`, i, i+1)); code >= 300 {
			t.Fatalf("status %d", code)
		}
	}
	poll(t, c, "the tables", func() bool {
		return strings.Contains(leat(t, dir, nil, "table", "sums", "--json").out, `"n":6`) && strings.Contains(leat(t, dir, nil, "table", "orders", "--json").out, `"n":6`)
	})
	got := leat(t, dir, nil, "run", "more.yaml", "--dry-run").want(t, 0)
	for _, want := range []string{`"stream":"order/1","revision":4,`, `"table":"orders","row":{"id":"1","n":106}`, `"table":"sums","row":{"all":"all","n":6}`} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %s in\n%s", want, got.out)
		}
	}
	if n := strings.Count(got.out, `"would":"append"`); n != 1 {
		t.Errorf("%d appends\n%s", n, got.out)
	}
	if out := leat(t, dir, nil, "store", "read", "--all").out; strings.Count(out, "\n") != 3 {
		t.Errorf("the log has changed:\n%s", out)
	}
	terminate(t, c)
}
