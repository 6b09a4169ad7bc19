package admin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// echo answers with what it was sent.
type echo struct{}

func (echo) ServeHTTP(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// What the AWS SDK signs with a key of the listener is let in to what a source mounts.
func TestSignedRequests(t *testing.T) {
	s := guarded(t, nil)
	if _, err := s.Mount("POST /{$}", echo{}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	const body = `{"Entries":[]}`
	for _, tt := range []struct {
		name, id, secret string
		at               time.Time
		change           func(*http.Request)
		status           int
	}{
		{"a key", "writer", writeKey, time.Now(), nil, 200},
		{"parameters", "writer", writeKey, time.Now(), func(r *http.Request) { r.URL.RawQuery = "b=2+1&a=%2F&a=1" }, 200},
		{"its scope is too low", "reader", readKey, time.Now(), nil, 403},
		{"another secret", "writer", readKey, time.Now(), nil, 403},
		{"only a hash", "ops", adminKey, time.Now(), nil, 403},
		{"nobody", "none", writeKey, time.Now(), nil, 403},
		{"old", "writer", writeKey, time.Now().Add(-time.Hour), nil, 403},
		{"of the future", "writer", writeKey, time.Now().Add(time.Hour), nil, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
			req.Header.Set("Content-Type", "application/x-amz-json-1.1")
			if tt.change != nil {
				tt.change(req)
			}
			sum := sha256.Sum256([]byte(body))
			if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: tt.id, SecretAccessKey: tt.secret}, req, hex.EncodeToString(sum[:]), "events", "eu-west-1", tt.at); err != nil {
				t.Fatal(err)
			}
			for tampered, status := range map[bool]int{false: tt.status, true: 403} {
				sent := req.Clone(t.Context())
				sent.Body = io.NopCloser(strings.NewReader(body))
				if tampered {
					sent.Body = io.NopCloser(strings.NewReader(strings.ToUpper(body)))
				}
				res, err := http.DefaultClient.Do(sent)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != status || status == 200 && string(b) != body {
					t.Errorf("tampered %v: %d %s, want %d", tampered, res.StatusCode, b, status)
				}
			}
		})
	}
	for _, header := range []string{"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=writer/x", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=x"} {
		r := &running{url: srv.URL}
		if a := r.do(t, "POST", "/", body, "Authorization", header, "X-Amz-Date", "20260101T000000Z"); a.status != 403 {
			t.Errorf("%s: %d %s", header, a.status, a.body)
		}
		// The API itself takes keys and certificates alone.
		if a := r.do(t, "GET", "/api/v1/status", "", "Authorization", header); a.status != 401 {
			t.Errorf("%s on the API: %d %s", header, a.status, a.body)
		}
	}
}
