package pipelinetest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	_ "github.com/leatdev/leat/handlers/httpenrich"
	"github.com/leatdev/leat/pipeline/event"
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/pipelinetest"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/eventlog"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/generate"
	_ "github.com/leatdev/leat/sources/schedule"
)

var update = flag.Bool("update", false, "rewrite the expected texts of testdata")

// TestScripts runs each testdata/*.txtar: `pipeline.yaml` holds pipelines and tests, `want` is what became of them. Each
// runs twice: with the runner's own way to find out that nothing moves, and with synctest's.
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Files) != 2 {
				t.Fatal("a script has pipeline.yaml and want")
			}
			cfg := load(t, a.Files[0].Data)
			got := text(pipelinetest.Run(t.Context(), cfg, pipelinetest.Options{}))
			if *update {
				a.Files[1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
				t.Error("by itself:", diff)
			}
			synctest.Test(t, func(t *testing.T) {
				got := text(pipelinetest.Run(context.Background(), cfg, pipelinetest.Options{Rest: synctest.Wait}))
				if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
					t.Error("in a bubble:", diff)
				}
			})
		})
	}
}

func load(tb testing.TB, yaml []byte) *config.Config {
	tb.Helper()
	cfg, diags := config.LoadBytes("pipeline.yaml", yaml, config.Options{})
	if err := diags.Err(); err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// text writes a report without its times.
func text(rep *pipelinetest.Report) string {
	var b strings.Builder
	for _, r := range rep.Results {
		switch {
		case r.Skipped != "":
			fmt.Fprintf(&b, "skip %s: %s\n", r.Name, r.Skipped)
		case r.Passed():
			fmt.Fprintf(&b, "ok %s\n", r.Name)
		default:
			fmt.Fprintf(&b, "FAIL %s\n", r.Name)
		}
		for _, f := range r.Failures {
			what, _, _ := strings.Cut(f.What, "\n")
			fmt.Fprintf(&b, "  %d:%d: %s\n", f.Pos.Line, f.Pos.Col, what)
			for _, l := range f.Diff {
				fmt.Fprintf(&b, "    %c %s\n", l.Mark, l.Text)
			}
			for _, n := range f.Notes {
				fmt.Fprintf(&b, "    = %s\n", n)
			}
		}
	}
	for _, p := range rep.Coverage {
		for _, s := range p.Steps {
			if s.Reached == 0 {
				fmt.Fprintf(&b, "never reached: %s:%d %s\n", p.Pipeline, s.Pos.Line, s.Name)
			}
		}
	}
	return b.String()
}

func TestMatchSelects(t *testing.T) {
	cfg := load(t, []byte(one+`
tests:
  - { name: this one, events: [ { type: A, data: { id: 1 } } ], expect: { committed: 1 } }
  - { name: the other, events: [ { type: A, data: { id: 1 } } ], expect: { committed: 2 } }
`))
	var done []string
	rep := pipelinetest.Run(t.Context(), cfg, pipelinetest.Options{
		Match: func(name string) bool { return name == "this one" },
		Done:  func(r *pipelinetest.Result) { done = append(done, r.Name) },
	})
	if diff := cmp.Diff([]string{"this one"}, done); diff != "" || len(rep.Results) != 1 || !rep.Results[0].Passed() {
		t.Errorf("ran %v\n%s", done, text(rep))
	}
}

func TestInterruptedTestsAreSkipped(t *testing.T) {
	cfg := load(t, []byte(one+`
tests: [ { name: x, events: [], expect: { appended: {} } } ]
`))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := text(pipelinetest.Run(ctx, cfg, pipelinetest.Options{})); !strings.HasPrefix(got, "skip x: interrupted\n") {
		t.Error(got)
	}
}

// What never comes to rest fails its test, in words.
func TestBusyForEver(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	cfg := load(t, []byte(one+`
tests: [ { name: x, events: [ { type: A, data: { id: 1 } } ], expect: { committed: 1 } } ]
`))
	rep := pipelinetest.Run(t.Context(), cfg, pipelinetest.Options{Patience: 100 * time.Millisecond})
	if got := text(rep); !strings.Contains(got, "nothing came to rest within 100ms") {
		t.Error(got)
	}
}

const one = `
pipelines:
  orders:
    source: { file: { path: in.ndjson } }
    steps:
      - filter: data.id > 0
      - append: { stream: "order/{{ data.id }}" }
      - project: { table: orders, key: { id: data.id }, set: { total: data.amount } }
      - name: out
        forward: { stdout: {} }
`

// BenchmarkHundred runs a hundred tests: an event through filter, append, table and forward each.
func BenchmarkHundred(b *testing.B) {
	var yaml strings.Builder
	yaml.WriteString(one + "\ntests:\n")
	for i := range 100 {
		fmt.Fprintf(&yaml, "  - name: test %d\n    events: [ { type: A, data: { id: %d, amount: 5 } } ]\n", i, i+1)
		fmt.Fprintf(&yaml, "    expect: { appended: { order/%d: [ { type: A } ] }, tables: { orders: [ { id: %d, total: 5 } ] }, forwarded: { out: [ { type: A } ] } }\n", i+1, i+1)
	}
	cfg := load(b, []byte(yaml.String()))
	for b.Loop() {
		rep := pipelinetest.Run(context.Background(), cfg, pipelinetest.Options{})
		if _, failed, _ := rep.Count(); failed > 0 {
			b.Fatal(text(rep))
		}
	}
}

// The handlers of the scripts.
func init() {
	handlers.Register("double", func(context.Context, struct{}, handlers.Env) (handlers.Handler, error) {
		return handlers.Func(func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			return handlers.Events(e.Event, e.Event), nil
		}), nil
	})
	handlers.Register("never", func(context.Context, struct{}, handlers.Env) (handlers.Handler, error) {
		return never(make(chan struct{})), nil
	})
	handlers.Register("count", func(context.Context, struct{}, handlers.Env) (handlers.Handler, error) {
		return counter{}, nil
	})
}

// never comes back before it is closed, whatever becomes of its context.
type never chan struct{}

func (n never) Handle(context.Context, event.Recorded) ([]handlers.Emitted, error) {
	<-n
	return nil, nil
}

func (n never) Close() error {
	close(n)
	return nil
}

// counter keeps how many events a stream has.
type counter struct{ handlers.Closing }

func (counter) StateTables() []string { return []string{"counts"} }

func (counter) Handle(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	out := handlers.Events(e.Event)
	out[0].Stream = event.Stream{Type: "counted", ID: "x"}
	out[0].State = &handlers.State{Table: "counts", Version: 1, Data: []byte(`{"seen":"` + e.ID + `"}`)}
	return out, nil
}
