package http

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/httpclient"
	"github.com/leatdev/leat/pipeline/porttest"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is an endpoint that takes each Idempotency-Key once.
type receiver struct {
	srv *httptest.Server

	mu       sync.Mutex
	answer   nethttp.HandlerFunc // nil: take it
	seen     map[string]bool
	bodies   []string // of events
	requests []string // "POST /path?query"
	headers  []nethttp.Header
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{seen: map[string]bool{}}
	r.srv = httptest.NewServer(r)
	t.Cleanup(r.srv.Close)
	return r
}

func (r *receiver) ServeHTTP(w nethttp.ResponseWriter, req *nethttp.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
	r.headers = append(r.headers, req.Header)
	if r.answer != nil {
		rec := httptest.NewRecorder()
		r.answer(rec, req)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		if rec.Code >= 300 {
			return
		}
	}
	key := req.Header.Get("Idempotency-Key")
	if key != "" && r.seen[key] {
		return
	}
	r.seen[key] = true
	if rawjson.KindOf(body) != rawjson.KindArray {
		r.bodies = append(r.bodies, string(body))
		return
	}
	_ = rawjson.Array(body, func(v []byte) bool { r.bodies = append(r.bodies, string(v)); return true })
}

func (r *receiver) Bodies(testing.TB) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies
}

func (r *receiver) Break(testing.TB) {
	r.answering(func(w nethttp.ResponseWriter, _ *nethttp.Request) { w.WriteHeader(503) })
}

func (r *receiver) Mend(testing.TB) { r.answering(nil) }

func (r *receiver) answering(h nethttp.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func open(t *testing.T, r *receiver, c Config) *Sink {
	t.Helper()
	if c.URL.IsZero() {
		c.URL.Source = "/events"
	}
	c.URL.Source = r.srv.URL + c.URL.Source
	c.AllowPrivate = true
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c, sinks.Env{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Sink)
}

func TestConformance(t *testing.T) {
	for _, body := range []string{"array", "single"} {
		t.Run(body, func(t *testing.T) {
			sinktest.Run(t, sinktest.Features{Idempotent: body == "single"}, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
				r := receive(t)
				return open(t, r, Config{Body: body}), r
			})
		})
	}
}

func text(s string) config.Text { return config.Text{Source: s} }

