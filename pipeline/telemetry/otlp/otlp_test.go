package otlp

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	res "go.opentelemetry.io/proto/otlp/resource/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func spanContext(id byte, remote bool) trace.SpanContext {
	state, _ := trace.ParseTraceState("v=1")
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{id}, TraceFlags: 1, TraceState: state, Remote: remote})
}

func stubs() []sdk.ReadOnlySpan {
	r := resource.NewSchemaless(attribute.String("service.name", "leat"))
	s := tracetest.SpanStub{
		Name: "process orders", SpanContext: spanContext(3, false), Parent: spanContext(4, true), SpanKind: trace.SpanKindConsumer,
		StartTime: time.Unix(1, 2), EndTime: time.Unix(3, 4),
		Attributes: []attribute.KeyValue{
			attribute.String("s", ""), attribute.Bool("b", false), attribute.Int("i", -7), attribute.Float64("f", 1.5),
			attribute.StringSlice("ss", []string{"a", ""}), attribute.Int64Slice("is", []int64{0, 1}), attribute.BoolSlice("bs", []bool{true}), attribute.Float64Slice("fs", []float64{0}),
		},
		Events:            []sdk.Event{{Name: "exception", Time: time.Unix(2, 0), Attributes: []attribute.KeyValue{attribute.String("k", "v")}, DroppedAttributeCount: 1}},
		Links:             []sdk.Link{{SpanContext: spanContext(5, true), Attributes: []attribute.KeyValue{attribute.String("k", "v")}, DroppedAttributeCount: 2}},
		Status:            sdk.Status{Code: codes.Error, Description: "why"},
		DroppedAttributes: 3, DroppedEvents: 4, DroppedLinks: 5,
		Resource: r, InstrumentationScope: instrumentation.Scope{Name: "leat", Version: "1"},
	}
	root := tracetest.SpanStub{Name: "root", SpanContext: spanContext(4, false), Resource: r, InstrumentationScope: s.InstrumentationScope, Status: sdk.Status{Code: codes.Ok}}
	other := tracetest.SpanStub{Name: "other", SpanContext: spanContext(9, false), Resource: r, InstrumentationScope: instrumentation.Scope{Name: "sdk"}}
	return tracetest.SpanStubs{s, other, root}.Snapshots()
}

// What the protocol's own types make of the bytes.
func TestEncoding(t *testing.T) {
	str := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	kv := func(k string, v *common.AnyValue) *common.KeyValue { return &common.KeyValue{Key: k, Value: v} }
	array := func(v ...*common.AnyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: v}}}
	}
	integer := func(n int64) *common.AnyValue { return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}} }
	boolean := func(v bool) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v}}
	}
	float := func(v float64) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: v}}
	}
	tid := append([]byte{1, 2}, make([]byte, 14)...)
	id := func(n byte) []byte { return append([]byte{n}, make([]byte, 7)...) }
	want := &wire.TracesData{ResourceSpans: []*wire.ResourceSpans{{
		Resource: &res.Resource{Attributes: []*common.KeyValue{kv("service.name", str("leat"))}},
		ScopeSpans: []*wire.ScopeSpans{{
			Scope: &common.InstrumentationScope{Name: "leat", Version: "1"},
			Spans: []*wire.Span{{
				TraceId: tid, SpanId: id(3), TraceState: "v=1", ParentSpanId: id(4), Flags: 0x301, Name: "process orders", Kind: wire.Span_SPAN_KIND_CONSUMER,
				StartTimeUnixNano: 1_000_000_002, EndTimeUnixNano: 3_000_000_004,
				Attributes: []*common.KeyValue{
					kv("s", str("")), kv("b", boolean(false)), kv("i", integer(-7)), kv("f", float(1.5)),
					kv("ss", array(str("a"), str(""))), kv("is", array(integer(0), integer(1))), kv("bs", array(boolean(true))), kv("fs", array(float(0))),
				},
				DroppedAttributesCount: 3, DroppedEventsCount: 4, DroppedLinksCount: 5,
				Events: []*wire.Span_Event{{TimeUnixNano: 2_000_000_000, Name: "exception", Attributes: []*common.KeyValue{kv("k", str("v"))}, DroppedAttributesCount: 1}},
				Links:  []*wire.Span_Link{{TraceId: tid, SpanId: id(5), TraceState: "v=1", Attributes: []*common.KeyValue{kv("k", str("v"))}, DroppedAttributesCount: 2, Flags: 0x301}},
				Status: &wire.Status{Code: wire.Status_STATUS_CODE_ERROR, Message: "why"},
			}, {
				TraceId: tid, SpanId: id(4), TraceState: "v=1", Flags: 0x101, Name: "root", Status: &wire.Status{Code: wire.Status_STATUS_CODE_OK},
			}},
		}, {
			Scope: &common.InstrumentationScope{Name: "sdk"},
			Spans: []*wire.Span{{TraceId: tid, SpanId: id(9), TraceState: "v=1", Flags: 0x101, Name: "other"}},
		}},
	}}}
	var got wire.TracesData
	if err := (proto.UnmarshalOptions{}).Unmarshal(encode(stubs()), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got, protocmp.Transform(), protocmp.IgnoreFields(&wire.Span{}, "kind")); diff != "" {
		t.Errorf("the spans (-want +got):\n%s", diff)
	}
	if k := got.ResourceSpans[0].ScopeSpans[0].Spans[0].Kind; k != wire.Span_SPAN_KIND_CONSUMER {
		t.Errorf("kind %s", k)
	}
}

