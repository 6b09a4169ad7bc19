package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/telemetry/otlp"
	"github.com/leatdev/leat/pipeline/trace"
)

// Tracer makes spans. A nil Tracer makes none, and its spans, nil too, cost nothing. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   oteltrace.Tracer
}

// NewTracer makes the daemon's tracer, nil where nothing asks for one: neither telemetry.traces nor
// OTEL_TRACES_EXPORTER=otlp nor an endpoint in OTEL_EXPORTER_OTLP_ENDPOINT (or its form for traces). OTEL_SDK_DISABLED=true
// and OTEL_TRACES_EXPORTER=none turn it off whatever else is set. What the file sets counts before the environment. The
// error tells of all variables that are wrong; warn is told of spans that are lost later on.
func NewTracer(ctx context.Context, c config.Traces, version string, env func(string) (string, bool), warn func(error)) (*Tracer, error) {
	on, err := wanted(c, env)
	if !on || err != nil {
		return nil, err
	}
	s, err := otlp.FromEnv(env)
	errs := []error{err, checkSampler(env)}
	if c.Endpoint != "" {
		url, err := otlp.WithEndpoint(c.Endpoint)
		s.URL = url
		errs = append(errs, err)
	}
	for name, value := range c.Headers {
		s.Headers[http.CanonicalHeaderKey(name)] = value.Reveal()
	}
	service := c.Service
	if service == "" {
		service = "leat"
	}
	detectors := []resource.Option{
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv(),
	}
	if c.Service != "" {
		detectors = append(detectors, resource.WithAttributes(attribute.String("service.name", service)))
	}
	r, err := resource.New(ctx, detectors...)
	if err != nil && !errors.Is(err, resource.ErrSchemaURLConflict) {
		errs = append(errs, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("telemetry: traces: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithBatcher(otlp.New(s, warn)), sdk.WithResource(r)}
	if c.Sample != nil {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(*c.Sample))))
	}
	return TracerOf(sdk.NewTracerProvider(options...)), nil
}

// TracerOf makes a tracer of a provider.
func TracerOf(p *sdk.TracerProvider) *Tracer {
	return &Tracer{provider: p, tracer: p.Tracer("github.com/leatdev/leat")}
}

// wanted reports whether traces are asked for.
func wanted(c config.Traces, env func(string) (string, bool)) (bool, error) {
	get := func(name string) string { v, _ := env(name); return strings.ToLower(strings.TrimSpace(v)) }
	if get("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	on := c.Endpoint != "" || get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	v := get("OTEL_TRACES_EXPORTER")
	if v == "" {
		return on, nil
	}
	names := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	for _, name := range names {
		if name != "otlp" && name != "none" {
			return false, fmt.Errorf("telemetry: traces: OTEL_TRACES_EXPORTER: leat knows otlp and none, not %q", name)
		}
	}
	return slices.Contains(names, "otlp"), nil
}

// checkSampler sees that the SDK understands the sampler's variables; it would tell nobody.
func checkSampler(env func(string) (string, bool)) error {
	name, _ := env("OTEL_TRACES_SAMPLER")
	known := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	name = strings.ToLower(strings.TrimSpace(name))
	if name != "" && !slices.Contains(known, name) {
		return fmt.Errorf("OTEL_TRACES_SAMPLER: there is no sampler %q; there are %s", name, strings.Join(known, ", "))
	}
	if arg, _ := env("OTEL_TRACES_SAMPLER_ARG"); arg != "" && strings.Contains(name, "ratio") {
		if v, err := strconv.ParseFloat(strings.TrimSpace(arg), 64); err != nil || v < 0 || v > 1 {
			return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is no ratio between 0 and 1", arg)
		}
	}
	return nil
}

// Shutdown sends what is waiting, until ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("telemetry: traces: %w", err)
	}
	return nil
}

// SpanKind is OpenTelemetry's.
type SpanKind = oteltrace.SpanKind

