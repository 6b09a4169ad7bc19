package http

import (
	"crypto/sha256"
	"crypto/subtle"
	nethttp "net/http"
	"strings"
)

// refusal is an answer to a request of which nothing is taken.
type refusal struct {
	status     int
	code       string
	message    string
	retryAfter int // seconds; zero: the header is not sent
}

// auth knows who may send. Comparisons take the same time for right and wrong keys, whatever their length.
type auth struct {
	header    string
	keys      [][sha256.Size]byte
	signature *signature // nil: none is asked for
}

func newAuth(c *Config) auth {
	a := auth{header: c.KeyHeader}
	for _, k := range c.Keys {
		a.keys = append(a.keys, sha256.Sum256([]byte(k.Reveal())))
	}
	return a
}

// checkKey refuses a request without one of the keys, before its body is read.
func (a *auth) checkKey(h nethttp.Header) *refusal {
	if len(a.keys) == 0 {
		return nil
	}
	key := h.Get(a.header)
	if strings.EqualFold(a.header, "Authorization") {
		scheme, token, ok := strings.Cut(key, " ")
		if key = token; !ok || !strings.EqualFold(scheme, "Bearer") {
			key = ""
		}
	}
	if key == "" {
		return &refusal{status: nethttp.StatusUnauthorized, code: "key_missing", message: "the request needs a key in " + a.header}
	}
	got, ok := sha256.Sum256([]byte(key)), 0
	for i := range a.keys {
		ok |= subtle.ConstantTimeCompare(got[:], a.keys[i][:])
	}
	if ok == 0 {
		return &refusal{status: nethttp.StatusForbidden, code: "key_wrong", message: "the key in " + a.header + " is none of those that are known here"}
	}
	return nil
}
