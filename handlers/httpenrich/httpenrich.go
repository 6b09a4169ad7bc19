// Package httpenrich is a handler that asks an HTTP endpoint about each event and puts the answer, which must be JSON, into
// the event.
//
// Data of events reaches the URL and the headers only as single parts of them, and the host is fixed. Addresses within
// one's own network are refused when the connection is made, unless allow_private is set; redirects are not followed and
// proxies of the environment not used.
package httpenrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/httpclient"
	"github.com/leatdev/leat/pipeline/lru"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/trace"
)

func init() { handlers.Register("http_enrich", Open) }

// Config is the handler's YAML.
type Config struct {
	_             struct{}                 `doc:"asks an HTTP endpoint about each event and puts the answer into it"`
	URL           config.Text              `yaml:"url" sees:"event,log" doc:"what to ask (GET); {{ }} may stand behind the host, and what it gives is escaped" example:"https://example.com/customers/{{ data.customer_id }}"`
	Into          string                   `yaml:"into,omitempty" default:"data.enriched" doc:"path that gets the answer: within data or metadata"`
	Pick          string                   `yaml:"pick,omitempty" doc:"dotted path within the answer that is taken; default: all of it" example:"result.customer"`
	Missing       string                   `yaml:"missing,omitempty" default:"poison" enum:"poison,null,skip,retry" doc:"what an answer of 404 or 410, or one without what pick names, means: null goes into the event, skip filters it, retry counts as an attempt"`
	Headers       map[string]config.Text   `yaml:"headers,omitempty" sees:"event,log" doc:"further headers" example:"{ X-Tenant: \"{{ metadata.tenant }}\" }"`
	Token         config.Secret            `yaml:"token,omitempty" doc:"sent as Authorization: Bearer …"`
	SecretHeaders map[string]config.Secret `yaml:"secret_headers,omitempty" doc:"headers whose values no log shows"`
	Cache         Cache                    `yaml:"cache,omitempty" doc:"answers that are used again"`
	Timeout       time.Duration            `yaml:"timeout,omitempty" default:"10s" min:"1ms" doc:"for one request, answer included; retry.timeout of the step ends it too"`
	MaxAnswer     config.Size              `yaml:"max_answer,omitempty" default:"1MiB" min:"1" doc:"largest answer"`
	AllowPrivate  bool                     `yaml:"allow_private,omitempty" doc:"the endpoint may be on this machine or in a private network"`
	CAFile        string                   `yaml:"ca_file,omitempty" doc:"certificates (PEM) to trust beside the system's"`
}

// Cache bounds which answers are used again.
type Cache struct {
	TTL     time.Duration `yaml:"ttl,omitempty" doc:"how long an answer is used again; 0: never"`
	Entries int           `yaml:"entries,omitempty" default:"1000" min:"1" max:"1000000" doc:"answers that are kept"`
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// Files implements config.Reading.
func (c Config) Files() []string {
	if c.CAFile == "" {
		return nil
	}
	return []string{c.CAFile}
}

// CheckFile implements config.CheckingFiles.
func (c Config) CheckFile(name string, content []byte) error {
	return httpclient.CheckCA(name, content)
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var headers error
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !headerName.MatchString(name) {
			headers = errors.Join(headers, &config.FieldError{Field: "headers", Err: fmt.Errorf("%q is no name of a header", name)})
		}
	}
	var secret error
	for _, name := range slices.Sorted(maps.Keys(c.SecretHeaders)) {
		if !headerName.MatchString(name) {
			secret = errors.Join(secret, &config.FieldError{Field: "secret_headers", Err: fmt.Errorf("%q is no name of a header", name)})
		}
	}
	var into error
	if parts := strings.Split(c.Into, "."); (parts[0] != "data" && c.Into != "" && parts[0] != "metadata") || (c.Into != "" && slices.Contains(parts, "")) {
		into = &config.FieldError{Field: "into", Err: fmt.Errorf("%q is no place in an event for an answer", c.Into), Hint: "for example data.customer"}
	}
	return errors.Join(httpclient.CheckURL("url", c.URL.Source, c.AllowPrivate), headers, secret, into)
}

