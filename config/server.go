package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Server is the daemon's listener.
type Server struct {
	Listen      string        `yaml:"listen,omitempty" default:"127.0.0.1:8087" doc:"address of the listener: health, metrics, API, sources that listen; off: none. One that is not on loopback wants auth"`
	Auth        Auth          `yaml:"auth,omitempty" doc:"who may use the listener; without it, everybody who reaches it"`
	TLS         *TLS          `yaml:"tls,omitempty" doc:"serve https"`
	Metrics     string        `yaml:"metrics,omitempty" default:"open" enum:"open,read,off" doc:"who reads /metrics: everybody, keys with the scope read, or nobody"`
	MaxBody     Size          `yaml:"max_body,omitempty" default:"8MiB" min:"1KiB" max:"256MiB" doc:"size of the body of a request; sources that listen have their own"`
	Timeout     time.Duration `yaml:"timeout,omitempty" default:"30s" min:"100ms" doc:"for a request that is no subscription and no list"`
	Connections int           `yaml:"connections,omitempty" default:"4096" min:"1" doc:"connections at a time; others wait"`
}

// Auth says who may use the listener. Health and readiness are open to everybody.
type Auth struct {
	Keys    []Key    `yaml:"keys,omitempty" doc:"API keys, sent as Authorization: Bearer KEY or x-api-key: KEY"`
	Clients []Client `yaml:"clients,omitempty" doc:"client certificates; wants tls.client_ca"`
}

// Required reports whether a request must say who sends it.
func (a Auth) Required() bool { return len(a.Keys)+len(a.Clients) > 0 }

