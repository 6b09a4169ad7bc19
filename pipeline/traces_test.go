package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/pipeline/trace"
)

const (
	sampledFrom   = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
	unsampledFrom = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00"
	from          = "5759e988bd862e3fe1be46a994272793"
)

// traced gives the rig a tracer whose spans the test reads.
func (r *rig) traced(options ...sdk.TracerProviderOption) *tracetest.InMemoryExporter {
	spans := tracetest.NewInMemoryExporter()
	r.o.Tracer = telemetry.TracerOf(sdk.NewTracerProvider(append(options, sdk.WithSyncer(spans))...))
	return spans
}

// tree writes the spans of a trace below each other, siblings in the order of their start and their names; with outcomes.
func tree(spans tracetest.SpanStubs, traceID string) (lines []string) {
	below := map[string][]tracetest.SpanStub{}
	known := map[string]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID().String()] = true
	}
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != traceID {
			continue
		}
		up := s.Parent.SpanID().String()
		if !known[up] {
			up = ""
		}
		below[up] = append(below[up], s)
	}
	var walk func(up, indent string)
	walk = func(up, indent string) {
		slices.SortStableFunc(below[up], func(a, b tracetest.SpanStub) int {
			return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.Name, b.Name))
		})
		for _, s := range below[up] {
			line := indent + s.Name
			for _, a := range s.Attributes {
				if a.Key == "leat.outcome" || a.Key == "error.type" {
					line += " " + a.Value.AsString()
				}
			}
			lines = append(lines, line)
			walk(s.SpanContext.SpanID().String(), indent+"  ")
		}
	}
	walk("", "")
	return lines
}

func find(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no span %q", name)
	}
	return spans[i]
}

func with(parent string) func(*event.Batch) {
	return func(b *event.Batch) {
		for i := range b.Events {
			b.Events[i].SetMeta("traceparent", parent)
		}
	}
}

const tracedPipeline = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - filter: data.amount > 1
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
      - name: big
        when: data.amount > 2
        forward: { catch: { name: out } }
