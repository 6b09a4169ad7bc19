package aws

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	leat "github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws/awstest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

// A role is taken on with the credentials found, and refused in words.
func TestAssumeRole(t *testing.T) {
	var asked url.Values
	answer, status := `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
		<AccessKeyId>ASIAOFTHEROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>
		</Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/leat/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>`, http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, _ = url.ParseQuery(string(body))
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer srv.Close()
	s := Settings{Endpoint: srv.URL, AssumeRole: Role{ARN: "arn:aws:iam::123456789012:role/leat", ExternalID: leat.NewSecret("between-us")}}
	cfg, err := Load(t.Context(), s, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(cfg)
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "ASIAOFTHEROLE" {
		t.Errorf("%s, %v", got.AccessKeyID, err)
	}
	if asked.Get("RoleArn") != s.AssumeRole.ARN || asked.Get("ExternalId") != "between-us" || asked.Get("RoleSessionName") != "leat" {
		t.Errorf("asked %v", asked)
	}
	status, answer = http.StatusForbidden, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`
	_, err = Load(t.Context(), s, nil, 1)
	if err == nil || KindOf(err) != Denied || !strings.Contains(err.Error(), "role arn:aws:iam::123456789012:role/leat: denied; the role or user needs sts:AssumeRole there") {
		t.Errorf("%v", err)
	}
}

func TestSettingsCheck(t *testing.T) {
	for _, tt := range []struct {
		in  interface{ Validate() error }
		bad string
	}{
		{in: Settings{}},
		{in: Settings{Endpoint: "https://localhost:4566"}},
		{in: Settings{Endpoint: "localhost"}, bad: "no http or https URL"},
		{in: Role{ARN: "arn:aws:iam::123456789012:role/path/leat", Session: "leat@prod"}},
		{in: Role{ARN: "arn:aws:iam::123456789012:user/leat"}, bad: "no ARN of a role"},
		{in: Role{Session: "a b"}, bad: "no session name"},
	} {
		if err := tt.in.Validate(); (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%+v: %v, want %q", tt.in, err, tt.bad)
		}
	}
	if b, err := json.Marshal(Settings{AssumeRole: Role{ExternalID: leat.NewSecret("x9y9")}}); err != nil || strings.Contains(string(b), "x9y9") {
		t.Errorf("%s, %v", b, err)
	}
}
