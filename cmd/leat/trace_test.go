package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
)

// collector is an OpenTelemetry collector that keeps what it gets.
type collector struct {
	mu      sync.Mutex
	spans   []*wire.Span
	service string
	key     string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var in wire.TracesData // its fields are the request's
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &in) != nil {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = r.Header.Get("Api-Key")
	for _, res := range in.ResourceSpans {
		for _, a := range res.Resource.Attributes {
			if a.Key == "service.name" {
				c.service = a.Value.GetStringValue()
			}
		}
		for _, s := range res.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

// tree writes a trace's spans below each other, siblings by name.
func (c *collector) tree(traceID string) (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[string]bool{}
	for _, s := range c.spans {
		known[string(s.SpanId)] = true
	}
	below := map[string][]*wire.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == traceID {
			up := string(s.ParentSpanId)
			if !known[up] {
				up = "" // of another service
			}
			below[up] = append(below[up], s)
		}
	}
	var walk func(up, indent string)
	walk = func(up, indent string) {
		slices.SortStableFunc(below[up], func(a, b *wire.Span) int { return strings.Compare(a.Name, b.Name) })
		for _, s := range below[up] {
			lines = append(lines, indent+s.Name+" "+strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")))
			walk(string(s.SpanId), indent+"  ")
		}
	}
	walk("", "")
	return lines
}

func (c *collector) find(name, traceID string) *wire.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name && hex.EncodeToString(s.TraceId) == traceID {
			return s
		}
	}
	return nil
}

// A trace goes from a queue into the log and out to a bus, in W3C's form and in X-Ray's, over the real program.
func TestTraceFromQueueToBus(t *testing.T) {
	cloud, env := region(t, nil)
	cloud.CreateQueue(awsfake.Queue{Name: "in"})
	c := &collector{}
	srv := httptest.NewServer(c)
	defer srv.Close()
	dir := t.TempDir()
	file := write(t, dir, "p.yaml", `
telemetry: { traces: { headers: { api-key: secret } } }
pipelines:
  orders:
    source: { sqs: { queue: in } }
    steps:
      - filter: data.n > 0
      - append: { stream: "order/{{ id }}" }
      - name: out
        forward: { eventbridge: { bus: default } }
`)
	const w3c, xray, other = "5759e988bd862e3fe1be46a994272793", "6759e988bd862e3fe1be46a994272793", "7759e988bd862e3fe1be46a994272793"
	event := func(id string) string { return `{"id":"` + id + `","detail-type":"T","source":"s","detail":{"n":1}}` }
	cloud.Send("in",
		awsfake.Message{Body: event("e1"), Attributes: map[string]awsfake.Attribute{"traceparent": {DataType: "String", StringValue: "00-" + w3c + "-53995c3f42cd8ad8-01"}}},
		awsfake.Message{Body: event("e2"), Trace: "Root=1-6759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"},
		awsfake.Message{Body: event("e3"), Trace: "Root=1-7759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"})
	d := startLeat(t, dir, append(env, "OTEL_EXPORTER_OTLP_ENDPOINT="+srv.URL, "OTEL_SERVICE_NAME=shop", "LEAT_DATA="+dir), "run", file, "--listen", "off")
	deadline := time.Now().Add(time.Minute)
	for len(cloud.Events("default")) < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("the events do not come out:\n%s", d.stderr.String())
		}
		time.Sleep(5 * time.Millisecond) // another process: there is nothing but asking
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := d.exit(t, time.Minute); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, d.stderr.String())
	}
	want := "process orders consumer\n  commit orders client\n  relay out consumer\n    send out producer\n    step out internal\n  step append internal\n  step filter internal"
	for _, id := range []string{w3c, xray} {
		if got := strings.Join(c.tree(id), "\n"); got != want {
			t.Errorf("the spans of %s:\n%s\nwant:\n%s", id, got, want)
		}
	}
	if got := c.tree(other); len(got) > 0 {
		t.Errorf("a trace that is not sampled has spans: %v", got)
	}
	for _, e := range cloud.Events("default") {
		id, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimPrefix(e.TraceHeader, "Root=1-"), "-", ""), ";")
		sampled := strings.HasSuffix(e.TraceHeader, ";Sampled=1")
		if sampled != (id != other) {
			t.Errorf("the bus got %q", e.TraceHeader)
		}
		if s := c.find("send out", id); sampled && (s == nil || !strings.Contains(e.TraceHeader, ";Parent="+hex.EncodeToString(s.SpanId))) {
			t.Errorf("the bus got %q, the span is %v", e.TraceHeader, s)
		}
	}
	if process := c.find("process orders", w3c); process == nil || hex.EncodeToString(process.ParentSpanId) != "53995c3f42cd8ad8" || len(process.Links) != 1 {
		t.Errorf("process: %v", process)
	}
	if c.service != "shop" || c.key != "secret" {
		t.Errorf("service %q, key %q", c.service, c.key)
	}
}

func TestTraceSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "in.ndjson", `{"n":1}`+"\n")
	file := write(t, dir, "p.yaml", `
pipelines:
  p: { source: { file: { path: in.ndjson } }, steps: [ { forward: { stdout: {} } } ] }
`)
	for _, tt := range []struct {
		env   []string
		code  int
		words []string
	}{
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_TRACES_SAMPLER=sometimes"}, code: 2,
			words: []string{"OTEL_EXPORTER_OTLP_PROTOCOL: leat sends http/protobuf, not \"grpc\"", "OTEL_TRACES_SAMPLER: there is no sampler \"sometimes\""}},
		{env: []string{"OTEL_TRACES_EXPORTER=zipkin"}, code: 2, words: []string{"leat knows otlp and none, not \"zipkin\""}},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SDK_DISABLED=true"}, code: 0},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_EXPORTER=none"}, code: 0},
		// A collector that is not there costs spans and a line in the log, no events.
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT=4000"}, code: 0, words: []string{"spans are not sent", "connection refused"}},
	} {
		c := startLeat(t, dir, append(tt.env, "LEAT_DATA="+t.TempDir()), "run", file, "--listen", "off", "--log-format", "text")
		code := c.exit(t, time.Minute)
		for _, w := range tt.words {
			if !strings.Contains(c.stderr.String(), w) {
				t.Errorf("%v: it does not say %q", tt.env, w)
			}
		}
		if code != tt.code || len(tt.words) == 0 && strings.Contains(c.stderr.String(), "spans") {
			t.Errorf("%v: exit code %d:\n%s", tt.env, code, c.stderr.String())
		}
	}
}
