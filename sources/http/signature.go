package http

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some partners sign so; HMAC-SHA1 is not broken, and it is no default
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	nethttp "net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
)

// HMAC is how requests are signed.
type HMAC struct {
	Secret          []config.Secret `yaml:"secret" doc:"what the sender and leat share; several while it is being changed; whsec_… is base64, as Standard Webhooks has it"`
	Header          string          `yaml:"header" doc:"header with the signature, in hex or base64; what stands before it (sha256=, v1=, v1,) is passed over, and of several one must fit" example:"X-Hub-Signature-256"`
	Algorithm       string          `yaml:"algorithm,omitempty" default:"sha256" enum:"sha256,sha512,sha1" doc:"the hash"`
	TimestampHeader string          `yaml:"timestamp_header,omitempty" doc:"header with the time of signing in seconds since 1970; where it is the signature's own header, t= stands before it" example:"X-Slack-Request-Timestamp"`
	Signed          string          `yaml:"signed,omitempty" doc:"what is signed, of {timestamp}, {id} (id_header) and {body}; default: {timestamp}.{body} where there is a timestamp, else {body}" example:"v0:{timestamp}:{body}"`
	Tolerance       time.Duration   `yaml:"tolerance,omitempty" default:"5m" min:"1s" doc:"how far the time of signing may be from now; within it a signature is taken once"`
	Remember        int             `yaml:"remember,omitempty" default:"100000" min:"1" doc:"signatures that are remembered so that none is taken twice; while that many are younger than the tolerance, requests are answered with 429"`
}

// Validate implements config.Validator.
func (h HMAC) Validate() error {
	if len(h.Secret) == 0 {
		return &config.FieldError{Field: "secret", Err: errors.New("is missing")}
	}
	for _, s := range h.Secret {
		if _, err := secretBytes(s); err != nil {
			return &config.FieldError{Field: "secret", Err: err}
		}
	}
	if !headerName.MatchString(h.Header) {
		return &config.FieldError{Field: "header", Err: fmt.Errorf("%q is no name of a header", h.Header)}
	}
	if h.TimestampHeader != "" && !headerName.MatchString(h.TimestampHeader) {
		return &config.FieldError{Field: "timestamp_header", Err: fmt.Errorf("%q is no name of a header", h.TimestampHeader)}
	}
	switch {
	case h.Signed == "":
	case strings.Count(h.Signed, "{body}") != 1:
		return &config.FieldError{Field: "signed", Err: errors.New("names {body} once: what is not signed could be anybody's")}
	case h.TimestampHeader != "" && !strings.Contains(h.Signed, "{timestamp}"):
		return &config.FieldError{Field: "signed", Err: errors.New("leaves out {timestamp}: a time that is not signed protects from no replay")}
	case h.TimestampHeader == "" && strings.Contains(h.Signed, "{timestamp}"):
		return &config.FieldError{Field: "signed", Err: errors.New("{timestamp} needs timestamp_header")}
	}
	return nil
}

// secretBytes gives the key of a secret.
func secretBytes(s config.Secret) ([]byte, error) {
	text := s.Reveal()
	if rest, ok := strings.CutPrefix(text, "whsec_"); ok {
		key, err := base64.StdEncoding.DecodeString(rest)
		if err != nil || len(key) < 8 {
			return nil, errors.New("what follows whsec_ is no base64 of a secret")
		}
		return key, nil
	}
	if len(text) < 8 {
		return nil, errors.New("a secret has at least 8 characters")
	}
	return []byte(text), nil
}

// signature checks signatures. It is safe for concurrent use.
type signature struct {
	cfg      HMAC
	idHeader string
	keys     [][]byte
	hash     func() hash.Hash
	now      func() time.Time
	parts    []string // of cfg.Signed: text and {names} in turn

	mu   sync.Mutex
	seen map[string]time.Time // by signature: when its request stops to be young enough
	line []string             // of seen, the oldest first
}

func newSignature(c HMAC, idHeader string, now func() time.Time) (*signature, error) {
	s := &signature{cfg: c, idHeader: idHeader, now: now, seen: map[string]time.Time{}}
	s.cfg.Tolerance = or(c.Tolerance, 5*time.Minute)
	s.cfg.Remember = or(c.Remember, 100_000)
	for _, secret := range c.Secret {
		key, err := secretBytes(secret)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, key)
	}
	switch c.Algorithm {
	case "", "sha256":
		s.hash = sha256.New
	case "sha512":
		s.hash = sha512.New
	case "sha1":
		s.hash = sha1.New
	default:
		return nil, fmt.Errorf("algorithm: %q is none that is known", c.Algorithm)
	}
	signed := c.Signed
	if signed == "" {
		signed = "{body}"
		if c.TimestampHeader != "" {
			signed = "{timestamp}.{body}"
		}
	}
	for signed != "" {
		open := strings.IndexByte(signed, '{')
		end := strings.IndexByte(signed[max(open, 0):], '}') + max(open, 0)
		switch {
		case open < 0 || end <= open:
			s.parts, signed = append(s.parts, signed), ""
		case open > 0:
			s.parts, signed = append(s.parts, signed[:open]), signed[open:]
		default:
			s.parts, signed = append(s.parts, signed[:end+1]), signed[end+1:]
		}
	}
	return s, nil
}

