package http

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

var signing = time.Unix(1_700_000_000, 0)

func sum(h func() hash.Hash, key, text string) []byte {
	m := hmac.New(h, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexSum(key, text string) string { return hex.EncodeToString(sum(sha256.New, key, text)) }

// TestSignatures signs as well-known senders do.
func TestSignatures(t *testing.T) {
	const body, key, old = `{"a":1}`, "the secret key", "the former key"
	secret := []config.Secret{config.NewSecret(key), config.NewSecret(old)}
	whsec := []config.Secret{config.NewSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(key)))}
	ts := fmt.Sprint(signing.Unix())
	github := HMAC{Secret: secret, Header: "X-Hub-Signature-256"}
	stripe := HMAC{Secret: secret, Header: "Stripe-Signature", TimestampHeader: "Stripe-Signature"}
	slack := HMAC{Secret: secret, Header: "X-Slack-Signature", TimestampHeader: "X-Slack-Request-Timestamp", Signed: "v0:{timestamp}:{body}"}
	standard := HMAC{Secret: whsec, Header: "webhook-signature", TimestampHeader: "webhook-timestamp", Signed: "{id}.{timestamp}.{body}"}
	standardSum := "v1," + base64.StdEncoding.EncodeToString(sum(sha256.New, key, "msg-1."+ts+"."+body))
	for _, tt := range []struct {
		name   string
		c      HMAC
		header []string
		status int
		code   string
	}{
		{"GitHub", github, []string{"X-Hub-Signature-256", "sha256=" + hexSum(key, body)}, 200, ""},
		{"upper case", github, []string{"X-Hub-Signature-256", strings.ToUpper(hexSum(key, body))}, 200, ""},
		{"the former key", github, []string{"X-Hub-Signature-256", "sha256=" + hexSum(old, body)}, 200, ""},
		{"base64", github, []string{"X-Hub-Signature-256", base64.StdEncoding.EncodeToString(sum(sha256.New, key, body))}, 200, ""},
		{"Stripe", stripe, []string{"Stripe-Signature", "t=" + ts + ",v1=" + hexSum(key, ts+"."+body) + ",v0=" + hexSum("x", body)}, 200, ""},
		{"Slack", slack, []string{"X-Slack-Signature", "v0=" + hexSum(key, "v0:"+ts+":"+body), "X-Slack-Request-Timestamp", ts}, 200, ""},
		{"milliseconds", slack, []string{"X-Slack-Signature", hexSum(key, "v0:"+ts+"000:"+body), "X-Slack-Request-Timestamp", ts + "000"}, 200, ""},
		{"Standard Webhooks", standard, []string{"webhook-id", "msg-1", "webhook-timestamp", ts, "webhook-signature", "v1,AAAA " + standardSum}, 200, ""},
		{"SHA-1", HMAC{Secret: secret, Header: "X-S", Algorithm: "sha1"}, []string{"X-S", "sha1=" + hex.EncodeToString(sum(sha1.New, key, body))}, 200, ""},
		{"SHA-512", HMAC{Secret: secret, Header: "X-S", Algorithm: "sha512"}, []string{"X-S", hex.EncodeToString(sum(sha512.New, key, body))}, 200, ""},

		{"none", github, nil, 401, "signature_missing"},
		{"no sum", github, []string{"X-Hub-Signature-256", "sha256=zz"}, 403, "signature_wrong"},
		{"another hash", github, []string{"X-Hub-Signature-256", hex.EncodeToString(sum(sha1.New, key, body))}, 403, "signature_wrong"},
		{"another key", github, []string{"X-Hub-Signature-256", hexSum("x", body)}, 403, "signature_wrong"},
		{"another body", github, []string{"X-Hub-Signature-256", hexSum(key, body+" ")}, 403, "signature_wrong"},
		{"another time", slack, []string{"X-Slack-Signature", hexSum(key, "v0:"+ts+":"+body), "X-Slack-Request-Timestamp", fmt.Sprint(signing.Unix() + 1)}, 403, "signature_wrong"},
		{"another id", standard, []string{"webhook-id", "msg-2", "webhook-timestamp", ts, "webhook-signature", standardSum}, 403, "signature_wrong"},
		{"no time", slack, []string{"X-Slack-Signature", hexSum(key, "v0::"+body)}, 403, "timestamp_wrong"},
		{"a time in words", slack, []string{"X-Slack-Signature", hexSum(key, "v0:today:"+body), "X-Slack-Request-Timestamp", "today"}, 403, "timestamp_wrong"},
		{"too old", slack, signedFor(key, body, signing.Add(-5*time.Minute-time.Second)), 403, "timestamp_old"},
		{"just young enough", slack, signedFor(key, body, signing.Add(-5*time.Minute)), 200, ""},
		{"of the future", slack, signedFor(key, body, signing.Add(5*time.Minute+time.Second)), 403, "timestamp_old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.c.Validate(); err != nil {
				t.Fatal(err)
			}
			p := start(t, Config{HMAC: &tt.c, IDHeader: "webhook-id"}, sources.Env{Now: func() time.Time { return signing }}, committed)
			rec := p.post(t, body, tt.header...)
			if rec.Code != tt.status || codeOf(t, rec) != tt.code {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if got := len(p.taken()); (got == 1) != (tt.status == 200) {
				t.Errorf("%d events were taken", got)
			}
		})
	}
}