// export sends the stubs to a collector and gives what was warned of.
func export(t *testing.T, s Settings, answer http.HandlerFunc) (requests int, warned []string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		answer(w, r)
	}))
	defer srv.Close()
	s.URL = srv.URL + "/v1/traces"
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	e := New(s, func(err error) { warned = append(warned, err.Error()) })
	if err := e.ExportSpans(t.Context(), stubs()); err != nil {
		t.Error(err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return requests, warned
}

func TestExport(t *testing.T) {
	for _, zip := range []bool{false, true} {
		n, warned := export(t, Settings{Gzip: zip, Headers: map[string]string{"api-key": "s"}}, func(w http.ResponseWriter, r *http.Request) {
			body := io.Reader(r.Body)
			if zip {
				z, err := gzip.NewReader(body)
				if err != nil {
					t.Error(err)
				}
				body = z
			}
			b, err := io.ReadAll(body)
			var got wire.TracesData
			if err != nil || proto.Unmarshal(b, &got) != nil || len(got.ResourceSpans) != 1 {
				t.Errorf("%v, %v", err, &got)
			}
			if r.Header.Get("Api-Key") != "s" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.URL.Path != "/v1/traces" {
				t.Errorf("%s %v", r.URL, r.Header)
			}
		})
		if n != 1 || len(warned) > 0 {
			t.Errorf("%d requests, %q", n, warned)
		}
	}
}

func TestAnswers(t *testing.T) {
	answers := 0
	for _, tt := range []struct {
		name     string
		timeout  time.Duration
		answer   http.HandlerFunc
		requests int
		warned   string
	}{
		{name: "refused for good", answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad key", http.StatusUnauthorized) }, requests: 1, warned: "3 spans are lost: the collector answers 401 Unauthorized: \"bad key"},
		{name: "busy at first", answer: func(w http.ResponseWriter, _ *http.Request) {
			if answers++; answers == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, requests: 2},
		{name: "busy for longer than there is time", timeout: 30 * time.Second, answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
		}, requests: 1, warned: "3 spans are lost: the collector answers 429"},
		{name: "refused in part", answer: func(w http.ResponseWriter, _ *http.Request) {
			partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
			partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), "too long")
			_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial))
		}, requests: 1, warned: `the collector refused 2 spans: "too long"`},
		{name: "an answer that is none", answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}\xff")) }, requests: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, warned := export(t, Settings{Timeout: tt.timeout}, tt.answer)
			if n != tt.requests || (tt.warned == "") != (len(warned) == 0) || !strings.Contains(strings.Join(warned, "\n"), tt.warned) {
				t.Errorf("%d requests, %q", n, warned)
			}
		})
	}
}

