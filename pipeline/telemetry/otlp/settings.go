package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Settings say where spans go, and how.
type Settings struct {
	// URL is where batches are posted.
	URL string
	// Headers by their canonical names.
	Headers map[string]string
	// Timeout bounds one batch with all of its repeats.
	Timeout time.Duration
	Gzip    bool
	TLS     *tls.Config
}

// DefaultEndpoint is a collector on this machine.
const DefaultEndpoint = "http://localhost:4318"

// FromEnv reads the standard variables OTEL_EXPORTER_OTLP_ENDPOINT, HEADERS, TIMEOUT (milliseconds), COMPRESSION,
// CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY, INSECURE and PROTOCOL; where one has a form for traces alone
// (OTEL_EXPORTER_OTLP_TRACES_…), that counts. The error tells of all that are wrong.
func FromEnv(env func(string) (string, bool)) (Settings, error) {
	e := reader{env: env}
	s := Settings{Timeout: 10 * time.Second, Headers: map[string]string{}}
	s.URL = e.endpoint()
	if v, name := e.get("HEADERS"); v != "" {
		e.note(name, headers(v, s.Headers))
	}
	if v, name := e.get("TIMEOUT"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms <= 0 {
			err = fmt.Errorf("%q is no number of milliseconds", v)
		}
		e.note(name, err)
		s.Timeout = time.Duration(ms) * time.Millisecond
	}
	switch v, name := e.get("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		s.Gzip = true
	default:
		e.note(name, fmt.Errorf("%q is no compression: gzip or none", v))
	}
	if v, name := e.get("PROTOCOL"); v != "" && v != "http/protobuf" {
		e.note(name, fmt.Errorf("leat sends http/protobuf, not %q; a collector takes it on port 4318", v))
	}
	s.TLS = e.tls()
	return s, errors.Join(e.errs...)
}

// WithEndpoint gives the URL of traces below a collector's base URL.
func WithEndpoint(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no http or https URL", base)
	}
	return u.JoinPath("v1", "traces").String(), nil
}

// reader reads variables and gathers what is wrong with them.
type reader struct {
	env  func(string) (string, bool)
	errs []error
}

func (r *reader) note(name string, err error) {
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", name, err))
	}
}

// get gives a variable's value for traces, else for all signals, and its name. Empty counts as unset.
func (r *reader) get(what string) (value, name string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + what, "OTEL_EXPORTER_OTLP_" + what} {
		if v, ok := r.env(name); ok && strings.TrimSpace(v) != "" {
			return strings.TrimSpace(v), name
		}
	}
	return "", ""
}

// endpoint: the one for traces is taken as it stands, the common one is a base. Without a scheme INSECURE decides.
func (r *reader) endpoint() string {
	v, name := r.get("ENDPOINT")
	if v == "" {
		v = DefaultEndpoint
	}
	if !strings.Contains(v, "://") {
		scheme := "https://"
		if insecure, _ := r.get("INSECURE"); strings.EqualFold(insecure, "true") {
			scheme = "http://"
		}
		v = scheme + v
	}
	if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			r.note(name, fmt.Errorf("%q is no http or https URL", v))
			return ""
		}
		if u.Path == "" {
			u.Path = "/"
		}
		return u.String()
	}
	full, err := WithEndpoint(v)
	r.note(name, err)
	return full
}

// headers reads key=value,key=value, percent-encoded as W3C's baggage is.
func headers(s string, into map[string]string) error {
	for pair := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || key == "" || strings.ContainsAny(key, " \t\r\n:") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("header %d is not written name=value, with %%XX for what is special", len(into)+1) // values are secrets
		}
		into[http.CanonicalHeaderKey(key)] = value
	}
	return nil
}

func (r *reader) tls() *tls.Config {
	ca, caName := r.get("CERTIFICATE")
	cert, certName := r.get("CLIENT_CERTIFICATE")
	key, _ := r.get("CLIENT_KEY")
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if c.RootCAs = x509.NewCertPool(); err == nil && !c.RootCAs.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("there is no certificate in %s", ca)
		}
		r.note(caName, err)
	}
	if cert != "" || key != "" {
		if certName == "" {
			certName = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		r.note(certName, err)
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}
