package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// input reads a request into the struct of an operation. Huma makes the schemas and checks by them; it is not asked to read the request as
// well, since it compiles 20 KB of code for each operation to do so.
type input struct {
	op     *huma.Operation
	schema huma.Registry
	params []param
	known  map[string]bool // names of the parameters in the query
	raw    []int           // the field RawBody, or nil
	body   []int           // the field Body, or nil
	shape  *huma.Schema    // of Body
}

// param is a field that a part of the address or a header fills.
type param struct {
	field    []int
	at, name string // path, query or header
	fallback string
	schema   *huma.Schema
}

// inputOf looks at the fields of t, and puts them into the operation's page.
func inputOf(schemas huma.Registry, op *huma.Operation, t reflect.Type) *input {
	in := &input{op: op, schema: schemas, known: map[string]bool{}}
	for _, f := range reflect.VisibleFields(t) {
		switch {
		case f.Anonymous:
		case f.Name == "Body":
			in.body, in.shape = f.Index, huma.SchemaFromField(schemas, f, t.Name()+f.Name)
			op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: in.shape}}}
		case f.Name == "RawBody":
			in.raw = f.Index
			op.RequestBody.Required = true
		default:
			in.param(f)
		}
	}
	return in
}

func (in *input) param(f reflect.StructField) {
	p := param{field: f.Index, fallback: f.Tag.Get("default"), schema: huma.SchemaFromField(in.schema, f, "")}
	page := &huma.Param{Schema: p.schema, Description: p.schema.Description}
	for _, p.at = range []string{"path", "query", "header"} {
		if tag, ok := f.Tag.Lookup(p.at); ok {
			var how string
			p.name, how, _ = strings.Cut(tag, ",")
			if p.at == "query" {
				explode := how == "explode"
				page.Explode = &explode
				in.known[p.name] = true
			}
			page.Name, page.In, page.Required = p.name, p.at, p.at == "path"
			in.params = append(in.params, p)
			in.op.Parameters = append(in.op.Parameters, page)
			return
		}
	}
	panic("admin: " + in.op.OperationID + ": the field " + f.Name + " is filled by nothing")
}

// read fills v, the struct. What is wrong with parameters comes all at once.
func (in *input) read(r *http.Request, v reflect.Value) *wire.Problem {
	query := r.URL.Query() // wellFormed has seen it
	var wrong []wire.FieldProblem
	for name := range query {
		if !in.known[name] {
			wrong = append(wrong, wire.FieldProblem{Location: "query." + name, Message: "unknown query parameter"})
		}
	}
	if len(wrong) > 0 {
		return refused(http.StatusBadRequest, wrong)
	}
	for i := range in.params {
		wrong = append(wrong, in.params[i].read(in.schema, r, query, v)...)
	}
	status := http.StatusBadRequest
	if in.raw != nil || in.body != nil {
		b, p := in.readBody(r)
		if p != nil {
			return p
		}
		switch {
		case in.raw != nil:
			v.FieldByIndex(in.raw).SetBytes(b)
		default:
			var more []wire.FieldProblem
			status, more = in.decode(r.Header.Get("Content-Type"), b, v.FieldByIndex(in.body))
			wrong = append(wrong, more...)
		}
	}
	if len(wrong) > 0 {
		return refused(status, wrong)
	}
	return nil
}

func refused(status int, wrong []wire.FieldProblem) *wire.Problem {
	code := "bad_request"
	if status == http.StatusUnsupportedMediaType {
		code = "media_type"
	}
	p := wire.NewProblem(status, code, "validation failed")
	for _, f := range wrong {
		f.Message = telemetry.Redact(f.Message)
		if !slices.Contains(p.Errors, f) {
			p.Errors = append(p.Errors, f)
		}
	}
	return p
}