`

// A trace that began elsewhere goes on through the intake, and from the log to the targets in another run of the daemon.
func TestTraceGoesOnAcrossTheLog(t *testing.T) {
	run(t, tracedPipeline, func(r *rig) {
		spans := r.traced()
		r.sink("out").refuse(func(string) error { return event.Unavailable(0, errRefused) })
		f := r.start().feed()
		f.give(with(sampledFrom), order("e-1", "o-1", 3), order("e-2", "o-1", 1)).is("committed filtered")
		r.wait().drain() // not before the relays have tried
		first := len(spans.GetSpans())
		r.sink("out").failing(nil)
		time.Sleep(72 * time.Hour) // of the bubble's
		r.start()
		r.wait()
		r.finish()
		r.ok()
		all := spans.GetSpans()
		got := tree(all, from)
		same(r, "tree", strings.Join(got, "\n"), strings.Join([]string{
			"process p filtered", "  step filter filtered",
			"process p committed", "  commit p", "  relay big", "    send big unavailable", "    step big", "  relay project orders", "    step project",
			"  step append", "  step filter", "  relay big", "    send big", "    step big",
		}, "\n"))
		if len(all) <= first {
			t.Error("the second run made no span")
		}
		receive, process, send := find(t, all, "receive p"), find(t, all, "process p"), all[len(all)-1]
		if len(receive.Links) != 2 || receive.Links[0].SpanContext.TraceID().String() != from || receive.SpanContext.TraceID().String() == from {
			t.Errorf("receive: %+v", receive.Links)
		}
		if len(process.Links) != 1 || process.Links[0].SpanContext.SpanID() != receive.SpanContext.SpanID() {
			t.Errorf("process: %+v", process.Links)
		}
		for _, s := range all {
			if s.Name == "send big" {
				send = s
			}
		}
		out := r.sink("out").got[0]
		p, ok := trace.Of(&out.Event)
		if !ok || !p.Sampled || p.SpanID != send.SpanContext.SpanID() || fmt.Sprintf("%x", p.TraceID) != from {
			t.Errorf("what left carries %s, the span is %s", out.Metadata, send.SpanContext.SpanID())
		}
	})
}

// What was not sampled at first makes no span anywhere, and says so to those behind; what has no trace yet gets one.
func TestSamplingIsDecidedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		parent  string
		sampler sdk.Sampler
		spans   bool
	}{
		"sampled elsewhere":             {parent: sampledFrom, sampler: sdk.ParentBased(sdk.NeverSample()), spans: true},
		"not sampled elsewhere":         {parent: unsampledFrom, sampler: sdk.ParentBased(sdk.AlwaysSample())},
		"not sampled here":              {sampler: sdk.ParentBased(sdk.NeverSample())},
		"sampled here":                  {sampler: sdk.ParentBased(sdk.AlwaysSample()), spans: true},
		"broken, so a trace of its own": {parent: "00-xyz", sampler: sdk.ParentBased(sdk.AlwaysSample()), spans: true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, tracedPipeline, func(r *rig) {
				spans := r.traced(sdk.WithSampler(tt.sampler))
				f := r.start().feed()
				touch := func(*event.Batch) {}
				if tt.parent != "" {
					touch = with(tt.parent)
				}
				f.give(touch, order("e-1", "o-1", 3)).is("committed")
				r.wait()
				r.finish()
				r.ok()
				n := 0
				for _, s := range spans.GetSpans() {
					if s.Name != "receive p" {
						n++
					}
				}
				if tt.spans != (n > 0) {
					t.Errorf("%d spans", n)
				}
				out := r.sink("out").got[0]
				p, ok := trace.Of(&out.Event)
				if !ok || p.Sampled != tt.spans {
					t.Errorf("what left carries %s", out.Metadata)
				}
				if strings.HasPrefix(tt.parent, "00-5759") && fmt.Sprintf("%x", p.TraceID) != from {
					t.Errorf("another trace: %x", p.TraceID)
				}
			})
		})
	}
}

// Poisoned events carry their trace id, in the entry and in the log line; sent again they go on in it.
func TestTraceOfPoison(t *testing.T) {
	run(t, tracedPipeline, func(r *rig) {
		spans := r.traced()
		f := r.start().feed()
		f.give(with(sampledFrom), "no json", order("e-1", "", 3)).is("poisoned poisoned")
		r.wait()
		for _, e := range r.entries() {
			if e.TraceID != from {
				t.Errorf("%s: trace id %q", e.Step, e.TraceID)
			}
		}
		if !r.log.has("trace_id=" + from) {
			t.Error("the log does not name the trace")
		}
		var id int64
		for _, e := range r.entries() {
			if e.EventID == "e-1" {
				id = e.ID
			}
		}
		if err := r.store.EditParked(t.Context(), id, []byte(order("e-1", "o-1", 3))); err != nil {
			t.Fatal(err)
		}
		r.again(poison.Filter{IDs: []int64{id}})
		r.finish()
		got := tree(spans.GetSpans(), from)
		same(r, "tree", strings.Join(got, "\n"), strings.Join([]string{
			"process p poisoned malformed", "  commit p",
			"process p poisoned stream", "  commit p", "  process p committed", "    commit p", "    relay big", "      send big", "      step big",
			"    relay project orders", "      step project", "    step append", "    step filter", "  step append stream", "  step filter",
		}, "\n"))
	})
}

// Without a log the relays are below the intake, and what a sink refuses is a failure of their spans.
func TestTraceWithoutLog(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - forward: { catch: { name: out } }
`, func(r *rig) {
		spans := r.traced()
		r.sink("out").refuse(func(id string) error {
			if id == "e-2" {
				return event.Poison(errRefused)
			}
			return nil
		})
		f := r.start().feed()
		f.give(with(sampledFrom), order("e-1", "o-1", 3), order("e-2", "o-1", 3)).is("delivered poisoned")
		r.finish()
		same(r, "tree", strings.Join(tree(spans.GetSpans(), from), "\n"), strings.Join([]string{
			"process p poisoned sink", "  commit p", "  relay forward catch out poison", "    send forward catch out poison", "    step forward",
			"process p delivered", "  relay forward catch out", "    send forward catch out", "    step forward",
		}, "\n"))
	})
}

// What a handler makes goes on in the trace, what it calls can be below its step, and a line that it logs says so.
func TestTraceOfHandlers(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - name: ask
        handle: { stub: { name: h } }
      - append: { stream: "order/{{ data.order_id }}" }
`, func(r *rig) {
		spans := r.traced()
		var within trace.Parent
		r.handle["h"] = func(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			within, _ = trace.From(ctx)
			var logged strings.Builder
			telemetry.NewLogger(&logged, "info", "json", false).InfoContext(ctx, "asked")
			if !strings.Contains(logged.String(), `"trace_id":"`+from+`"`) {
				t.Errorf("logged %s", logged.String())
			}
			made := func(id string) event.Event {
				return event.Event{ID: id, Type: "Made", Data: []byte(`{"order_id":"o"}`)}
			}
			return handlers.Events(made("m-1"), made("m-2")), nil
		}
		f := r.start().feed()
		f.give(with(sampledFrom), order("e-1", "o-1", 3)).is("committed")
		r.finish()
		r.ok()
		all := spans.GetSpans()
		same(r, "tree", strings.Join(tree(all, from), "\n"), "process p committed\n  commit p\n  step append\n  step append\n  step ask")
		if s := find(t, all, "step ask"); within.SpanID != s.SpanContext.SpanID() {
			t.Errorf("the handler was within %x", within.SpanID)
		}
		n := 0
		for e, err := range r.store.ReadAll(t.Context(), eventstore.ReadOptions{}) {
			if p, ok := trace.Of(&e.Event); err != nil || !ok || p.SpanID != find(t, all, "process p").SpanContext.SpanID() {
				t.Errorf("%s carries %s, %v", e.ID, e.Metadata, err)
			}
			n++
		}
		same(r, "events", n, 2)
	})
}