// Handler asks. It is safe for concurrent use.
type Handler struct {
	cfg       Config
	into      []string
	pick      []string
	client    *http.Client
	transport *http.Transport
	now       func() time.Time
	scope     *filter.Scope
	url       *filter.Template
	headers   map[string]*filter.Template
	fixed     http.Header
	views     sync.Pool
	cache     *lru.Cache[string, answer]
}

// answer is what an endpoint said; there is false where it has nothing of that name.
type answer struct {
	json  []byte
	there bool
}

var _ handlers.Asking = (*Handler)(nil)

// Open makes a handler; it does not connect.
func Open(_ context.Context, c Config, env handlers.Env) (handlers.Handler, error) {
	h := &Handler{cfg: c, into: strings.Split(c.Into, "."), scope: filter.NewScope(filter.Event | filter.Log), headers: map[string]*filter.Template{}, fixed: http.Header{"Accept": {"application/json"}, "User-Agent": {"leat"}}, now: env.Now}
	if c.Pick != "" {
		h.pick = strings.Split(c.Pick, ".")
	}
	var err error
	if h.url, err = h.scope.Template(c.URL.Source); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	for name, text := range c.Headers {
		if h.headers[name], err = h.scope.Template(text.Source); err != nil {
			return nil, fmt.Errorf("headers.%s: %w", name, err)
		}
	}
	for name, value := range c.SecretHeaders {
		h.fixed.Set(name, value.Reveal())
	}
	if !c.Token.IsZero() {
		h.fixed.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	for name, values := range h.fixed {
		if !httpclient.PlainLine(values[0]) {
			return nil, fmt.Errorf("headers.%s: a header is one line", name)
		}
	}
	if h.client, h.transport, err = httpclient.New(httpclient.Options{Timeout: c.Timeout, AllowPrivate: c.AllowPrivate, CAFile: c.CAFile}); err != nil {
		return nil, err
	}
	h.views.New = func() any { return h.scope.NewView() }
	h.cache = lru.New[string, answer](c.Cache.Entries, c.Cache.TTL, env.Now)
	return h, nil
}

// Close implements handlers.Handler.
func (h *Handler) Close() error {
	h.transport.CloseIdleConnections()
	return nil
}

// Handle implements handlers.Handler. Answers map to outcomes as those of the http sink do: 408, 425, 429, 502, 503, 504
// and no answer at all are outages, which are waited out; other 5xx count as attempts; any other 4xx poisons.
func (h *Handler) Handle(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	req, key, err := h.request(ctx, &e)
	if err != nil {
		return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("http_enrich: %w", err))
	}
	a, known := h.cache.Get(key)
	if !known {
		if a, err = h.ask(ctx, req); err != nil {
			return nil, err
		}
		h.cache.Put(key, a)
	}
	return h.given(e, req.URL.Host, a)
}

// Answered implements handlers.Asking: body is what the endpoint would say.
func (h *Handler) Answered(e event.Recorded, body []byte) ([]handlers.Emitted, error) {
	a, err := h.read("the endpoint", body)
	if err != nil {
		return nil, err
	}
	return h.given(e, "the endpoint", a)
}

// given puts what the endpoint said into the event.
func (h *Handler) given(e event.Recorded, host string, a answer) ([]handlers.Emitted, error) {
	if !a.there {
		err := fmt.Errorf("http_enrich: %s knows nothing of it", host)
		switch h.cfg.Missing {
		case "skip":
			return nil, event.Skip(err.Error())
		case "retry":
			return nil, err
		case "null":
			a.json = []byte("null")
		default:
			return nil, event.Poison(err)
		}
	}
	if err := h.put(&e.Event, a.json); err != nil {
		return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("http_enrich: into %s: %w", h.cfg.Into, err))
	}
	return handlers.Events(e.Event), nil
}

