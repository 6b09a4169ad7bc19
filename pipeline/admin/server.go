package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// Daemon is what the listener needs of a running daemon. Functions that are nil are not offered.
type Daemon struct {
	// Alive gives the reason why the process should be started anew, nil while it is well.
	Alive func() error
	// Ready gives the reason why no work should be sent here, nil while all pipelines run.
	Ready func() error
	// Status gives what /api/v1/status answers as JSON.
	Status func() any
	// Duties gives what this process does and what it stands by for, as JSON; it does not wait for anything. Nil: it has
	// nothing to say.
	Duties func() any
	// Store finds a store by its name in the config.
	Store func(name string) (eventstore.Store, bool)
	// Stores gives the names of the open stores. Routes that name none mean main, or the only one there is.
	Stores func() []string
	// Retry wakes a pipeline's retry of parked events; "" wakes all pipelines.
	Retry func(ctx context.Context, pipeline string)
	// Operator steers the daemon.
	Operator Operator
}

// Options are what New takes.
type Options struct {
	Log     *slog.Logger // nil: none
	Metrics http.Handler // nil: no /metrics
	Version string
	Config  config.Server
}

// Server serves the listener. It is safe for concurrent use; until Attach it says that the daemon is starting.
type Server struct {
	log     *slog.Logger
	version string
	cfg     config.Server
	door    atomic.Pointer[door]
	// certificates is set by Listen where the config has tls.
	certificates *certificates
	ending       chan struct{} // closed when the listener is to end: subscriptions end
	own          []route
	document     *huma.OpenAPI
	daemon       atomic.Pointer[Daemon]
	handler      http.Handler

	mu      sync.Mutex
	mounted map[string]http.Handler
	mux     atomic.Pointer[http.ServeMux]
}

type route struct {
	pattern string
	scope   Scope
	handler http.Handler
	refuse  func(http.ResponseWriter, *wire.Problem)
}

// Bounds of the listener. A stream of events has no bound on the whole, but each piece must get away within writeStall.
const (
	maxHeader    = 64 << 10
	maxBody      = 8 << 20
	readTimeout  = 60 * time.Second
	idleTimeout  = 90 * time.Second
	closeTimeout = 3 * time.Second
)

// headerTimeout is how long a request's head may take to come; writeStall how long a piece of an answer may take to get
// away; stalled is called where one did not.
var (
	headerTimeout = 5 * time.Second
	writeStall    = 30 * time.Second
	stalled       = func() {}
)

// New makes a server that does not listen yet.
func New(o Options) *Server {
	s := &Server{log: o.Log, version: o.Version, cfg: o.Config, ending: make(chan struct{}), mounted: map[string]http.Handler{}}
	s.door.Store(newDoor(o.Config))
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.route("GET /healthz", Open, http.HandlerFunc(s.healthz))
	s.route("GET /readyz", Open, http.HandlerFunc(s.readyz))
	if o.Metrics != nil && o.Config.Metrics != "off" {
		scope := Open
		if o.Config.Metrics == "read" {
			scope = Read
		}
		s.route("GET /metrics", scope, o.Metrics)
	}
	s.route("/debug/pprof/", Admin, fromLoopback(http.HandlerFunc(pprof.Index)))
	s.route("/debug/pprof/cmdline", Admin, fromLoopback(http.HandlerFunc(pprof.Cmdline)))
	s.route("/debug/pprof/profile", Admin, fromLoopback(http.HandlerFunc(pprof.Profile)))
	s.route("/debug/pprof/symbol", Admin, fromLoopback(http.HandlerFunc(pprof.Symbol)))
	s.route("/debug/pprof/trace", Admin, fromLoopback(http.HandlerFunc(pprof.Trace)))
	s.document = newDocument(o.Version)
	s.routeAPI()
	s.routeOperations()
	if err := s.rebuild(); err != nil {
		panic(err) // the routes above contradict each other: a mistake in this package
	}
	s.handler = http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.serve))
	if s.door.Load().anyone != nil {
		s.handler = checkHost(s.handler) // who brings a key was not sent here by a page
	}
	return s
}

