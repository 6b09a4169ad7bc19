package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/trace"
)

func vars(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestTracerIsOff(t *testing.T) {
	for _, tt := range []struct {
		c    config.Traces
		env  map[string]string
		on   bool
		fail string
	}{
		{},
		{c: config.Traces{Service: "x"}},
		{env: map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": " "}},
		{c: config.Traces{Endpoint: "http://c:4318"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/x"}, on: true},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{c: config.Traces{Endpoint: "http://c:4318"}, env: map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		{c: config.Traces{Endpoint: "http://c:4318"}, env: map[string]string{"OTEL_SDK_DISABLED": "True"}},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp,console"}, fail: `not "console"`},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, fail: "no ratio"},
		{c: config.Traces{Endpoint: "c:4318"}, fail: "no http or https URL"},
	} {
		tr, err := NewTracer(t.Context(), tt.c, "1", vars(tt.env), func(error) {})
		if (tr != nil) != tt.on || (err != nil) != (tt.fail != "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
			t.Errorf("%+v %v: on %t, %v", tt.c, tt.env, tr != nil, err)
		}
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The file counts before the environment; what it leaves out the environment says.
func TestTracerSends(t *testing.T) {
	var got wire.TracesData
	var key, other string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if err := proto.Unmarshal(b, &got); err != nil {
			t.Error(err)
		}
		key, other = r.Header.Get("Api-Key"), r.Header.Get("Other")
	}))
	defer srv.Close()
	t.Setenv("OTEL_SERVICE_NAME", "environment") // the SDK reads these by itself
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=shop")
	all := 1.0
	tr, err := NewTracer(t.Context(), config.Traces{Endpoint: srv.URL, Service: "file", Sample: &all, Headers: map[string]config.Secret{"api-key": config.NewSecret("s")}},
		"7", vars(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "other=o,Api-KEY=e"}), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	tr.Start(trace.Parent{}, "a", Internal, nil).End(nil)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	attrs := map[string]string{}
	for _, a := range got.ResourceSpans[0].Resource.Attributes {
		attrs[a.Key] = a.Value.GetStringValue()
	}
	if attrs["service.name"] != "file" || attrs["service.version"] != "7" || attrs["team"] != "shop" || key != "s" || other != "o" {
		t.Errorf("%v, %q, %q", attrs, key, other)
	}
	none := 0.0
	if tr, err = NewTracer(t.Context(), config.Traces{Endpoint: srv.URL, Sample: &none}, "", vars(nil), func(error) {}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Shutdown(context.Background()) }()
	if s := tr.Start(trace.Parent{}, "a", Internal, nil); s.Recording() || !s.Parent().Valid() || s.Parent().Sampled {
		t.Error("a trace is sampled although none should be")
	}
	if s := tr.Start(trace.Parent{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Sampled: true}, "a", Internal, nil); !s.Recording() {
		t.Error("a trace that was sampled elsewhere is not")
	}
}

func TestSpans(t *testing.T) {
	var none *Tracer
	off := none.Start(trace.Parent{}, "a", Internal, nil)
	off.Set(Text("k", "v"))
	off.Fail("c", "r")
	off.End(errors.New("x"))
	if off != nil || off.Child("b", Internal, time.Time{}) != nil || off.Recording() || off.Parent().Valid() || off.Context(t.Context()) != t.Context() {
		t.Error("a span of no tracer is one")
	}

	kept := tracetest.NewInMemoryExporter()
	tr := TracerOf(sdk.NewTracerProvider(sdk.WithSyncer(kept)))
	parent := trace.Parent{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Sampled: true, State: "v=1"}
	s := tr.Start(parent, "a", Consumer, []trace.Parent{{TraceID: [16]byte{3}, SpanID: [8]byte{4}}}, Text("k", "v"))
	if p := s.Parent(); p.TraceID != parent.TraceID || p.State != "v=1" || !p.Sampled {
		t.Errorf("%+v", p)
	}
	ctx := s.Context(t.Context())
	if p, ok := trace.From(ctx); !ok || p != s.Parent() || !oteltrace.SpanContextFromContext(ctx).IsValid() {
		t.Errorf("the context has %+v", p)
	}
	began := time.Now().Add(-time.Minute)
	s.Child("b", Client, began, Number("n", 1)).End(event.PoisonAs(event.CodeStream, errors.New("password=hunter2 is wrong")))
	s.End(nil)
	s.End(errors.New("too late"))
	all := kept.GetSpans()
	b, a := all[0], all[1]
	if len(all) != 2 || b.Parent.SpanID() != a.SpanContext.SpanID() || !b.StartTime.Equal(began) || b.Status.Code != codes.Error || a.Status.Code != codes.Unset || len(a.Links) != 1 {
		t.Errorf("%+v", all)
	}
	if strings.Contains(b.Status.Description, "hunter2") {
		t.Errorf("a secret is in a span: %s", b.Status.Description)
	}
}