func (p *param) read(schemas huma.Registry, r *http.Request, query url.Values, v reflect.Value) []wire.FieldProblem {
	var values []string
	switch p.at {
	case "path":
		values = []string{r.PathValue(p.name)}
	case "query":
		values = query[p.name]
	case "header":
		values = r.Header.Values(p.name)
	}
	if len(values) == 0 || values[0] == "" {
		values = []string{p.fallback}
	}
	at := p.at + "." + p.name
	if values[0] == "" {
		if p.at == "path" {
			return []wire.FieldProblem{{Location: at, Message: "required path parameter is missing"}}
		}
		return nil
	}
	seen, err := set(v.FieldByIndex(p.field), values)
	if err != nil {
		return []wire.FieldProblem{{Location: at, Message: err.Error()}}
	}
	return check(schemas, p.schema, seen, p.at, p.name)
}

// set puts a parameter's text into a field and gives it as the schema sees it.
func set(f reflect.Value, values []string) (any, error) {
	if f.Kind() == reflect.Slice {
		list, seen := reflect.MakeSlice(f.Type(), len(values), len(values)), make([]any, len(values))
		for i := range values {
			var err error
			if seen[i], err = set(list.Index(i), values[i:i+1]); err != nil {
				return nil, err
			}
		}
		f.Set(list)
		return seen, nil
	}
	text := values[0]
	switch f.Interface().(type) {
	case time.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, errors.New("invalid date/time for format " + time.RFC3339Nano)
		}
		f.Set(reflect.ValueOf(t))
		return text, nil
	default:
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
		return text, nil
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("invalid integer")
		}
		f.SetInt(n)
		return n, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("invalid boolean")
		}
		f.SetBool(b)
		return b, nil
	default:
		panic("admin: a parameter of type " + f.Type().String()) // a mistake in this package, which any request to the operation shows
	}
}

// check holds a value against its schema.
func check(schemas huma.Registry, schema *huma.Schema, v any, at ...string) []wire.FieldProblem {
	path, res := huma.NewPathBuffer(make([]byte, 0, 64), 0), &huma.ValidateResult{}
	for _, part := range at {
		path.Push(part)
	}
	huma.Validate(schemas, schema, path, huma.ModeWriteToServer, v, res)
	var wrong []wire.FieldProblem
	for _, err := range res.Errors {
		f := wire.FieldProblem{Message: err.Error()}
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			f = wire.FieldProblem{Location: d.ErrorDetail().Location, Message: d.ErrorDetail().Message}
		}
		wrong = append(wrong, f)
	}
	return wrong
}

// readBody reads the whole body; its size and time are bounded by the listener.
func (in *input) readBody(r *http.Request) ([]byte, *wire.Problem) {
	b, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &large):
		return nil, tooLarge(large.Limit)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, wire.NewProblem(http.StatusBadRequest, "bad_request", "the body is shorter than announced")
	case errors.As(err, &slow) && slow.Timeout():
		return nil, wire.NewProblem(http.StatusRequestTimeout, "timeout", "request body read timeout")
	case err != nil:
		return nil, wire.NewProblem(http.StatusInternalServerError, "internal", telemetry.Redact("cannot read request body: "+err.Error()))
	case len(b) == 0 && in.op.RequestBody.Required:
		return nil, wire.NewProblem(http.StatusBadRequest, "bad_request", "request body is required")
	}
	return b, nil
}

// decode checks a body of JSON by its schema and puts it into f. The status is for what is wrong.
func (in *input) decode(kind string, b []byte, f reflect.Value) (status int, wrong []wire.FieldProblem) {
	name, _, _ := strings.Cut(kind, ";")
	if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "application/json" && !strings.HasSuffix(name, "+json") {
		return http.StatusUnsupportedMediaType, []wire.FieldProblem{{Location: "body", Message: fmt.Sprintf("unknown content type: %s", kind)}}
	}
	var any any
	err := json.Unmarshal(b, &any)
	if err == nil {
		if wrong = check(in.schema, in.shape, any, "body"); len(wrong) > 0 {
			return http.StatusBadRequest, wrong
		}
		err = json.Unmarshal(b, f.Addr().Interface())
	}
	if err != nil {
		return http.StatusBadRequest, []wire.FieldProblem{{Location: "body", Message: err.Error()}}
	}
	return http.StatusBadRequest, nil
}