// signedFor signs as Slack does.
func signedFor(key, body string, at time.Time) []string {
	ts := fmt.Sprint(at.Unix())
	return []string{"X-Slack-Signature", hexSum(key, "v0:"+ts+":"+body), "X-Slack-Request-Timestamp", ts}
}

func TestReplays(t *testing.T) {
	const key, former = "the secret key", "the former key"
	now := signing
	outcome := event.Committed
	c := HMAC{Secret: []config.Secret{config.NewSecret(key), config.NewSecret(former)}, Header: "X-Slack-Signature", TimestampHeader: "X-Slack-Request-Timestamp",
		Signed: "v0:{timestamp}:{body}", Remember: 3}
	p := start(t, Config{HMAC: &c}, sources.Env{Now: func() time.Time { return now }}, func(*event.Event) (event.Outcome, error) { return outcome, nil })
	expect := func(what string, body string, header []string, status int, code string) {
		t.Helper()
		if rec := p.post(t, body, header...); rec.Code != status || !strings.Contains(rec.Body.String(), code) {
			t.Errorf("%s: %d %s, want %d %s", what, rec.Code, rec.Body, status, code)
		}
	}
	first := signedFor(key, "1", now)
	expect("first", "1", first, 200, "committed")
	expect("again", "1", first, 403, "replayed")
	expect("the same request under the other key", "1", signedFor(former, "1", now), 403, "replayed")
	now = now.Add(5 * time.Minute)
	expect("at the end of the window", "1", first, 403, "replayed")

	outcome = event.Released
	second := signedFor(key, "2", now)
	expect("it comes to nothing", "2", second, 503, "released")
	outcome = event.Committed
	expect("so it may be repeated", "2", second, 200, "committed")
	expect("a body at fault", "{", signedFor(key, "{", now), 400, "malformed")

	expect("third", "3", signedFor(key, "3", now), 200, "")
	if got := len(p.src.auth.signature.seen); got > 3 {
		t.Errorf("%d signatures are remembered", got)
	}
	expect("a flood", "4", signedFor(key, "4", now), 429, "too_many_signatures")
	now = now.Add(time.Second)
	expect("when the first is too old", "4", signedFor(key, "4", now), 200, "")
	expect("the first itself", "1", first, 403, "timestamp_old")
}

func TestTheRateIsForThoseWhoMaySend(t *testing.T) {
	c := HMAC{Secret: []config.Secret{config.NewSecret("the secret key")}, Header: "X-S"}
	p := start(t, Config{HMAC: &c, Rate: &Rate{Requests: 1, Burst: 1}}, sources.Env{Now: func() time.Time { return signing }}, committed)
	for range 5 {
		if rec := p.post(t, `1`, "X-S", hexSum("somebody's key", "1")); rec.Code != 403 {
			t.Errorf("a stranger: %d", rec.Code)
		}
	}
	for i, want := range []int{200, 429} {
		if rec := p.post(t, `1`, "X-S", hexSum("the secret key", "1")); rec.Code != want {
			t.Errorf("request %d: %d, want %d", i, rec.Code, want)
		}
	}
}
