package httpenrich

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
)

// open makes a handler as the YAML would, defaults included.
func open(t *testing.T, yaml string, now func() time.Time) handlers.Handler {
	t.Helper()
	cfg, ds := config.LoadBytes("t.yaml", []byte("pipelines: { p: { source: { none: {} }, steps: [ { handle: { http_enrich: {"+yaml+"} } }, { append: { stream: \"a/b\" } } ] } }"), config.Options{})
	for _, d := range ds {
		if d.Severity == config.Error {
			t.Fatal(d)
		}
	}
	if now == nil {
		now = time.Now
	}
	h, err := Open(t.Context(), cfg.Pipelines[0].Steps[0].Handle.Config.(Config), handlers.Env{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func customer(id string) event.Recorded {
	return event.Recorded{Event: event.Event{ID: "e", Type: "T", Data: []byte(`{"id":"` + id + `"}`), Metadata: []byte(`{"tenant":"acme"}`)}}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		status     int
		header     [2]string
		body       string
		want       string // the data
		err        string // part of the error
		kind       string // poison, skip, down, retry, other
	}{
		{name: "whole", status: 200, body: `{"name":"Ada"}`, want: `{"id":"c 1","enriched":{"name":"Ada"}}`},
		{name: "picked", yaml: `into: data.who, pick: result.name`, status: 200, body: `{"result":{"name":"Ada"}}`, want: `{"id":"c 1","who":"Ada"}`},
		{name: "in place of the data", yaml: `into: data`, status: 200, body: `[1]`, want: `[1]`},
		{name: "no content", status: 204, want: `{"id":"c 1","enriched":null}`},
		{name: "nothing to pick", yaml: `pick: result.name`, status: 200, body: `{"result":{}}`, err: "knows nothing of it", kind: "poison"},
		{name: "missing", status: 404, err: "knows nothing of it", kind: "poison"},
		{name: "missing is null", yaml: `missing: null`, status: 410, want: `{"id":"c 1","enriched":null}`},
		{name: "missing skips", yaml: `missing: skip`, status: 404, kind: "skip"},
		{name: "missing may come", yaml: `missing: retry`, status: 404, kind: "other"},
		{name: "refused", status: 403, body: "who are you", err: "answered 403: who are you", kind: "poison"},
		{name: "down", status: 503, header: [2]string{"Retry-After", "7"}, kind: "down"},
		{name: "throttled", status: 429, kind: "down"},
		{name: "elsewhere", status: 302, header: [2]string{"Location", "http://169.254.169.254/"}, kind: "down"},
		{name: "broken", status: 500, kind: "other"},
		{name: "broken for a time", status: 500, header: [2]string{"Retry-After", "7"}, kind: "retry"},
		{name: "no JSON", status: 200, body: "<html>", err: "is no JSON", kind: "poison"},
		{name: "too large", yaml: `max_answer: 10`, status: 200, body: `"12345678901"`, err: "more than max_answer", kind: "poison"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.EscapedPath() != "/c/c%201" || r.Header.Get("X-Tenant") != "acme" || r.Header.Get("Authorization") != "Bearer s3cr3t" {
					t.Errorf("asked %s %v", r.URL.EscapedPath(), r.Header)
				}
				if tt.header[0] != "" {
					w.Header().Set(tt.header[0], tt.header[1])
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))
			defer srv.Close()
			yaml := `url: "` + srv.URL + `/c/{{ data.id }}", allow_private: true, token: s3cr3t, headers: { X-Tenant: "{{ metadata.tenant }}" }`
			if tt.yaml != "" {
				yaml += ", " + tt.yaml
			}
			out, err := open(t, yaml, nil).Handle(t.Context(), customer("c 1"))
			if tt.kind == "" {
				if err != nil || len(out) != 1 || string(out[0].Data) != tt.want {
					t.Fatalf("%+v, %v; want %s", out, err, tt.want)
				}
				return
			}
			_, skip := event.AsSkip(err)
			after, down := event.AsUnavailable(err)
			wait, retry := event.AsRetryAfter(err)
			got := map[bool]string{true: "other"}[err != nil]
			switch {
			case event.IsPoison(err):
				got = "poison"
			case skip:
				got = "skip"
			case down:
				got = "down"
			case retry:
				got = "retry"
			}
			if got != tt.kind || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: %v; want %s", got, err, tt.kind)
			}
			if tt.header[0] == "Retry-After" && after+wait != 7*time.Second {
				t.Errorf("waits %s", after+wait)
			}
		})
	}
}

