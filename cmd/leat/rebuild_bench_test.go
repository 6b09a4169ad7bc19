package main

import (
	"context"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/control"
)

// BenchmarkRebuild builds a table of a million events anew, in a SQLite store at rest. Filling it is not counted.
func BenchmarkRebuild(b *testing.B) {
	const n = 1_000_000
	in := orders(b, n, 400)
	env := map[string]string{"IN": in, "DIR": b.TempDir()}
	const yaml = `
pipelines:
  bench:
    source: { file: { path: "${IN}" } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: totals, key: { id: data.order_id }, add: { total: data.amount, n: 1 } }
stores: { main: { sqlite: { dir: "${DIR}" } } }
`
	run(b, yaml, env, nil)
	cfg, diags := config.LoadBytes("bench.yaml", []byte(yaml), config.Options{Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	var used, took time.Duration
	for b.Loop() {
		start, c := time.Now(), cpu(b)
		w, err := pipeline.RebuildAtRest(context.Background(), cfg, pipeline.Options{}, control.Rebuild{Table: "totals"}, nil)
		if err != nil || w.Events != n {
			b.Fatalf("%+v, %v", w, err)
		}
		took, used = took+time.Since(start), used+cpu(b)-c
	}
	report(b, n, used, took)
}
