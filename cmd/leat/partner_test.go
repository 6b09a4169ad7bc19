package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPartner posts what a partner's webhooks may be to a whole daemon, and holds what the partner is told: here the outcomes
// come from the pipeline and its store.
func TestPartner(t *testing.T) {
	const secret = "partner-secret-of-32-characters!"
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "p.yaml", `
server: { listen: "${ADDR}" }
pipelines:
  pay:
    source:
      http:
        path: /pay
        hmac: { header: X-Signature, secret: "`+secret+`", timestamp_header: X-Timestamp }
        max_body: 1KiB
      envelope: json
      event: { id: data.id, type: '"PaymentMade"', source: '"partner"' }
    steps:
      - validate: { schema: schemas, invalid: reject }
      - append: { stream: "pay/{{ data.account }}" }
`)
	if err := os.MkdirAll(filepath.Join(dir, "schemas", "PaymentMade"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "schemas/PaymentMade/1.json", `{"type": "object", "required": ["id"], "properties": {"amount": {"type": "number", "minimum": 0}}}`)
	c := startLeat(t, dir, []string{"ADDR=" + addr}, "run", "p.yaml", "--data", "data")
	if !c.ready(t, addr) {
		t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
	}
	at := time.Now().Unix()
	signed := func(body string, at int64, key string) map[string]string {
		stamp := strconv.FormatInt(at, 10)
		h := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(h, stamp+"."+body)
		return map[string]string{"X-Timestamp": stamp, "X-Signature": "sha256=" + hex.EncodeToString(h.Sum(nil))}
	}
	const good = `{"id":"p-1","account":"a","amount":5}`
	for i, tt := range []struct {
		name, body string
		headers    map[string]string
		status     int
		answer     []string
	}{
		{"signed", good, signed(good, at, secret), 200, []string{`"committed"`}},
		{"the same request again", good, signed(good, at, secret), 403, []string{`"replayed"`}},
		{"the same event, signed anew", good, signed(good, at+1, secret), 200, []string{`"duplicate"`}},
		{"its id with another content", `{"id":"p-1","account":"a","amount":6}`, signed(`{"id":"p-1","account":"a","amount":6}`, at, secret), 409, []string{`"id_reused"`, "used before with other content"}},
		{"no account: it cannot be handled", `{"id":"p-2"}`, signed(`{"id":"p-2"}`, at, secret), 202, []string{`"poisoned"`, `"stream"`}},
		{"what the schema refuses", `{"id":"p-3","amount":-1}`, signed(`{"id":"p-3","amount":-1}`, at, secret), 422, []string{`"rejected"`, "/amount", "minimum"}},
		{"no JSON", `id=5`, signed(`id=5`, at, secret), 400, []string{`"malformed"`}},
		{"a wrong key", good, signed(good, at, "another-secret-of-32-characters!"), 403, []string{`"signature_wrong"`}},
		{"no signature", good, nil, 401, []string{`"signature_missing"`}},
		{"signed long ago", good, signed(good, at-3600, secret), 403, []string{`"timestamp_old"`}},
		{"too large", strings.Repeat("x", 1025), signed(strings.Repeat("x", 1025), at, secret), 413, []string{`"too_large"`}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/pay", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for name, v := range tt.headers {
			req.Header.Set(name, v)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%d %s: %v", i, tt.name, err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, res.StatusCode, tt.status, got)
		}
		for _, w := range tt.answer {
			if !strings.Contains(string(got), w) {
				t.Errorf("%s: no %s in %s", tt.name, w, got)
			}
		}
	}
}