func (s *Server) route(pattern string, scope Scope, h http.Handler) {
	s.own = append(s.own, route{pattern, scope, h, fail})
}

// Attach gives the server the daemon that it speaks for; nil while there is none (starting, reloading).
func (s *Server) Attach(d *Daemon) { s.daemon.Store(d) }

// Mount puts a handler on the listener, under a pattern of http.ServeMux, until remove is called. A pattern that is
// taken, or that contradicts another, is an error.
func (s *Server) Mount(pattern string, h http.Handler) (remove func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.mounted[pattern]; taken {
		return nil, fmt.Errorf("admin: %q is taken on the listener", pattern)
	}
	s.mounted[pattern] = h
	if err := s.rebuild(); err != nil {
		delete(s.mounted, pattern)
		return nil, err
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.mounted, pattern)
			_ = s.rebuild() // fewer patterns contradict no more than before
		})
	}, nil
}

// rebuild makes the mux anew, as http.ServeMux cannot forget a pattern; the caller holds s.mu.
func (s *Server) rebuild() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("admin: %v", r)
		}
	}()
	mux := http.NewServeMux()
	for _, r := range s.own {
		mux.Handle(r.pattern, s.guard(r.scope, r.handler, r.refuse))
	}
	for pattern, h := range s.mounted {
		mux.Handle(pattern, s.guardMounted(h))
	}
	s.mux.Store(mux)
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	mux := s.mux.Load()
	if _, pattern := mux.Handler(r); s.daemon.Load() == nil && !s.owns(pattern) {
		// A source mounts its handler when its pipeline starts. Until all of them have, what is for one that has not
		// would be taken as nobody's.
		unavailable(w, "starting")
		return
	}
	mux.ServeHTTP(w, r)
}

// owns reports whether a pattern is the server's own, and not a source's.
func (s *Server) owns(pattern string) bool {
	return slices.ContainsFunc(s.own, func(r route) bool { return r.pattern == pattern })
}

// Listen opens the listener at host:port and reads the certificate. An address that others could reach is refused where
// the config asks nobody who he is.
func (s *Server) Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("admin: %q is no host:port: %w", address, err)
	}
	if !config.Loopback(host) && !s.cfg.Auth.Required() {
		return nil, fmt.Errorf("%w: %q", ErrNotLoopback, address)
	}
	if s.cfg.TLS != nil {
		if s.certificates, err = newCertificates(*s.cfg.TLS, s.log); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // it returns at once
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return l, nil
}

// ErrNotLoopback is what Listen gives for an address that others could reach, where there is no authentication.
var ErrNotLoopback = errors.New("admin: a listener that is not on loopback (127.0.0.1:8087) wants server.auth in the file")

// Serve answers at what Listen has opened until ctx is done, then ends subscriptions and lets other requests under way finish for a moment.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.cfg.Connections > 0 {
		l = newBounding(l, s.cfg.Connections)
	}
	serve := func() error { return srv.Serve(l) }
	if s.certificates != nil {
		srv.TLSConfig = s.certificates.config()
		serve = func() error { return srv.ServeTLS(l, "", "") }
	}
	failed := make(chan error, 1)
	go func() { failed <- serve() }()
	select {
	case err := <-failed:
		return fmt.Errorf("admin: serve: %w", err)
	case <-ctx.Done():
	}
	close(s.ending)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		_ = srv.Close() // a stream that somebody still reads
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: serve: %w", err)
	}
	return nil
}

// checkHost refuses requests by which a page elsewhere reaches us under its own name.
func checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !config.Loopback(host) {
			fail(w, wire.NewProblem(http.StatusMisdirectedRequest, "host", fmt.Sprintf("this listener is localhost, not %q", host)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func fromLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || !config.Loopback(host) {
			fail(w, wire.NewProblem(http.StatusForbidden, "loopback", "profiles are for this machine only"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, words string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, words)
}