func TestCacheKeepsAnswers(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/bad" {
			w.WriteHeader(500)
			return
		}
		fmt.Fprint(w, asked.Load())
	}))
	defer srv.Close()
	now := time.Unix(1e9, 0)
	h := open(t, `url: "`+srv.URL+`/{{ data.id }}", allow_private: true, cache: { ttl: 1m, entries: 2 }`, func() time.Time { return now })
	for i, tt := range []struct {
		id    string
		after time.Duration
		asked int64
	}{
		{"a", 0, 1}, {"a", 0, 1}, {"b", 0, 2}, {"a", time.Minute, 3}, {"c", 0, 4}, {"d", 0, 5}, {"a", 0, 6},
		{"bad", 0, 7}, {"bad", 0, 8}, // failures are not kept
	} {
		now = now.Add(tt.after)
		_, _ = h.Handle(t.Context(), customer(tt.id))
		if got := asked.Load(); got != tt.asked {
			t.Errorf("%d: asked %d times, want %d", i, got, tt.asked)
		}
	}
}

func TestUnreachable(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()
	h := open(t, `url: "`+srv.URL+`/{{ data.id }}", allow_private: true, timeout: 20ms`, nil)
	if _, err := h.Handle(t.Context(), customer("x")); err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("slow: %v", err)
	} else if _, down := event.AsUnavailable(err); !down {
		t.Errorf("slow: %v is no outage", err)
	}
	// The name may lead into one's own network only where that is allowed.
	guarded := open(t, `url: "http://example.invalid/{{ data.id }}"`, nil).(*Handler)
	req, _, _ := guarded.request(t.Context(), &event.Recorded{Event: event.Event{Data: []byte(`{"id":"x"}`)}})
	req.URL.Host = strings.TrimPrefix(srv.URL, "http://")
	if _, err := guarded.ask(t.Context(), req); err == nil || !strings.Contains(err.Error(), "not public") {
		t.Errorf("private: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Handle(ctx, customer("x")); err == nil {
		t.Error("cancelled: no error")
	} else if _, down := event.AsUnavailable(err); down {
		t.Errorf("cancelled: %v is an outage", err)
	}
}

// What an event puts into the URL stays one part of it.
func TestURLs(t *testing.T) {
	h := open(t, `url: "https://example.com/c/{{ data.id }}?q={{ data.id }}"`, nil).(*Handler)
	for id, want := range map[string]string{
		"a/b?c#d":  "https://example.com/c/a%2Fb%3Fc%23d?q=a%2Fb%3Fc%23d",
		"..":       "",
		"":         "",
		"ä":        "https://example.com/c/%C3%A4?q=%C3%A4",
		"@evil.io": "https://example.com/c/@evil.io?q=%40evil.io",
	} {
		e := customer(id)
		req, _, err := h.request(t.Context(), &e)
		if want == "" {
			if err == nil {
				t.Errorf("%q: %s", id, req.URL)
			}
			continue
		}
		if err != nil || req.URL.String() != want {
			t.Errorf("%q: %v, %v", id, req, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	for field, yaml := range map[string]string{
		"url":            `url: "ftp://example.com"`,
		"into":           `url: "https://example.com", into: subject`,
		"into.":          `url: "https://example.com", into: "data."`,
		"headers":        `url: "https://example.com", headers: { "a b": c }`,
		"secret_headers": `url: "https://example.com", secret_headers: { "a b": c }`,
		"allow_private":  `url: "http://127.0.0.1/x"`,
	} {
		_, ds := config.LoadBytes("t.yaml", []byte("pipelines: { p: { source: { none: {} }, steps: [ { handle: { http_enrich: {"+yaml+"} } }, { append: { stream: \"a/b\" } } ] } }"), config.Options{})
		if !ds.HasErrors() || !strings.Contains(ds[0].Text(false), strings.TrimSuffix(field, ".")) {
			t.Errorf("%s: %v", field, ds)
		}
	}
}
