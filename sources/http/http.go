// Package http is a source that takes events by HTTP on the daemon's listener: one JSON value, an array of them, NDJSON,
// and CloudEvents in their structured, binary and batch modes.
//
//	curl -H 'Content-Type: application/json' -H 'X-API-Key: …' --data '{"order_id":"o-1"}' http://127.0.0.1:8087/orders
//
// The answer comes when the pipeline is done with every event of the request, so a sender may forget what was answered
// with 2xx, and sends again what was not. A repeat is known by the event's own id, else by the header Idempotency-Key;
// a request without either that is sent again is another event.
//
// # Answers
//
//	200  every event is committed, delivered, filtered, dropped by a rule, or a duplicate
//	202  as 200, but some events could not be handled and are parked for people to look at
//	400  the body is not what its type says; nothing of it was taken
//	401  the key or the signature is missing; 403: it is wrong, too old, or was used before
//	408  the body did not arrive in time; 413: it, or an event in it, is too large; 415: it is of another type
//	409  an id that is known came with another content
//	422  validation rejected events
//	429  more requests than the rate allows; 503: no room, or the pipeline stops. Both say in Retry-After when to come again
//
// Where a request has several events, each has its outcome in the answer, and the status is that of the worst:
// 503 before 4xx before 202 before 200.
package http

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	nethttp "net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("http", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"takes events by HTTP on the daemon's listener: JSON, arrays, NDJSON, CloudEvents" example:"{ path: /orders, keys: [\"${API_KEY}\"], rate: { requests: 100 } }"`

	Path        string          `yaml:"path" doc:"where on the daemon's listener the events are sent to; no wildcards" example:"/orders"`
	Methods     []string        `yaml:"methods,omitempty" default:"POST" enum:"POST,PUT,PATCH" doc:"methods that bring events; others are answered with 405"`
	Keys        []config.Secret `yaml:"keys,omitempty" doc:"API keys, one of which a request must bring; several while they are being changed"`
	KeyHeader   string          `yaml:"key_header,omitempty" default:"X-API-Key" doc:"header that holds the key; in Authorization it stands behind Bearer"`
	HMAC        *HMAC           `yaml:"hmac,omitempty" doc:"the signature that a request must bring"`
	IDHeader    string          `yaml:"id_header,omitempty" default:"Idempotency-Key" doc:"header that names the request, the same in a repeat of it; used for events without an id of their own" example:"X-GitHub-Delivery"`
	Headers     []string        `yaml:"headers,omitempty" doc:"headers to keep in the events' metadata, there in lower case, beside traceparent and tracestate" example:"[X-GitHub-Event]"`
	MaxBody     config.Size     `yaml:"max_body,omitempty" default:"1MiB" min:"1" max:"64MiB" doc:"size of a body; a larger one is refused before it is read"`
	MaxEvents   int             `yaml:"max_events,omitempty" default:"1000" min:"1" max:"100000" doc:"events in one body"`
	Rate        *Rate           `yaml:"rate,omitempty" doc:"how many requests are taken; those beyond are answered with 429"`
	MaxInFlight int             `yaml:"max_in_flight,omitempty" default:"256" min:"1" doc:"requests that are read or waited for at a time"`
	MaxHeld     config.Size     `yaml:"max_held,omitempty" default:"64MiB" min:"1" doc:"size of all bodies that are in memory at a time"`
	Wait        time.Duration   `yaml:"wait,omitempty" default:"5s" min:"1ms" doc:"how long a request waits for room before it is answered with 503"`
	ReadTimeout time.Duration   `yaml:"read_timeout,omitempty" default:"10s" min:"1ms" doc:"how long a body may take to arrive"`
	Timeout     time.Duration   `yaml:"timeout,omitempty" default:"30s" min:"1ms" doc:"how long the answer waits for the pipeline; the events go on after it"`
}

// Rate bounds requests.
type Rate struct {
	Requests float64 `yaml:"requests" min:"0.001" doc:"requests a second, on average" example:"100"`
	Burst    int     `yaml:"burst,omitempty" doc:"requests that may come at once; default: those of a second"`
}

// Bounds and defaults where a struct was not made from YAML.
const (
	defaultMaxBody   = 1 << 20
	defaultMaxHeld   = 64 << 20
	defaultMaxEvents = 1000
	defaultInFlight  = 256
	maxKeyLength     = 200 // an event id has 255 bytes, and an index stands behind the key
)