func TestRequests(t *testing.T) {
	r := receive(t)
	s := open(t, r, Config{
		Method: "PUT", ContentType: "application/cloudevents-batch+json", Token: config.NewSecret("bearer"), IDHeader: "X-Id",
		Headers:       map[string]config.Text{"X-Type": text("{{ type }}"), "X-Fixed": text("yes")},
		SecretHeaders: map[string]config.Secret{"X-Key": config.NewSecret("key")},
	})
	batch := sinktest.Events(0, 3)
	batch[1].Type = "Other"
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PUT /events", "PUT /events"}, r.requests); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for i, typ := range []string{"Tested", "Other"} {
		h := r.headers[i]
		got := []string{h.Get("X-Type"), h.Get("X-Fixed"), h.Get("X-Key"), h.Get("Authorization"), h.Get("Content-Type")}
		if diff := cmp.Diff([]string{typ, "yes", "key", "Bearer bearer", "application/cloudevents-batch+json"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(h.Get("X-Id")) != 32 {
			t.Errorf("X-Id: %q", h.Get("X-Id"))
		}
	}
	want := []string{string(batch[0].Raw), string(batch[2].Raw), string(batch[1].Raw)}
	if diff := cmp.Diff(want, r.bodies); diff != "" {
		t.Errorf("in two requests (-want +got):\n%s", diff)
	}
}

func TestKeysAreOfTheEvents(t *testing.T) {
	r := receive(t)
	array, single := open(t, r, Config{}), open(t, r, Config{Body: "single"})
	key := func(s *Sink, batch []event.Recorded) string {
		t.Helper()
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		return r.headers[len(r.headers)-1].Get("Idempotency-Key")
	}
	five := key(array, sinktest.Events(0, 5))
	if again := key(array, sinktest.Events(0, 5)); again != five {
		t.Errorf("the same events: %s and %s", five, again)
	}
	if longer := key(array, sinktest.Events(0, 8)); longer == five {
		t.Error("a longer batch has the same key: a receiver would drop the rest")
	}
	if got := key(single, sinktest.Events(7, 1)); got != "e-000007" {
		t.Errorf("single: %s", got)
	}
	odd := sinktest.Events(0, 1)
	odd[0].ID = "a\r\nX-Evil: 1"
	if got := key(single, odd); len(got) != 32 {
		t.Errorf("an id that is no header: %q", got)
	}
}

func TestURLsOfEvents(t *testing.T) {
	for _, tt := range []struct {
		url, data, meta, want string
		poison                bool
	}{
		{url: "/orders/{{ data.id }}?v={{ data.v }}", data: `{"id":"o-1","v":2}`, want: "/orders/o-1?v=2"},
		{url: "/orders/{{ data.id }}/x", data: `{"id":"a/b?c#d é"}`, want: "/orders/a%2Fb%3Fc%23d%20%C3%A9/x"},
		{url: "/orders?id={{ data.id }}&x=1", data: `{"id":"a&admin=1 ="}`, want: "/orders?id=a%26admin%3D1+%3D&x=1"},
		{url: "/{{ metadata.tenant }}/x", meta: `{"tenant":"t1"}`, data: `{}`, want: "/t1/x"},
		{url: "/{{ stream }}/{{ revision }}", data: `{}`, want: "/test%2F1/1"},
		{url: "/orders?id={{ data.id }}", data: `{}`, want: "/orders?id="},
		{url: "/orders/{{ data.id }}", data: `{}`, poison: true},
		{url: "/orders/{{ data.id }}/x", data: `{"id":".."}`, poison: true},
		{url: "/orders/{{ data.id }}.", data: `{"id":"."}`, poison: true},
		{url: "/orders/{{ len(data.id) }}", data: `{"id":1}`, poison: true},
	} {
		r := receive(t)
		s := open(t, r, Config{URL: text(tt.url)})
		batch := sinktest.Events(0, 1)
		batch[0].Data, batch[0].Metadata = []byte(tt.data), []byte(tt.meta)
		err := s.Write(t.Context(), batch)
		var failed *event.BatchError
		if errors.As(err, &failed) {
			err = failed.Failed[0]
		}
		if event.IsPoison(err) != tt.poison || (err != nil) != tt.poison {
			t.Errorf("%s: %v", tt.url, err)
		}
		var want []string
		if !tt.poison {
			want = []string{"POST " + tt.want}
		}
		if diff := cmp.Diff(want, r.requests); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.url, diff)
		}
	}
}

func TestHeadersTakeNoMoreThanALine(t *testing.T) {
	r := receive(t)
	s := open(t, r, Config{Headers: map[string]config.Text{"X-A": text("{{ data.a }}")}})
	batch := sinktest.Events(0, 3)
	batch[1].Data = []byte(`{"a":"1\r\nX-Evil: 1"}`)
	err := s.Write(t.Context(), batch)
	var failed *event.BatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || !event.IsPoison(failed.Failed[1]) {
		t.Errorf("%v", err)
	}
	if len(r.bodies) != 2 {
		t.Errorf("delivered: %q", r.bodies)
	}
}