// The kinds that pipelines have.
const (
	Internal = oteltrace.SpanKindInternal
	Client   = oteltrace.SpanKindClient
	Producer = oteltrace.SpanKindProducer
	Consumer = oteltrace.SpanKindConsumer
)

// Attr is an attribute of a span.
type Attr = attribute.KeyValue

// Text makes an attribute.
func Text(key, value string) Attr { return attribute.String(key, value) }

// Number makes an attribute.
func Number(key string, value int64) Attr { return attribute.Int64(key, value) }

// Span is work that takes time. A nil Span is none; all of its methods may be called.
type Span struct {
	t    *Tracer
	span oteltrace.Span
}

// Start begins a span below a parent, or a trace of its own where the parent is not valid. Links are other spans that it
// has to do with. It may turn out not to be sampled: then it records nothing, and still says so to those below.
func (t *Tracer) Start(parent trace.Parent, name string, kind SpanKind, links []trace.Parent, attrs ...Attr) *Span {
	if t == nil {
		return nil
	}
	options := make([]oteltrace.SpanStartOption, 0, 3)
	options = append(options, oteltrace.WithSpanKind(kind), oteltrace.WithAttributes(attrs...))
	if len(links) > 0 {
		all := make([]oteltrace.Link, len(links))
		for i, l := range links {
			all[i].SpanContext = remote(l)
		}
		options = append(options, oteltrace.WithLinks(all...))
	}
	ctx := context.Background()
	if parent.Valid() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, remote(parent))
	}
	_, s := t.tracer.Start(ctx, name, options...)
	return &Span{t: t, span: s}
}

func remote(p trace.Parent) oteltrace.SpanContext {
	c := oteltrace.SpanContextConfig{TraceID: p.TraceID, SpanID: p.SpanID, Remote: true}
	if p.Sampled {
		c.TraceFlags = oteltrace.FlagsSampled
	}
	if p.State != "" {
		c.TraceState, _ = oteltrace.ParseTraceState(p.State) // what is broken is not passed on, as W3C says
	}
	return oteltrace.NewSpanContext(c)
}

// Recording reports whether the span is sampled.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// Child begins a span below this one, in this process; nil where this one is not sampled. Began is when it did; zero: now.
func (s *Span) Child(name string, kind SpanKind, began time.Time, attrs ...Attr) *Span {
	if !s.Recording() {
		return nil
	}
	options := []oteltrace.SpanStartOption{oteltrace.WithSpanKind(kind), oteltrace.WithAttributes(attrs...)}
	if !began.IsZero() {
		options = append(options, oteltrace.WithTimestamp(began))
	}
	_, c := s.t.tracer.Start(oteltrace.ContextWithSpan(context.Background(), s.span), name, options...)
	return &Span{t: s.t, span: c}
}

// Context gives a context for work within the span: spans that others make with OpenTelemetry's API are below it, and
// lines logged with it carry its ids.
func (s *Span) Context(ctx context.Context) context.Context {
	if s == nil {
		return ctx
	}
	return trace.With(oteltrace.ContextWithSpan(ctx, s.span), s.Parent())
}

// Set adds attributes.
func (s *Span) Set(attrs ...Attr) {
	if s.Recording() {
		s.span.SetAttributes(attrs...)
	}
}

// Parent gives the span as the parent of what it causes.
func (s *Span) Parent() trace.Parent {
	if s == nil {
		return trace.Parent{}
	}
	c := s.span.SpanContext()
	return trace.Parent{TraceID: c.TraceID(), SpanID: c.SpanID(), Sampled: c.IsSampled(), State: c.TraceState().String()}
}

// Fail marks the span as failed, with an error's code as its type.
func (s *Span) Fail(code, reason string) {
	if !s.Recording() {
		return
	}
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	s.span.SetStatus(codes.Error, Redact(reason))
}

// End ends the span; an error makes it a failed one. A second call does nothing.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.Fail(event.Code(err), err.Error())
	}
	s.span.End()
}