// withDefaults fills in what a Config that was made by hand leaves out.
func (c Config) withDefaults() Config {
	if len(c.Methods) == 0 {
		c.Methods = []string{nethttp.MethodPost}
	}
	c.KeyHeader = or(c.KeyHeader, "X-API-Key")
	c.IDHeader = or(c.IDHeader, "Idempotency-Key")
	c.MaxBody = or(c.MaxBody, defaultMaxBody)
	c.MaxHeld = max(or(c.MaxHeld, defaultMaxHeld), c.MaxBody)
	c.MaxEvents = or(c.MaxEvents, defaultMaxEvents)
	c.MaxInFlight = or(c.MaxInFlight, defaultInFlight)
	c.Wait = or(c.Wait, 5*time.Second)
	c.ReadTimeout = or(c.ReadTimeout, 10*time.Second)
	c.Timeout = or(c.Timeout, 30*time.Second)
	return c
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// own are the daemon's paths on the listener.
var own = []string{"/healthz", "/readyz", "/metrics", "/api", "/debug", "/openapi", "/openapi.json", "/openapi.yaml", "/capabilities", "/liveness-check", "/streams", "/tables"}

// private are headers that no event may hold.
var private = []string{"authorization", "cookie", "proxy-authorization"}

// Validate implements config.Validator.
func (c Config) Validate() error {
	return errors.Join(c.validatePath(), c.validateKeys(), c.validateHeaders(), c.validateBounds())
}

func (c Config) validatePath() error {
	switch {
	case !strings.HasPrefix(c.Path, "/"):
		return &config.FieldError{Field: "path", Err: errors.New("starts with a slash"), Hint: "for example /orders"}
	case strings.ContainsAny(c.Path, "{}?# \t") || strings.Contains(c.Path, "//"):
		return &config.FieldError{Field: "path", Err: fmt.Errorf("%q is no plain path", c.Path), Hint: "for example /orders"}
	}
	for _, p := range own {
		if c.Path == p || strings.HasPrefix(c.Path, p+"/") {
			return &config.FieldError{Field: "path", Err: fmt.Errorf("%s is the daemon's own", p)}
		}
	}
	return nil
}

func (c Config) validateKeys() error {
	for _, k := range c.Keys {
		if len(k.Reveal()) < 8 {
			return &config.FieldError{Field: "keys", Err: errors.New("a key has at least 8 characters"), Hint: "for example from: openssl rand -hex 24"}
		}
	}
	if c.HMAC != nil && len(c.Keys) > 0 && strings.EqualFold(c.HMAC.Header, or(c.KeyHeader, "X-API-Key")) {
		return &config.FieldError{Field: "key_header", Err: errors.New("holds the signature already")}
	}
	return nil
}

func (c Config) validateHeaders() error {
	for field, name := range map[string]string{"key_header": c.KeyHeader, "id_header": c.IDHeader} {
		if name != "" && !headerName.MatchString(name) {
			return &config.FieldError{Field: field, Err: fmt.Errorf("%q is no name of a header", name)}
		}
	}
	for _, h := range c.Headers {
		if !headerName.MatchString(h) {
			return &config.FieldError{Field: "headers", Err: fmt.Errorf("%q is no name of a header", h)}
		}
		for _, p := range append(private, or(c.KeyHeader, "X-API-Key")) {
			if strings.EqualFold(h, p) {
				return &config.FieldError{Field: "headers", Err: fmt.Errorf("%s holds a secret, which belongs into no event", h)}
			}
		}
	}
	return nil
}

func (c Config) validateBounds() error {
	if c.MaxHeld > 0 && c.MaxHeld < c.MaxBody {
		return &config.FieldError{Field: "max_held", Err: fmt.Errorf("%s has no room for a body of %s", c.MaxHeld, c.MaxBody)}
	}
	return nil
}

// Mounts implements config.Mounted.
func (c Config) Mounts() []string {
	var out []string
	for _, m := range c.Methods {
		pattern := m + " " + c.Path
		if strings.HasSuffix(c.Path, "/") {
			pattern += "{$}" // this path, not all below it
		}
		out = append(out, pattern)
	}
	return out
}

// Source takes the requests of one path.
type Source struct {
	cfg   Config
	env   sources.Env
	auth  auth
	keep  []string // headers for the metadata, in lower case
	limit *rate.Limiter
	room  *room

	in      chan *delivery
	stopped chan struct{} // closed when nothing more is taken
	stop    context.CancelFunc

	mu     sync.Mutex
	remove []func()
}

var _ sources.Source = (*Source)(nil)

// Open makes the source; it does not listen yet.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	c = c.withDefaults()
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	s := &Source{
		cfg: c, env: env, auth: newAuth(&c), keep: []string{"traceparent", "tracestate"}, room: newRoom(c.MaxInFlight, int64(c.MaxHeld)),
		in: make(chan *delivery), stopped: make(chan struct{}),
	}
	if c.HMAC != nil {
		var err error
		if s.auth.signature, err = newSignature(*c.HMAC, c.IDHeader, env.Now); err != nil {
			return nil, fmt.Errorf("hmac: %w", err)
		}
	}
	for _, h := range c.Headers {
		s.keep = append(s.keep, strings.ToLower(h))
	}
	if r := c.Rate; r != nil {
		s.limit = rate.NewLimiter(rate.Limit(r.Requests), or(r.Burst, int(math.Ceil(r.Requests))))
	}
	return s, nil
}

// Subscribe puts the source on the daemon's listener.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	if s.env.Mount == nil {
		return nil, errors.New("http: there is no listener here")
	}
	ctx, s.stop = context.WithCancel(ctx)
	for _, pattern := range s.cfg.Mounts() {
		remove, err := s.env.Mount(pattern, s)
		if err != nil {
			s.stop()
			s.unmount()
			return nil, fmt.Errorf("http: listen: %w", err)
		}
		s.remove = append(s.remove, remove)
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		defer close(s.stopped)
		s.pump(ctx, out)
	}()
	return out, nil
}

// Close takes the source off the listener. Until then a source that has stopped answers 503, so that senders come again.
func (s *Source) Close() error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	if len(s.remove) > 0 {
		<-s.stopped
	}
	s.unmount()
	return nil
}

// Authenticates reports whether the source checks itself who sends, by keys or a signature. Where the listener asks for
// keys, a source that does not wants one of those, with the scope write.
func (s *Source) Authenticates() bool { return len(s.cfg.Keys) > 0 || s.cfg.HMAC != nil }

func (s *Source) unmount() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, remove := range s.remove {
		remove()
	}
	s.remove = nil
}
