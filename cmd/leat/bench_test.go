package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// cpu gives the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// orders writes n events in EventBridge's shape, padded to size bytes a line, of which one in six passes the filter of
// the benchmarks; they belong to 1,000 streams.
func orders(b *testing.B, n, size int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "orders.ndjson")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		amount := 100
		if i%6 == 0 {
			amount = 900
		}
		line := fmt.Sprintf(`{"id":"e%08d","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-%03d","amount":%d,"note":"`, i, i%1000, amount)
		for len(line) < size-4 {
			line += "x"
		}
		fmt.Fprintf(w, "%s\"}}\n", line)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// run takes a pipeline to the end of its input.
func run(b *testing.B, yaml string, env map[string]string, open func() eventstore.Store) pipeline.PipelineSummary {
	b.Helper()
	return runTraced(b, yaml, env, open, nil)
}

func runTraced(b *testing.B, yaml string, env map[string]string, open func() eventstore.Store, t *telemetry.Tracer) pipeline.PipelineSummary {
	b.Helper()
	cfg, diags := config.LoadBytes("bench.yaml", []byte(yaml), config.Options{Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	o := pipeline.Options{Tracer: t}
	if open != nil {
		cfg.Stores = map[string]config.Plugin{"main": {Kind: config.KindStore, Name: "bench"}}
		o.OpenStore = func(context.Context, string, config.Plugin) (eventstore.Store, error) { return open(), nil }
	}
	s, err := pipeline.New(cfg, o).Run(context.Background(), context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return s.Pipelines[0]
}

func report(b *testing.B, n int, used, took time.Duration) {
	b.Helper()
	events := float64(n) * float64(b.N)
	b.ReportMetric(float64(used.Microseconds())/events, "cpu-µs/event")
	b.ReportMetric(events/took.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkFileFilterFile(b *testing.B) {
	const n = 1_000_000
	in := orders(b, n, 137)
	out := filepath.Join(b.TempDir(), "out.ndjson")
	var used, took time.Duration
	for b.Loop() {
		start, c := time.Now(), cpu(b)
		s := run(b, `
pipelines:
  bench:
    source: { file: { path: "${IN}" } }
    steps:
      - filter: type == "OrderCreated" && data.amount > 500
      - forward: { file: { path: "${OUT}" } }
`, map[string]string{"IN": in, "OUT": out}, func() eventstore.Store { return memory.Open(memory.Options{}) })
		took, used = took+time.Since(start), used+cpu(b)-c
		if s.Received != n || s.Delivered != (n+5)/6 {
			b.Fatalf("%+v", s)
		}
		os.Remove(out)
	}
	report(b, n, used, took)
}

// openSQLite gives a store in a fresh directory, FULL as by default.
func openSQLite(b *testing.B) eventstore.Store {
	b.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkFileAppendSQLite(b *testing.B) {
	const n = 100_000
	in := orders(b, n, 560)
	var used, took time.Duration
	for b.Loop() {
		s := openSQLite(b)
		start, c := time.Now(), cpu(b)
		sum := run(b, `
pipelines:
  bench:
    source: { file: { path: "${IN}" } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`, map[string]string{"IN": in}, func() eventstore.Store { return s })
		took, used = took+time.Since(start), used+cpu(b)-c
		if sum.Committed != n {
			b.Fatalf("%+v", sum)
		}
	}
	report(b, n, used, took)
}

// lostSpans is an exporter that costs nothing.
type lostSpans struct{}

func (lostSpans) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (lostSpans) Shutdown(context.Context) error                        { return nil }

// BenchmarkTraces measures what spans cost an event that is filtered for and appended, its four spans' export left out.
func BenchmarkTraces(b *testing.B) {
	const n = 50_000
	in := orders(b, n, 560)
	for _, kind := range []struct {
		name    string
		sampler sdk.Sampler
	}{{"off", nil}, {"not sampled", sdk.NeverSample()}, {"1 in 100", sdk.TraceIDRatioBased(0.01)}, {"sampled", sdk.AlwaysSample()}} {
		b.Run(kind.name, func(b *testing.B) {
			var t *telemetry.Tracer
			if kind.sampler != nil {
				t = telemetry.TracerOf(sdk.NewTracerProvider(sdk.WithBatcher(lostSpans{}), sdk.WithSampler(kind.sampler)))
				defer func() { _ = t.Shutdown(context.Background()) }()
			}
			var used, took time.Duration
			for b.Loop() {
				start, c := time.Now(), cpu(b)
				s := runTraced(b, `
pipelines:
  bench:
    source: { file: { path: "${IN}" } }
    steps:
      - filter: data.amount > 1
      - append: { stream: "order/{{ data.order_id }}" }
`, map[string]string{"IN": in}, func() eventstore.Store { return memory.Open(memory.Options{}) }, t)
				took, used = took+time.Since(start), used+cpu(b)-c
				if s.Committed != n {
					b.Fatalf("%+v", s)
				}
			}
			report(b, n, used, took)
		})
	}
}

// BenchmarkRelayTable measures a relay alone: the log is there before the table's pipeline starts.
func BenchmarkRelayTable(b *testing.B) {
	const n = 100_000
	in := orders(b, n, 560)
	var used, took time.Duration
	for b.Loop() {
		s := keepOpen{openSQLite(b)}
		const steps = `
pipelines:
  bench:
    source: { file: { path: "${IN}" } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`
		run(b, steps, map[string]string{"IN": in}, func() eventstore.Store { return s })
		start, c := time.Now(), cpu(b)
		sum := run(b, steps+`
      - project: { table: totals, key: { order_id: data.order_id }, add: { total: data.amount, n: 1 }, set: { last: id } }
`, map[string]string{"IN": in}, func() eventstore.Store { return s })
		took, used = took+time.Since(start), used+cpu(b)-c
		if sum.Projected != n {
			b.Fatalf("%+v", sum)
		}
		s.Store.Close()
	}
	report(b, n, used, took)
}

// keepOpen is a store that its daemon does not close.
type keepOpen struct{ eventstore.Store }

func (keepOpen) Close() error { return nil }