// TestLastAttemptRunsOut has the time end in an attempt: that is the last one, and the one before says why the spans are
// lost.
func TestLastAttemptRunsOut(t *testing.T) {
	var warned []string
	e := New(Settings{URL: "http://127.0.0.1:1/v1/traces", Timeout: time.Minute}, func(err error) { warned = append(warned, err.Error()) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	attempts := 0
	e.client.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if attempts++; attempts == 1 {
			return http.DefaultTransport.RoundTrip(r) // nobody listens
		}
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	if err := e.ExportSpans(ctx, stubs()); err != nil || attempts != 2 || len(warned) != 1 || !strings.Contains(warned[0], "connection refused") {
		t.Errorf("%d attempts, %v, %q", attempts, err, warned)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFromEnv(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env   map[string]string
		want  Settings
		wrong []string
	}{
		{want: Settings{URL: "http://localhost:4318/v1/traces", Timeout: 10 * time.Second}},
		{env: map[string]string{"ENDPOINT": "https://otel.example/base/", "PROTOCOL": "http/protobuf", "COMPRESSION": "gzip", "TIMEOUT": "500", "HEADERS": "a=b, c=d%20e,"},
			want: Settings{URL: "https://otel.example/base/v1/traces", Timeout: 500 * time.Millisecond, Gzip: true, Headers: map[string]string{"A": "b", "C": "d e"}}},
		{env: map[string]string{"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:1/x", "TRACES_TIMEOUT": "1", "TIMEOUT": "x"}, want: Settings{URL: "http://b:1/x", Timeout: time.Millisecond}},
		{env: map[string]string{"TRACES_ENDPOINT": "http://b:1"}, want: Settings{URL: "http://b:1/", Timeout: 10 * time.Second}},
		{env: map[string]string{"ENDPOINT": "otel:4318", "INSECURE": "TRUE"}, want: Settings{URL: "http://otel:4318/v1/traces", Timeout: 10 * time.Second}},
		{env: map[string]string{"ENDPOINT": "otel:4318"}, want: Settings{URL: "https://otel:4318/v1/traces", Timeout: 10 * time.Second}},
		{env: map[string]string{"CERTIFICATE": ca}, want: Settings{URL: "http://localhost:4318/v1/traces", Timeout: 10 * time.Second}},
		{env: map[string]string{"ENDPOINT": "grpc://x", "TIMEOUT": "-1", "COMPRESSION": "zstd", "PROTOCOL": "grpc", "HEADERS": "secret", "CERTIFICATE": "/nowhere.pem", "CLIENT_KEY": "/nowhere.key"},
			wrong: []string{"ENDPOINT: \"grpc://x\" is no http", "TIMEOUT: \"-1\" is no number of milliseconds", "COMPRESSION: \"zstd\"", "PROTOCOL: leat sends http/protobuf, not \"grpc\"", "HEADERS: header 1 is not written", "CERTIFICATE: open /nowhere.pem", "CLIENT_CERTIFICATE: open"}},
	} {
		got, err := FromEnv(func(name string) (string, bool) {
			v, ok := tt.env[strings.TrimPrefix(name, "OTEL_EXPORTER_OTLP_")]
			return v, ok
		})
		if len(tt.wrong) > 0 {
			for _, w := range tt.wrong {
				if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_"+w) {
					t.Errorf("it does not say %q: %v", w, err)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a header's text is in the error: %v", err)
			}
			continue
		}
		if (got.TLS != nil) != (tt.env["CERTIFICATE"] != "") {
			t.Errorf("%v: TLS %v", tt.env, got.TLS)
		}
		got.TLS = nil
		if tt.want.Headers == nil {
			tt.want.Headers = map[string]string{}
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", tt.env, err, diff)
		}
	}
}
