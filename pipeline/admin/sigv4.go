package admin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// The AWS CLI and SDKs sign requests (Signature Version 4) and can send no key of ours: for what a source mounts, a
// signature counts as a key. The access key id is the key's name, the secret access key the key itself; a key that the
// config has only as a hash cannot be checked so.
const sigV4 = "AWS4-HMAC-SHA256"

// skew is how far a signature's time may be off.
const skew = 15 * time.Minute

// signed finds who has signed a request, nil where nobody of ours has. It reads the body, as the signature is over it, and
// puts it back.
func (d *door) signed(r *http.Request, now time.Time) (*caller, *wire.Problem) {
	no := func(words string) *wire.Problem { return wire.NewProblem(http.StatusForbidden, "signature", words) }
	fields := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), sigV4), ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[k] = v
	}
	scope := strings.Split(fields["Credential"], "/")
	names := strings.Split(fields["SignedHeaders"], ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if len(scope) != 5 || err != nil || scope[1] != at.Format("20060102") || scope[4] != "aws4_request" || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") {
		return nil, no("the signature is malformed")
	}
	if off := now.Sub(at); off > skew || off < -skew {
		return nil, no("the signature's time is off by more than 15 minutes")
	}
	var who *keyed
	for i := range d.keys {
		if d.keys[i].name == scope[0] && d.keys[i].secret != "" {
			who = &d.keys[i]
		}
	}
	if who == nil {
		return nil, no("no key has the name of this access key id, or its config has only the hash")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, who.maxBody))
	if err != nil {
		return nil, tooLarge(who.maxBody)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL) + "\n")
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name { // net/http takes these out of the header
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	canonical.WriteString("\n" + fields["SignedHeaders"] + "\n" + hex.EncodeToString(sum[:]))
	request := sha256.Sum256([]byte(canonical.String()))
	text := sigV4 + "\n" + at.Format("20060102T150405Z") + "\n" + strings.Join(scope[1:], "/") + "\n" + hex.EncodeToString(request[:])
	key := []byte("AWS4" + who.secret)
	for _, part := range append(slices.Clone(scope[1:]), text) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(fields["Signature"])) != 1 {
		return nil, no("the signature does not match")
	}
	return who.caller, nil
}

func canonicalPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

func canonicalQuery(u *url.URL) string {
	return strings.ReplaceAll(u.Query().Encode(), "+", "%20")
}
