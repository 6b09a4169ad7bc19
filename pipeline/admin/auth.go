package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// caller is who may use the listener, and how much.
type caller struct {
	name    string
	scope   Scope
	limit   *rate.Limiter // nil: none
	maxBody int64
}

// door knows the callers. It is not changed after it was made; Rekey puts another in its place.
type door struct {
	keys    []keyed
	clients []certified
	anyone  *caller // where nobody is asked: everybody is admin
}

type keyed struct {
	hash   [sha256.Size]byte
	secret string // "": the config has only the hash
	*caller
}

type certified struct {
	subject string
	*caller
}

func newDoor(c config.Server) *door {
	d := &door{}
	size := int64(c.MaxBody)
	if size == 0 {
		size = maxBody
	}
	of := func(name, scope string, r *config.Rate, own config.Size) *caller {
		who := &caller{name: name, scope: scopeOf(scope), maxBody: size}
		if own > 0 {
			who.maxBody = int64(own)
		}
		if r != nil {
			burst := r.Burst
			if burst == 0 {
				burst = int(math.Ceil(r.Requests))
			}
			who.limit = rate.NewLimiter(rate.Limit(r.Requests), burst)
		}
		return who
	}
	if !c.Auth.Required() {
		d.anyone = of("", "admin", nil, 0)
	}
	for i := range c.Auth.Keys {
		k := &c.Auth.Keys[i]
		key := keyed{sha256.Sum256([]byte(k.Key.Reveal())), k.Key.Reveal(), of(k.Name, k.Scope, k.Rate, k.MaxBody)}
		if k.Hash != "" {
			// config.Key has checked the form.
			b, _ := hex.DecodeString(strings.TrimPrefix(k.Hash, "sha256:"))
			copy(key.hash[:], b)
		}
		d.keys = append(d.keys, key)
	}
	for i := range c.Auth.Clients {
		k := &c.Auth.Clients[i]
		d.clients = append(d.clients, certified{k.Subject, of(k.Name, k.Scope, k.Rate, k.MaxBody)})
	}
	return d
}

// Rekey lets the listener ask for the keys and clients of another config from the next request on, and reports whether it
// does: a listener that asks nobody cannot begin to while it runs, nor the other way round.
func (s *Server) Rekey(auth config.Auth) bool {
	if !auth.Required() || !s.cfg.Auth.Required() {
		return auth.Required() == s.cfg.Auth.Required()
	}
	cfg := s.cfg
	cfg.Auth = auth
	s.door.Store(newDoor(cfg))
	return true
}

// scopeOf reads the YAML's name; "" is read, as the config says.
func scopeOf(name string) Scope {
	if i := slices.Index(scopeNames[:], name); i > 0 {
		return Scope(i)
	}
	return Read
}

// of finds who sends a request, or says why nobody does. A key counts before a certificate.
func (d *door) of(r *http.Request) (*caller, *wire.Problem) {
	if d.anyone != nil {
		return d.anyone, nil
	}
	key := r.Header.Get("x-api-key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		key = strings.TrimSpace(token)
	}
	if key != "" {
		hash := sha256.Sum256([]byte(key))
		var found *caller
		for i := range d.keys { // all of them, so that the time tells nothing
			if subtle.ConstantTimeCompare(hash[:], d.keys[i].hash[:]) == 1 {
				found = d.keys[i].caller
			}
		}
		if found == nil {
			return nil, wire.NewProblem(http.StatusUnauthorized, "unauthorized", "this key is not known")
		}
		return found, nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		cert := r.TLS.VerifiedChains[0][0]
		for i := range d.clients {
			if named(cert, d.clients[i].subject) {
				return d.clients[i].caller, nil
			}
		}
		return nil, wire.NewProblem(http.StatusUnauthorized, "unauthorized", fmt.Sprintf("no client has the subject %q", cert.Subject.String()))
	}
	return nil, wire.NewProblem(http.StatusUnauthorized, "unauthorized", "a key is wanted: Authorization: Bearer KEY, or x-api-key: KEY")
}

// named reports whether a certificate is that of a subject: all of it, its common name, or a URI.
func named(c *x509.Certificate, subject string) bool {
	if c.Subject.String() == subject || c.Subject.CommonName != "" && c.Subject.CommonName == subject {
		return true
	}
	return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == subject })
}

// Authenticating is implemented by handlers of sources that check themselves who sends. Where the listener asks for
// keys, other handlers want one with the scope write.
type Authenticating interface{ Authenticates() bool }

// guard lets in who has the scope, as often and with bodies as large as he may send.
func (s *Server) guard(scope Scope, next http.Handler, refuse func(http.ResponseWriter, *wire.Problem)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if scope == Open {
			next.ServeHTTP(w, r)
			return
		}
		who, p := s.door.Load().of(r)
		if p == nil {
			p = s.admit(who, scope, w.Header())
		}
		if p == nil && r.ContentLength > who.maxBody {
			p = tooLarge(who.maxBody)
		}
		if p != nil {
			name := ""
			if who != nil {
				name = who.name
			}
			s.log.Debug("request refused", "caller", name, "method", r.Method, "path", r.URL.Path, "code", p.Code)
			switch p.Status {
			case http.StatusUnauthorized:
				w.Header().Set("WWW-Authenticate", `Bearer realm="leat"`)
			case http.StatusRequestEntityTooLarge:
				w.Header().Set("Connection", "close") // what is still to come is not read
			}
			refuse(w, p)
			return
		}
		if scope == Admin && r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.log.Info("admin request", "caller", who.name, "method", r.Method, "path", r.URL.Path)
		}
		r.Body = http.MaxBytesReader(w, r.Body, who.maxBody)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

type callerKey struct{}

func (s *Server) admit(who *caller, scope Scope, h http.Header) *wire.Problem {
	if who.scope < scope {
		return wire.NewProblem(http.StatusForbidden, "forbidden", fmt.Sprintf("the key %s has the scope %s, and this wants %s", who.name, who.scope, scope))
	}
	if who.limit == nil {
		return nil
	}
	now := time.Now()
	next := who.limit.ReserveN(now, 1)
	wait := next.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	next.CancelAt(now)
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	return wire.NewProblem(http.StatusTooManyRequests, "rate", "more requests than this key may send")
}

// guardMounted is guard for a source's handler, which bounds bodies itself.
func (s *Server) guardMounted(next http.Handler) http.Handler {
	own, checks := next.(Authenticating)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := s.door.Load()
		if d.anyone != nil || checks && own.Authenticates() { // asked each time: a reload may change the source
			next.ServeHTTP(w, r)
			return
		}
		find := d.of
		if strings.HasPrefix(r.Header.Get("Authorization"), sigV4) && r.Header.Get("x-api-key") == "" {
			find = func(r *http.Request) (*caller, *wire.Problem) { return d.signed(r, time.Now()) }
		}
		who, p := find(r)
		if p == nil {
			p = s.admit(who, Write, w.Header())
		}
		if p != nil {
			if p.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="leat"`)
			}
			fail(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}