// Key is an API key.
type Key struct {
	Name    string `yaml:"name" doc:"what logs and metrics call it" example:"orders-service"`
	Key     Secret `yaml:"key,omitempty" doc:"the key itself, at least 16 characters, for example from openssl rand -hex 24"`
	Hash    string `yaml:"hash,omitempty" doc:"sha256:HEX instead of the key; HEX from: printf %s KEY | sha256sum" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Scope   string `yaml:"scope,omitempty" default:"read" enum:"read,write,admin" doc:"read events and tables; write appends too; admin does everything"`
	Rate    *Rate  `yaml:"rate,omitempty" doc:"how many requests are taken; those beyond are answered with 429"`
	MaxBody Size   `yaml:"max_body,omitempty" max:"256MiB" doc:"size of a body with this key; default: server.max_body"`
}

// Client is who holds a certificate that tls.client_ca has signed.
type Client struct {
	Name    string `yaml:"name" doc:"what logs and metrics call it" example:"billing"`
	Subject string `yaml:"subject" doc:"the certificate's subject (CN=billing,O=Acme), its common name alone, or a URI of its alternative names" example:"CN=billing,O=Acme"`
	Scope   string `yaml:"scope,omitempty" default:"read" enum:"read,write,admin" doc:"as for keys"`
	Rate    *Rate  `yaml:"rate,omitempty" doc:"as for keys"`
	MaxBody Size   `yaml:"max_body,omitempty" max:"256MiB" doc:"as for keys"`
}

// Rate bounds requests.
type Rate struct {
	Requests float64 `yaml:"requests" min:"0.001" doc:"requests a second, on average" example:"100"`
	Burst    int     `yaml:"burst,omitempty" min:"0" doc:"requests that may come at once; default: those of a second"`
}

// TLS is the listener's certificate. The files are read again when they change.
type TLS struct {
	Cert     string `yaml:"cert" doc:"file of the certificate with its chain, PEM" example:"/run/tls/tls.crt"`
	Key      string `yaml:"key" doc:"file of its key, PEM" example:"/run/tls/tls.key"`
	ClientCA string `yaml:"client_ca,omitempty" doc:"file of the authorities whose client certificates count, PEM; wants auth.clients"`
}

// open reports whether a text holds ${…} that were not replaced (--no-env), and says nothing yet.
func open(s string) bool { return strings.Contains(s, "${") }

// Validate implements Validator.
func (s Server) Validate() error {
	return errors.Join(s.validateListen(), s.validateClients())
}

func (s Server) validateListen() error {
	if s.Listen == "" || s.Listen == "off" || open(s.Listen) {
		return nil
	}
	wrong := func(words string) error {
		return &FieldError{Field: "listen", Err: errors.New(words), Hint: "for example 127.0.0.1:8087, or off"}
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return wrong("wants host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return wrong("a port is a number up to 65535")
	}
	if !Loopback(host) && !s.Auth.Required() {
		return &FieldError{
			Field: "listen", Err: errors.New("others can reach this address, and everybody would be admin: a listener that is not on loopback wants auth"),
			Hint: `add auth: { keys: [ { name: ops, key: "${LEAT_KEY}", scope: admin } ] }, or listen on 127.0.0.1`,
		}
	}
	return nil
}

// Loopback reports whether host is localhost or a loopback address.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (s Server) validateClients() error {
	switch {
	case len(s.Auth.Clients) > 0 && (s.TLS == nil || s.TLS.ClientCA == ""):
		return &FieldError{Field: "auth", Err: errors.New("clients show certificates, and nothing says who may sign them"), Hint: "add tls: { cert, key, client_ca }"}
	case s.TLS != nil && s.TLS.ClientCA != "" && len(s.Auth.Clients) == 0:
		return &FieldError{Field: "tls", Err: errors.New("client_ca admits nobody without auth.clients"), Hint: "add auth: { clients: [ { name, subject, scope } ] }"}
	}
	return nil
}

// Validate implements Validator.
func (a Auth) Validate() error {
	var errs []error
	names, keys, subjects := map[string]bool{}, map[string]bool{}, map[string]bool{}
	twice := func(seen map[string]bool, field, value, words string) {
		if seen[value] {
			errs = append(errs, &FieldError{Field: field, Err: errors.New(words)})
		}
		seen[value] = value != ""
	}
	for i := range a.Keys {
		k := &a.Keys[i]
		twice(names, "keys", k.Name, fmt.Sprintf("the name %q is there twice", k.Name))
		if !open(k.Key.Reveal()) {
			twice(keys, "keys", k.Key.Reveal(), fmt.Sprintf("the key %q is that of another name", k.Name))
		}
		twice(keys, "keys", k.Hash, fmt.Sprintf("the hash of %q is that of another name", k.Name))
	}
	for i := range a.Clients {
		c := &a.Clients[i]
		twice(names, "clients", c.Name, fmt.Sprintf("the name %q is there twice", c.Name))
		twice(subjects, "clients", c.Subject, fmt.Sprintf("the subject %q is there twice", c.Subject))
	}
	return errors.Join(errs...)
}

// minKey is the least length of a key. Keys are compared by their plain SHA-256, which is only safe for keys that
// nobody can guess.
const minKey = 16

// Validate implements Validator.
func (k Key) Validate() error {
	switch {
	case k.Key.IsZero() == (k.Hash == ""):
		return &FieldError{Field: "key", Err: errors.New("either the key or its hash"), Hint: `for example key: "${LEAT_KEY}"`}
	case !k.Key.IsZero() && !open(k.Key.Reveal()) && len(k.Key.Reveal()) < minKey:
		return &FieldError{Field: "key", Err: fmt.Errorf("a key has at least %d characters", minKey), Hint: "for example from: openssl rand -hex 24"}
	case strings.ContainsAny(k.Key.Reveal(), " \t\r\n") && !open(k.Key.Reveal()):
		return &FieldError{Field: "key", Err: errors.New("a key has no spaces"), Hint: "is there a line end behind it?"}
	case k.Hash != "" && !open(k.Hash) && !isHash(k.Hash):
		return &FieldError{Field: "hash", Err: errors.New("a hash is sha256: and 64 hexadecimal digits"), Hint: "HEX from: printf %s KEY | sha256sum"}
	}
	return nil
}

func isHash(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 32
}
