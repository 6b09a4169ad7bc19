// Package http is a sink that posts events to an HTTP endpoint: a webhook.
//
// A request carries a batch as a JSON array, or one event. It is delivered when the receiver has answered with 2xx; delivery
// is at least once, and a repeat has the same Idempotency-Key: the event's id, or for an array a hash of its events' ids.
//
// Data of events reaches the URL and the headers only as single parts of them, and the host is fixed. Addresses within
// one's own network are refused when the connection is made, after the name was looked up, unless allow_private is set;
// redirects are not followed and proxies of the environment not used.
package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/httpclient"
	"github.com/leatdev/leat/sinks"
)

func init() { sinks.Register("http", Open) }

// Config is the sink's YAML.
type Config struct {
	_ struct{} `doc:"posts events to an HTTP endpoint: a webhook"`

	URL           config.Text              `yaml:"url" sees:"event,log" doc:"where to send; {{ }} may stand behind the host, and what it gives is escaped" example:"https://example.com/orders/{{ data.order_id }}"`
	Method        string                   `yaml:"method,omitempty" default:"POST" enum:"POST,PUT,PATCH,DELETE" doc:"the request's method"`
	Body          string                   `yaml:"body,omitempty" default:"array" enum:"array,single" doc:"array: a batch is one request with a JSON array; single: one request for each event, with the event alone"`
	Headers       map[string]config.Text   `yaml:"headers,omitempty" sees:"event,log" doc:"further headers" example:"{ X-Tenant: \"{{ metadata.tenant }}\" }"`
	Token         config.Secret            `yaml:"token,omitempty" doc:"sent as Authorization: Bearer …"`
	SecretHeaders map[string]config.Secret `yaml:"secret_headers,omitempty" doc:"headers whose values no log shows" example:"{ X-API-Key: \"${API_KEY}\" }"`
	ContentType   string                   `yaml:"content_type,omitempty" default:"application/json" doc:"type of the body; with envelope: cloudevents say application/cloudevents-batch+json, and application/cloudevents+json with body: single"`
	IDHeader      string                   `yaml:"id_header,omitempty" default:"Idempotency-Key" doc:"header by which the receiver knows a repeat"`
	Timeout       time.Duration            `yaml:"timeout,omitempty" default:"10s" min:"1ms" doc:"for one request, answer included"`
	AllowPrivate  bool                     `yaml:"allow_private,omitempty" doc:"the endpoint may be on this machine or in a private network"`
	CAFile        string                   `yaml:"ca_file,omitempty" doc:"certificates (PEM) to trust beside the system's"`
}

// Target implements sinks.Target: scheme and host. Path and query are left out, as webhooks carry their secret there;
// two forwards to one host need names.
func (c Config) Target() string {
	scheme, rest, ok := strings.Cut(c.URL.Source, "://")
	if !ok {
		return "http"
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	return scheme + "://" + host[strings.LastIndex(host, "@")+1:]
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// reserved are headers that the sink or the protocol writes.
var reserved = []string{"content-length", "content-type", "transfer-encoding", "connection", "host", "te", "trailer", "upgrade"}

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
	return errors.Join(httpclient.CheckURL("url", c.URL.Source, c.AllowPrivate), c.validateHeaders())
}

func (c Config) validateHeaders() error {
	var names []string
	for name := range c.Headers {
		names = append(names, name)
	}
	for name := range c.SecretHeaders {
		names = append(names, name)
	}
	names = append(names, or(c.IDHeader, "Idempotency-Key"))
	if !c.Token.IsZero() {
		names = append(names, "Authorization")
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for i, name := range names {
		switch {
		case !headerName.MatchString(name):
			return &config.FieldError{Field: "headers", Err: fmt.Errorf("%q is no name of a header", name)}
		case slices.Contains(reserved, strings.ToLower(name)):
			return &config.FieldError{Field: "headers", Err: fmt.Errorf("%s is not yours to set", name), Hint: "the type of the body is content_type"}
		case i > 0 && strings.EqualFold(name, names[i-1]):
			return &config.FieldError{Field: "headers", Err: fmt.Errorf("%s is set twice", name)}
		}
	}
	return nil
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Sink posts events. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	client    *nethttp.Client
	transport *nethttp.Transport
	form      *form
	now       func() time.Time
}

var (
	_ sinks.Sink    = (*Sink)(nil)
	_ sinks.Target  = Config{}
	_ sinks.Partial = (*Sink)(nil)
)

// Open makes a sink; it does not connect.
func Open(_ context.Context, c Config, env sinks.Env) (sinks.Sink, error) {
	c.Method, c.IDHeader = or(c.Method, nethttp.MethodPost), or(c.IDHeader, "Idempotency-Key")
	c.ContentType, c.Timeout = or(c.ContentType, "application/json"), or(c.Timeout, 10*time.Second)
	f, err := newForm(&c)
	if err != nil {
		return nil, err
	}
	client, t, err := httpclient.New(httpclient.Options{Timeout: c.Timeout, AllowPrivate: c.AllowPrivate, CAFile: c.CAFile})
	if err != nil {
		return nil, err
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	return &Sink{cfg: c, form: f, now: env.Now, transport: t, client: client}, nil
}

// FailsInPart implements sinks.Partial: a call may become several requests.
func (s *Sink) FailsInPart() bool { return s.cfg.Body == "single" || !s.form.constant }

// Write posts the batch and returns when the receiver has answered. Events that want different URLs or headers go in
// requests of their own. Where the receiver is down, those that are left are not tried.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if len(batch) == 0 {
		return nil
	}
	requests, failed := s.form.requests(batch, s.cfg.Body == "single")
	var down error
	for n, r := range requests {
		err := down
		if down == nil {
			err = s.post(ctx, r, batch)
		}
		if err == nil {
			continue
		}
		if len(r.events) == len(batch) {
			return err // of the whole call
		}
		if _, is := event.AsUnavailable(err); is || ctx.Err() != nil {
			if n == 0 && failed == nil {
				return err // nothing was taken
			}
			down = err
		}
		for _, i := range r.events {
			failed = failed.Fail(i, err)
		}
	}
	return failed.Err()
}

func (s *Sink) post(ctx context.Context, r *request, batch []event.Recorded) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	req, err := nethttp.NewRequestWithContext(ctx, s.cfg.Method, r.url, bytes.NewReader(s.body(r, batch)))
	if err != nil {
		return event.PoisonAs(event.CodeSink, fmt.Errorf("http: the event makes no URL: %w", httpclient.Bare(err)))
	}
	req.Header = r.header
	req.Header.Set(s.cfg.IDHeader, s.key(r, batch))
	carry(req.Header, batch, r.events)
	res, err := s.client.Do(req)
	if err != nil {
		return s.unreachable(ctx, err, req.URL.Host, len(r.events))
	}
	defer func() { _ = res.Body.Close() }()
	return s.outcome(res, len(r.events))
}

func (s *Sink) body(r *request, batch []event.Recorded) []byte {
	if s.cfg.Body == "single" {
		return batch[r.events[0]].Raw
	}
	size := 2
	for _, i := range r.events {
		size += len(batch[i].Raw) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for n, i := range r.events {
		if n > 0 {
			out = append(out, ',')
		}
		out = append(out, batch[i].Raw...)
	}
	return append(out, ']')
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}
