package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// Scope is what a caller may do. A higher one may do what a lower one may.
type Scope uint8

// The scopes.
const (
	Open  Scope = iota // anybody
	Read               // read events, tables, parked events, status
	Write              // append events
	Admin              // everything: send parked events again, drop them, pause, rebuild
)

var scopeNames = [...]string{"open", "read", "write", "admin"}

// String gives the name that the YAML uses.
func (s Scope) String() string { return scopeNames[s] }

// operate adds an operation to the API: its route, and its page in the OpenAPI document. In is its input: a struct of fields with path, query or
// header tags and those of huma's schemas, Body (JSON, checked by its schema) or RawBody (which op.RequestBody describes, for the operation to
// decode). Out is *Body or Lines; errors become problems (wire.ProblemOf). While the daemon starts, the answer is 503.
//
// To add operations: a file of your own with a function that calls operate for each, and a line in routeAPI.
func operate[In, Out any](s *Server, scope Scope, op huma.Operation, h func(ctx context.Context, d *Daemon, in *In) (*Out, error)) {
	s.operation(scope, &op, reflect.TypeFor[In](), reflect.TypeFor[Out](), func(ctx context.Context, d *Daemon, in any) (any, error) {
		out, err := h(ctx, d, in.(*In))
		if err != nil {
			return nil, err
		}
		return out, nil
	})
}

// operation is operate without its types, so that it is compiled once.
func (s *Server) operation(scope Scope, op *huma.Operation, in, out reflect.Type, h func(ctx context.Context, d *Daemon, in any) (any, error)) {
	schemas := s.document.Components.Schemas
	if scope != Open {
		op.Security = []map[string][]string{{"bearer": {}}, {"key": {}}}
	}
	op.Description = strings.TrimSpace(op.Description + "\n\nScope: " + scope.String() + ".")
	reader := inputOf(schemas, op, in)
	describe(schemas, op, out)
	s.document.AddOperation(op)
	streams := out == reflect.TypeFor[Lines]() || op.Metadata[patient] != nil

	s.route(op.Method+" "+op.Path, scope, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := wellFormed(r.URL.RawQuery); p != nil {
			fail(w, p)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		v := reflect.New(in)
		if p := reader.read(r, v.Elem()); p != nil {
			fail(w, p)
			return
		}
		d := s.daemon.Load()
		if d == nil {
			unavailable(w, "the daemon is starting")
			return
		}
		ctx := r.Context()
		if !streams && s.cfg.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.cfg.Timeout)
			defer cancel()
		}
		out, err := h(ctx, d, v.Interface())
		if err != nil {
			fail(w, wire.ProblemOf(err, telemetry.Redact))
			return
		}
		answer(w, r, out)
	}))
}

// describe puts the answers into the operation's page.
func describe(schemas huma.Registry, op *huma.Operation, out reflect.Type) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	ok := op.Responses["200"]
	if ok == nil {
		ok = &huma.Response{Description: http.StatusText(http.StatusOK)}
		op.Responses["200"] = ok
	}
	if body, has := out.FieldByName("Body"); has && ok.Content == nil {
		hint := out.Name() + body.Name
		if out.Name() == "" {
			hint = op.OperationID + "Response"
		}
		ok.Content = map[string]*huma.MediaType{"application/json": {Schema: huma.SchemaFromField(schemas, body, hint)}}
	}
	op.Responses["default"] = &huma.Response{
		Description: "Error",
		Content:     map[string]*huma.MediaType{wire.ProblemType: {Schema: schemas.Schema(reflect.TypeFor[wire.Problem](), true, "Problem")}},
	}
}