// request gives the request for an event, and what it is cached under.
func (h *Handler) request(ctx context.Context, e *event.Recorded) (*http.Request, string, error) {
	v := h.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		h.views.Put(v)
	}()
	v.Reset(e)
	empty := false
	target, err := h.url.AppendEscaped(nil, v, func(dst []byte, text string) []byte {
		empty = empty || (text == "" && !slices.Contains(dst, '?'))
		return httpclient.Escape(dst, text)
	})
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("url: %w", err)
	case empty:
		return nil, "", errors.New("url: a part of the path is empty")
	case httpclient.Climbs(string(target)):
		return nil, "", errors.New("url: a part of the path is nothing but dots")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(target), nil)
	if err != nil {
		return nil, "", fmt.Errorf("url: %w", httpclient.Bare(err))
	}
	req.Header = h.fixed.Clone()
	carry(ctx, req.Header, e)
	key := string(target)
	for _, name := range slices.Sorted(maps.Keys(h.headers)) {
		text, err := h.headers[name].Text(v)
		if err == nil && !httpclient.PlainLine(text) {
			err = errors.New("the value is more than one line")
		}
		if err != nil {
			return nil, "", fmt.Errorf("headers.%s: %w", name, err)
		}
		req.Header.Set(name, text)
		key += "\n" + text
	}
	return req, key, nil
}

// carry adds W3C's trace context, of the step's span or else of the event. It is no part of what the cache knows an answer by.
func carry(ctx context.Context, header http.Header, e *event.Recorded) {
	parent, ok := trace.From(ctx)
	if !ok {
		parent, ok = trace.Of(&e.Event)
	}
	if ok && header.Get(trace.Traceparent) == "" {
		header.Set(trace.Traceparent, parent.Traceparent())
		if parent.State != "" && httpclient.PlainLine(parent.State) {
			header.Set(trace.Tracestate, parent.State)
		}
	}
}

func (h *Handler) ask(ctx context.Context, req *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	res, err := h.client.Do(req.WithContext(ctx))
	if err != nil {
		return answer{}, h.unreachable(ctx, req, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(h.cfg.MaxAnswer)+1))
	if err != nil {
		return answer{}, h.unreachable(ctx, req, err)
	}
	said := fmt.Errorf("http_enrich: %s answered %d%s", req.URL.Host, res.StatusCode, httpclient.Quoted(body))
	after, told := httpclient.RetryAfter(res.Header.Get("Retry-After"), h.now())
	switch code := res.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return answer{}, nil
	case code == http.StatusNoContent:
		return answer{json: []byte("null"), there: true}, nil
	case code >= 200 && code < 300:
		return h.read(req.URL.Host, body)
	case httpclient.Down(code):
		return answer{}, event.Unavailable(after, said)
	case code >= 500 && told:
		return answer{}, event.RetryAfter(after, said)
	case code >= 500:
		return answer{}, said
	}
	return answer{}, event.Poison(said)
}

// read takes what is wanted out of an answer.
func (h *Handler) read(host string, body []byte) (answer, error) {
	if len(body) > int(h.cfg.MaxAnswer) {
		return answer{}, event.Poison(fmt.Errorf("http_enrich: %s answered with more than max_answer, %d bytes", host, h.cfg.MaxAnswer))
	}
	if err := rawjson.Check(body); err != nil {
		return answer{}, event.Poison(fmt.Errorf("http_enrich: the answer of %s is no JSON: %w", host, err))
	}
	if h.pick != nil {
		part, ok := rawjson.Get(body, h.pick...)
		if !ok {
			return answer{}, nil
		}
		body = slices.Clone(part)
	}
	return answer{json: body, there: true}, nil
}

// unreachable is the error of a request without an answer: an outage, unless the step's own time is over or it was
// cancelled.
func (h *Handler) unreachable(ctx context.Context, req *http.Request, err error) error {
	err = httpclient.Bare(err)
	if ctx.Err() == context.Canceled {
		return fmt.Errorf("http_enrich: ask %s: %w", req.URL.Host, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", h.cfg.Timeout)
	}
	return event.Unavailable(0, fmt.Errorf("http_enrich: ask %s: %w", req.URL.Host, err))
}

func (h *Handler) put(e *event.Event, value []byte) error {
	doc := &e.Data
	if h.into[0] == "metadata" {
		doc = &e.Metadata
	}
	if len(h.into) == 1 {
		*doc = value
		return nil
	}
	base := *doc
	if len(base) == 0 || string(base) == "null" {
		base = []byte("{}")
	}
	out, err := rawjson.Set(base, h.into[1:], value)
	if err != nil {
		return err
	}
	*doc = out
	return nil
}
