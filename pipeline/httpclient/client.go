// Package httpclient is what plugins that call HTTP endpoints share: a client that stays away from one's own network, URLs
// that data of events fills in without leading elsewhere, and what answers mean.
package httpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/leatdev/leat/config"
)

// Options of a client.
type Options struct {
	// Timeout bounds connecting and the TLS handshake; requests have contexts of their own.
	Timeout time.Duration
	// AllowPrivate lets it connect to addresses that are not public.
	AllowPrivate bool
	// CAFile names certificates (PEM) to trust beside the system's.
	CAFile string
}

// New makes a client and its transport, to be closed by CloseIdleConnections. It follows no redirects and uses no proxies of
// the environment; addresses within one's own network are refused when the connection is made, after the name was looked up.
func New(o Options) (*http.Client, *http.Transport, error) {
	trust, err := trusted(o.CAFile)
	if err != nil {
		return nil, nil, err
	}
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	if !o.AllowPrivate {
		dialer.Control = publicOnly
	}
	t := &http.Transport{
		DialContext:       dialer.DialContext,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: o.Timeout, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust},
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, t, nil
}

// trusted gives the system's certificates and those of a file; nil is the system's alone.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if err := CheckCA(file, pem); err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}

// CheckCA says what is wrong with the content of a file of certificates.
func CheckCA(file string, pem []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("there is no certificate in %s", file)
	}
	return nil
}

// CheckURL checks the text of a URL in which {{ }} may stand behind the host; the error blames the config's field.
func CheckURL(field, text string, allowPrivate bool) error {
	bad := func(err error, hint string) error {
		return &config.FieldError{Field: field, Err: err, Hint: hint}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return bad(errors.New("wants a URL that starts with http:// or https://"), "for example https://example.com/events")
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	if strings.Contains(host, "{{") {
		return bad(errors.New("the host cannot come from an event"), "write one step for each host")
	}
	if strings.Contains(host, "@") {
		return bad(errors.New("holds a user"), "a password belongs into token or secret_headers")
	}
	if strings.Contains(rest, "#") {
		return bad(errors.New("has a fragment, which is never sent"), "")
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Hostname() == "" {
		return bad(errors.New("the URL names no host"), "")
	}
	if name := u.Hostname(); !allowPrivate {
		if ip := net.ParseIP(name); strings.EqualFold(name, "localhost") || (ip != nil && !Public(ip)) {
			return bad(fmt.Errorf("%s is no public address", name), "if the endpoint is meant to be there, set allow_private: true")
		}
	}
	return nil
}

// Escape makes a text one segment of a path, or one value of a query: whatever dst has come to.
func Escape(dst []byte, text string) []byte {
	if slices.Contains(dst, '?') {
		return append(dst, url.QueryEscape(text)...)
	}
	return append(dst, url.PathEscape(text)...)
}

// Climbs reports whether a segment of the path is . or .., which leads elsewhere.
func Climbs(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// PlainLine reports whether a text can be a header's value.
func PlainLine(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r == 0x7f || (r < ' ' && r != '\t') }) < 0
}

// MaxQuoted is how many bytes of an answer an error quotes.
const MaxQuoted = 200

// Quoted gives the beginning of an answer's text, for an error: ": text", or nothing.
func Quoted(text []byte) string {
	s := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text[:min(len(text), MaxQuoted+1)]), ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if s == "" {
		return ""
	}
	if len(text) > MaxQuoted {
		s += "…"
	}
	return ": " + s
}

// maxRetryAfter bounds how long a receiver can stop us for.
const maxRetryAfter = time.Hour

// RetryAfter reads the header of that name: seconds, or a date.
func RetryAfter(value string, now time.Time) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter), true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}

// Bare takes the URL out of an error: its query may hold a secret.
func Bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Down reports whether a status says that the other side cannot answer at present.
func Down(status int) bool {
	switch status {
	case 408, 425, 429, 502, 503, 504:
		return true
	}
	return status >= 300 && status < 400
}