// answer writes what an operation gave: a *Lines, or a struct with a Body.
func answer(w http.ResponseWriter, r *http.Request, out any) {
	if l, ok := out.(*Lines); ok {
		l.write(w, r)
		return
	}
	b, err := wire.Line(reflect.ValueOf(out).Elem().FieldByName("Body").Interface())
	if err != nil {
		fail(w, wire.ProblemOf(err, telemetry.Redact))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // to a reader that has gone
}

// patient marks, in an operation's metadata, what bounds its time itself.
const patient = "patient"

// OfStore is the part of an input that names the store; operations on a store embed it.
type OfStore struct {
	Store string `path:"store" doc:"name of the store in the config" example:"main"`
}

func (o *OfStore) name() string { return o.Store }

// onStore is operate for what concerns one store; its path starts behind /api/v1/stores/{store}.
func onStore[In, Out any, P interface {
	*In
	name() string
}](s *Server, scope Scope, op huma.Operation, h func(ctx context.Context, st eventstore.Store, in *In) (*Out, error)) {
	op.Path = "/api/v1/stores/{store}" + op.Path
	operate(s, scope, op, func(ctx context.Context, d *Daemon, in *In) (*Out, error) {
		st, err := d.store(P(in).name())
		if err != nil {
			return nil, err
		}
		return h(ctx, st, in)
	})
}

// fallback is the store of routes that name none.
func (d *Daemon) fallback() string {
	if d.Stores != nil {
		if names := d.Stores(); len(names) == 1 {
			return names[0]
		}
	}
	return "main"
}

func (d *Daemon) store(name string) (eventstore.Store, error) {
	if d.Store == nil {
		return nil, wire.NewProblem(http.StatusNotFound, "unknown", "this daemon offers no stores")
	}
	st, ok := d.Store(name)
	if !ok {
		return nil, wire.NewProblem(http.StatusNotFound, "unknown", fmt.Sprintf("no store is called %q", name))
	}
	return st, nil
}

// Body is an output of one JSON value.
type Body[T any] struct{ Body T }

func body[T any](v T, err error) (*Body[T], error) {
	if err != nil {
		return nil, err
	}
	return &Body[T]{v}, nil
}

// Lines is an output of NDJSON: one value a line, as many as there are.
type Lines struct {
	write func(w http.ResponseWriter, r *http.Request)
}

// list answers with what write writes.
func list(write func(l *lines) error) (*Lines, error) {
	return &Lines{func(w http.ResponseWriter, _ *http.Request) {
		l := newLines(w)
		l.done(write(l))
	}}, nil
}

// lineResponse describes a Lines in the document. T is what stands on a line.
func lineResponse[T any](s *Server, words string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: words + ", one a line. What ends the list early is in the trailer " + wire.ErrorTrailer + ", as a problem.",
		Content:     map[string]*huma.MediaType{linesType: {Schema: schemaOf[T](s)}},
	}}
}

func schemaOf[T any](s *Server) *huma.Schema {
	var zero T
	return s.schema(zero)
}

func (s *Server) schema(v any) *huma.Schema {
	return s.document.Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// jsonBody describes a body that the operation decodes itself, from RawBody.
func jsonBody[T any](s *Server) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](s)}}}
}

// decode reads one JSON value strictly: unknown fields and anything behind it are mistakes.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return &wire.RequestError{Err: fmt.Errorf("the body: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body has something behind its JSON value")
	}
	return nil
}

func badRequest(format string, args ...any) error {
	return &wire.RequestError{Err: fmt.Errorf(format, args...)}
}

// newDocument makes the OpenAPI document, with no operations yet.
func newDocument(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "leat", Version: version,
			Description: "Event store, read models and pipelines of one leat daemon. Errors are problem details (RFC 9457); lists are NDJSON.",
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "an API key of server.auth.keys"},
				"key":    {Type: "apiKey", In: "header", Name: "x-api-key", Description: "an API key of server.auth.keys"},
			},
		},
	}
}

// schemaName keeps types of different packages apart that share a name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if path := t.PkgPath(); path != "" && !strings.HasSuffix(path, "/wire") && !strings.HasSuffix(path, "/admin") {
		pkg := path[strings.LastIndexByte(path, '/')+1:]
		if !strings.HasPrefix(strings.ToLower(name), pkg) {
			name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
		}
	}
	return name
}

// wellFormed refuses parameters that would be read as something else, or passed over: bad escapes, names without a value.
func wellFormed(raw string) *wire.Problem {
	if raw == "" {
		return nil
	}
	if _, err := url.ParseQuery(raw); err != nil {
		return wire.NewProblem(http.StatusBadRequest, "bad_request", "the parameters: "+err.Error())
	}
	for part := range strings.SplitSeq(raw, "&") {
		if part != "" && !strings.Contains(part, "=") {
			return wire.NewProblem(http.StatusBadRequest, "bad_request", fmt.Sprintf("the parameter %q has no value: write name=value", part))
		}
	}
	return nil
}

func tooLarge(limit int64) *wire.Problem {
	return wire.NewProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("a request may have %d bytes", limit))
}