func TestOutcomeByStatus(t *testing.T) {
	const none = -1
	for _, tt := range []struct {
		status        int
		after         string
		down, retried time.Duration // none: it is not that
		poison        bool
	}{
		{status: 200, down: none, retried: none},
		{status: 204, down: none, retried: none},
		{status: 301, retried: none},
		{status: 400, down: none, retried: none, poison: true},
		{status: 401, down: none, retried: none, poison: true},
		{status: 408, retried: none},
		{status: 422, down: none, retried: none, poison: true},
		{status: 425, retried: none},
		{status: 429, after: "7", down: 7 * time.Second, retried: none},
		{status: 429, after: "Fri, 02 Jan 2026 03:05:05 GMT", down: time.Minute, retried: none},
		{status: 429, after: "Fri, 02 Jan 2026 03:00:00 GMT", retried: none},
		{status: 429, after: "soon", retried: none},
		{status: 429, after: "999999", down: time.Hour, retried: none},
		{status: 500, down: none, retried: none},
		{status: 500, after: "3", down: none, retried: 3 * time.Second},
		{status: 502, retried: none},
		{status: 503, after: "1", down: time.Second, retried: none},
		{status: 504, retried: none},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.after), func(t *testing.T) {
			r := receive(t)
			s := open(t, r, Config{URL: text("/events?token=hidden")})
			r.answering(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				if w.Header().Set("Location", "/elsewhere"); tt.after != "" {
					w.Header().Set("Retry-After", tt.after)
				}
				w.WriteHeader(tt.status)
				if tt.status != 204 {
					_, _ = io.WriteString(w, "the\n reason\x00 "+strings.Repeat("x", 1000))
				}
			})
			err := s.Write(t.Context(), sinktest.Events(0, 2))
			down, isDown := event.AsUnavailable(err)
			retried, isRetried := event.AsRetryAfter(err)
			if (tt.down != none) != isDown || (isDown && down != tt.down) || (tt.retried != none) != isRetried || (isRetried && retried != tt.retried) || event.IsPoison(err) != tt.poison {
				t.Errorf("%#v: %v", err, err)
			}
			if (err == nil) != (tt.status < 300) {
				t.Errorf("%v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), fmt.Sprintf("answered %d to 2 events: the reason xx", tt.status)) || len(err.Error()) > 400 || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("%v", err)
			}
			if len(r.requests) != 1 {
				t.Errorf("%d requests: %q", len(r.requests), r.requests)
			}
		})
	}
}

func TestSingleEventsFailSingly(t *testing.T) {
	r := receive(t)
	s := open(t, r, Config{URL: text("/{{ data.n }}"), Body: "single"})
	if !s.FailsInPart() || open(t, r, Config{}).FailsInPart() || !open(t, r, Config{URL: text("/{{ type }}")}).FailsInPart() {
		t.Error("FailsInPart")
	}
	r.answering(func(w nethttp.ResponseWriter, req *nethttp.Request) {
		switch req.URL.Path {
		case "/1":
			w.WriteHeader(422)
		case "/3":
			w.WriteHeader(503)
		}
	})
	err := s.Write(t.Context(), sinktest.Events(0, 6))
	var failed *event.BatchError
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	var got []string
	for i := range 6 {
		switch _, down := event.AsUnavailable(failed.Failed[i]); {
		case failed.Failed[i] == nil:
			got = append(got, "done")
		case event.IsPoison(failed.Failed[i]):
			got = append(got, "poison")
		case down:
			got = append(got, "down")
		}
	}
	if diff := cmp.Diff([]string{"done", "poison", "done", "down", "down", "down"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"POST /0", "POST /1", "POST /2", "POST /3"}, r.requests); diff != "" {
		t.Errorf("a receiver that is down is asked on (-want +got):\n%s", diff)
	}
}