func (s *signature) present(h nethttp.Header) *refusal {
	if h.Get(s.cfg.Header) == "" {
		return &refusal{status: nethttp.StatusUnauthorized, code: "signature_missing", message: "the request needs a signature in " + s.cfg.Header}
	}
	return nil
}

func forbidden(code, message string) *refusal {
	return &refusal{status: nethttp.StatusForbidden, code: code, message: message}
}

// check refuses a request whose signature does not fit its body, is too old or was taken before. Forget is to be called
// where the request comes to nothing, so that its sender may repeat it as it is; it is nil where nothing was noted.
func (s *signature) check(h nethttp.Header, body []byte) (forget func(), no *refusal) {
	given, timestamp := s.candidates(h)
	if len(given) == 0 {
		return nil, forbidden("signature_wrong", "the signature in "+s.cfg.Header+" is neither hex nor base64 of the right length")
	}
	fits := false
	var first string // what is remembered: of a request with several signatures each one is good, but it is one request
	for i, key := range s.keys {
		sum := s.sum(key, h, timestamp, body)
		if i == 0 {
			first = string(sum)
		}
		for _, g := range given {
			fits = hmac.Equal(sum, g) || fits // in constant time
		}
	}
	if !fits {
		return nil, forbidden("signature_wrong", "the signature in "+s.cfg.Header+" does not fit the request")
	}
	if s.cfg.TimestampHeader == "" {
		return nil, nil
	}
	at, ok := signedAt(timestamp)
	if !ok {
		return nil, forbidden("timestamp_wrong", "the time of signing is no number of seconds since 1970")
	}
	now := s.now()
	if age := now.Sub(at); age > s.cfg.Tolerance || age < -s.cfg.Tolerance {
		return nil, forbidden("timestamp_old", fmt.Sprintf("the time of signing is more than %s away from now", s.cfg.Tolerance))
	}
	return s.once(first, now, at.Add(s.cfg.Tolerance))
}

// candidates gives what the header holds in the length of a signature, and the time of signing as it is spelt.
func (s *signature) candidates(h nethttp.Header) (given [][]byte, timestamp string) {
	if s.cfg.TimestampHeader != "" && !strings.EqualFold(s.cfg.TimestampHeader, s.cfg.Header) {
		timestamp = h.Get(s.cfg.TimestampHeader)
	}
	size := s.hash().Size()
	for _, word := range strings.FieldsFunc(h.Get(s.cfg.Header), func(r rune) bool { return r == ' ' || r == ',' }) {
		name, rest, named := strings.Cut(word, "=")
		if named && name == "t" && strings.EqualFold(s.cfg.TimestampHeader, s.cfg.Header) {
			timestamp = rest
			continue
		}
		for _, text := range []string{word, rest} {
			if sum, ok := decodeSum(text, size); ok && len(given) < 8 {
				given = append(given, sum)
				break
			}
		}
	}
	return given, timestamp
}

func decodeSum(text string, size int) ([]byte, bool) {
	switch {
	case len(text) == hex.EncodedLen(size):
		sum, err := hex.DecodeString(text)
		return sum, err == nil
	case len(text) == base64.StdEncoding.EncodedLen(size):
		sum, err := base64.StdEncoding.DecodeString(text)
		return sum, err == nil && len(sum) == size
	}
	return nil, false
}

func (s *signature) sum(key []byte, h nethttp.Header, timestamp string, body []byte) []byte {
	m := hmac.New(s.hash, key)
	for _, p := range s.parts {
		switch p {
		case "{body}":
			m.Write(body)
		case "{timestamp}":
			m.Write([]byte(timestamp))
		case "{id}":
			m.Write([]byte(h.Get(s.idHeader)))
		default:
			m.Write([]byte(p))
		}
	}
	return m.Sum(nil)
}

// signedAt reads seconds since 1970, or milliseconds where the number is too large for a date.
func signedAt(text string) (time.Time, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0 || n > 1e14:
		return time.Time{}, false
	case n > 1e11:
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

// once notes a signature until its time of signing is too old anyhow, and refuses one that is noted already.
func (s *signature) once(sum string, now, until time.Time) (forget func(), no *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.line) > 0 {
		if !s.seen[s.line[0]].Before(now) {
			break
		}
		delete(s.seen, s.line[0])
		s.line = s.line[1:]
	}
	if _, used := s.seen[sum]; used {
		return nil, forbidden("replayed", "the signature was taken before")
	}
	if len(s.line) >= s.cfg.Remember {
		return nil, &refusal{status: nethttp.StatusTooManyRequests, code: "too_many_signatures", message: "more signed requests than are remembered", retryAfter: 5}
	}
	s.seen[sum] = until
	s.line = append(s.line, sum)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.seen, sum)
		for i := len(s.line) - 1; i >= 0; i-- { // it is one of the last
			if s.line[i] == sum {
				s.line = slices.Delete(s.line, i, i+1)
				return
			}
		}
	}, nil
}