func TestOutages(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, tt := range map[string]struct {
		url     string
		timeout time.Duration
		want    string
	}{
		"nobody listens": {"http://" + porttest.Hold(t) + "/?token=hidden", time.Minute, "refused"},
		"no answer":      {"http://" + silent.Addr().String() + "/?token=hidden", 30 * time.Millisecond, "no answer within 30ms"},
		"no such name":   {"http://host.invalid/?token=hidden", 30 * time.Millisecond, "send 1 events to host.invalid"},
	} {
		s, err := Open(t.Context(), Config{URL: text(tt.url), AllowPrivate: true, Timeout: tt.timeout}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), sinktest.Events(0, 1))
		if _, down := event.AsUnavailable(err); !down || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	r := receive(t)
	_, port, _ := net.SplitHostPort(r.srv.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "169.254.169.254"} {
		s, err := Open(t.Context(), Config{URL: text("http://" + host + ":" + port), Timeout: 2 * time.Second}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), sinktest.Events(0, 1))
		var dns *net.DNSError
		if _, down := event.AsUnavailable(err); !down || (!errors.Is(err, httpclient.ErrPrivate) && !errors.As(err, &dns)) {
			t.Errorf("%s: %v", host, err)
		}
		_ = s.Close()
	}
	if len(r.requests) > 0 {
		t.Errorf("it was reached: %q", r.requests)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the client that does not trust it
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, good := range map[string]bool{ca: true, "": false} {
		s, err := Open(t.Context(), Config{URL: text(srv.URL), AllowPrivate: true, CAFile: file}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), sinktest.Events(0, 1))
		if _, down := event.AsUnavailable(err); (err == nil) != good || down == good {
			t.Errorf("ca_file %q: %v", file, err)
		}
		_ = s.Close()
	}
	for _, file := range []string{filepath.Join(t.TempDir(), "none"), "http_test.go"} {
		if _, err := Open(t.Context(), Config{URL: text(srv.URL), CAFile: file}, sinks.Env{}); err == nil || !strings.Contains(err.Error(), "ca_file") {
			t.Errorf("ca_file %s: %v", file, err)
		}
	}
}

func TestACancelledWriteIsNobodysFault(t *testing.T) {
	r := receive(t)
	s := open(t, r, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	r.answering(func(nethttp.ResponseWriter, *nethttp.Request) { cancel() })
	err := s.Write(ctx, sinktest.Events(0, 1))
	if _, down := event.AsUnavailable(err); down || event.IsPoison(err) || (err != nil && !errors.Is(err, context.Canceled)) {
		t.Errorf("%v", err)
	}
}

func TestValidate(t *testing.T) {
	one := config.NewSecret("x")
	for _, tt := range []struct {
		c     Config
		field string // "": good
	}{
		{Config{URL: text("https://example.com/a/{{ data.id }}?b={{ type }}")}, ""},
		{Config{URL: text("http://example.com")}, ""},
		{Config{URL: text("http://127.0.0.1:8080/x"), AllowPrivate: true}, ""},
		{Config{URL: text("ftp://example.com")}, "url"},
		{Config{URL: text("example.com")}, "url"},
		{Config{URL: text("https:///x")}, "url"},
		{Config{URL: text("https://{{ data.host }}/x")}, "url"},
		{Config{URL: text("https://example.com{{ data.x }}")}, "url"},
		{Config{URL: text("https://user:password@example.com/")}, "url"},
		{Config{URL: text("https://example.com/#x")}, "url"},
		{Config{URL: text("http://localhost/x")}, "url"},
		{Config{URL: text("http://192.168.0.1/x")}, "url"},
		{Config{URL: text("http://[::1]:80/x")}, "url"},
		{Config{URL: text("https://example.com"), Headers: map[string]config.Text{"a b": text("1")}}, "headers"},
		{Config{URL: text("https://example.com"), Headers: map[string]config.Text{"content-type": text("1")}}, "headers"},
		{Config{URL: text("https://example.com"), Headers: map[string]config.Text{"x-a": text("1")}, SecretHeaders: map[string]config.Secret{"X-A": one}}, "headers"},
		{Config{URL: text("https://example.com"), SecretHeaders: map[string]config.Secret{"authorization": one}, Token: one}, "headers"},
	} {
		err := tt.c.Validate()
		var fe *config.FieldError
		if errors.As(err, &fe); (err == nil) != (tt.field == "") || (fe != nil && fe.Field != tt.field) {
			t.Errorf("%s: %v", tt.c.URL.Source, err)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	if got := (Config{URL: text("https://user@example.com/secret?token=x")}).Target(); got != "https://example.com" {
		t.Errorf("Target: %s", got)
	}
}
