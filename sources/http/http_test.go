package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// pipe is a source with a pipeline that settles what it gets by a rule and keeps it.
type pipe struct {
	src  *Source
	mux  *nethttp.ServeMux
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	events []event.Event
	keys   []string
}

// rule gives an event's outcome.
type rule = func(e *event.Event) (event.Outcome, error)

func committed(*event.Event) (event.Outcome, error) { return event.Committed, nil }

func start(t testing.TB, c Config, env sources.Env, settle rule) *pipe {
	t.Helper()
	p := &pipe{mux: nethttp.NewServeMux(), done: make(chan struct{})}
	if c.Path == "" {
		c.Path = "/events"
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	env.Mount = func(pattern string, h nethttp.Handler) (func(), error) {
		p.mux.Handle(pattern, h)
		return func() {}, nil
	}
	s, err := Open(t.Context(), c, env)
	if err != nil {
		t.Fatal(err)
	}
	p.src = s.(*Source)
	var ctx context.Context
	ctx, p.stop = context.WithCancel(t.Context())
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for m := range msgs {
			b := event.FromMessage(m)
			for i := range b.Events {
				p.settle(b, i, settle)
			}
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *pipe) settle(b *event.Batch, i int, settle rule) {
	if err := codec.Decode(&b.Events[i], event.Auto, 0); err != nil {
		b.Settle(i, event.Poisoned, err)
		return
	}
	p.mu.Lock()
	p.events = append(p.events, b.Events[i].Clone())
	p.keys = append(p.keys, b.Key(i))
	p.mu.Unlock()
	o, err := settle(&b.Events[i])
	b.Settle(i, o, err)
}

func (p *pipe) close() {
	p.stop()
	<-p.done
	_ = p.src.Close()
}

// taken gives what has come, by data, and forgets it.
func (p *pipe) taken() (data []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		data = append(data, string(e.Data))
	}
	p.events, p.keys = nil, nil
	return data
}

// post sends one request; header alternates names and values.
func (p *pipe) post(t testing.TB, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), nethttp.MethodPost, p.src.cfg.Path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return p.send(req)
}

func (p *pipe) send(req *nethttp.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	p.mux.ServeHTTP(rec, req)
	return rec
}

func outcomesOf(answer string) (out []string) {
	var a struct{ Outcomes []struct{ Outcome string } }
	_ = json.Unmarshal([]byte(answer), &a)
	for _, o := range a.Outcomes {
		out = append(out, o.Outcome)
	}
	return out
}

func codeOf(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var a struct {
		Code  string
		Error struct{ Code string }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return a.Error.Code + a.Code
}

func TestBodies(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, committed)
	const ce = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}`
	for _, tt := range []struct {
		name, kind, body string
		want             []string
	}{
		{"a value", "application/json", ` {"a":1} `, []string{`{"a":1}`}},
		{"no type is JSON", "", `{"a":1}`, []string{`{"a":1}`}},
		{"a charset", "application/json; charset=UTF-8", `"é"`, []string{`"é"`}},
		{"a vendor's JSON", "application/vnd.github+json", `7`, []string{`7`}},
		{"an array", "application/json", `[{"a":1}, 2 ,"x"]`, []string{`{"a":1}`, `2`, `"x"`}},
		{"an empty array", "application/json", `[]`, nil},
		{"EventBridge's shape", "application/json", `{"source":"s","detail-type":"T","detail":{"a":1}}`, []string{`{"a":1}`}},
		{"NDJSON", "application/x-ndjson", "{\"a\":1}\r\n\n [2] \n3", []string{`{"a":1}`, `[2]`, `3`}},
		{"a CloudEvent", "application/cloudevents+json", ce, []string{`{"a":1}`}},
		{"CloudEvents", "application/cloudevents-batch+json; charset=utf-8", `[` + ce + `,` + ce + `]`, []string{`{"a":1}`, `{"a":1}`}},
		{"no CloudEvents", "application/cloudevents-batch+json", `[]`, nil},
	} {
		rec := p.post(t, tt.body, "Content-Type", tt.kind)
		if rec.Code != 200 {
			t.Errorf("%s: %d %s", tt.name, rec.Code, rec.Body)
		}
		if diff := cmp.Diff(tt.want, p.taken()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestBinaryCloudEvents(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, committed)
	rec := p.post(t, `{"a":1}`, "Content-Type", "application/json; charset=utf-8", "ce-specversion", "1.0", "ce-id", "e-1", "ce-source", "/shop",
		"ce-type", "OrderCreated", "ce-subject", "caf%C3%A9 100%", "ce-time", "2026-01-02T03:04:05Z", "ce-tenant", "t1")
	if rec.Code != 200 || len(p.events) != 1 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	e := p.events[0]
	codec.FillMetadata(&e)
	got := []string{e.ID, e.Source, e.Type, e.Subject, e.Time.Format(time.RFC3339), string(e.Data), string(e.Metadata)}
	want := []string{"e-1", "/shop", "OrderCreated", "caf%C3%A9 100%", "2026-01-02T03:04:05Z", `{"a":1}`, `{"datacontenttype":"application/json","tenant":"t1"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.taken()
	head := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "s", "ce-type", "t"}
	for _, tt := range []struct {
		name, kind, body string
		more             []string
		status           int
		want             []string
	}{
		{"an encoded subject and text", "text/plain", `say "hi"`, []string{"ce-subject", "caf%C3%A9"}, 200, []string{`"say \"hi\""`}},
		{"no data", "application/json", ``, nil, 200, []string{``}},
		{"bytes", "application/octet-stream", "\x00", nil, 415, nil},
		{"no JSON", "application/json", `{`, nil, 400, nil},
		{"no id", "application/json", `{}`, []string{"ce-id", ""}, 400, nil},
		{"data as a header", "application/json", `{}`, []string{"ce-data", "1"}, 400, nil},
		{"another version", "application/json", `{}`, []string{"ce-specversion", "2.0"}, 400, nil},
	} {
		rec := p.post(t, tt.body, append(append([]string{"Content-Type", tt.kind}, head...), tt.more...)...)
		if diff := cmp.Diff(tt.want, p.taken()); diff != "" || rec.Code != tt.status {
			t.Errorf("%s: %d %s (-want +got):\n%s", tt.name, rec.Code, rec.Body, diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := start(t, Config{MaxBody: 100, MaxEvents: 3}, sources.Env{}, committed)
	for _, tt := range []struct {
		name, kind, body string
		status           int
		code, message    string
	}{
		{"empty", "application/json", " ", 400, "malformed", "empty"},
		{"cut short", "application/json", `{"a":`, 400, "malformed", "no valid JSON"},
		{"two values", "application/json", `{} {}`, 400, "malformed", "at byte 3"},
		{"an array with a fault", "application/json", `[1,2,]`, 400, "malformed", "no valid JSON"},
		{"a bad line", "application/x-ndjson", "1\n\n{\n3", 400, "malformed", "line 3"},
		{"invalid UTF-8", "application/json", "\"\xff\"", 400, "malformed", "no valid JSON"},
		{"no CloudEvent", "application/cloudevents+json", `{"id":"1"}`, 400, "malformed", "specversion"},
		{"a batch that is none", "application/cloudevents-batch+json", `{}`, 400, "malformed", "array"},
		{"a batch with another", "application/cloudevents-batch+json", `[{"specversion":"1.0","id":"1","source":"/s","type":"t"},{}]`, 400, "malformed", "event 1: "},
		{"too large", "application/json", `"` + strings.Repeat("x", 100) + `"`, 413, "too_large", "at most 100"},
		{"too many", "application/json", `[1,2,3,4]`, 413, "too_many_events", "at most 3"},
		{"too many lines", "application/x-ndjson", "1\n2\n3\n4", 413, "too_many_events", "at most 3"},
		{"a form, as curl sends by itself", "application/x-www-form-urlencoded", `{}`, 415, "unsupported_type", "application/json"},
		{"XML", "text/xml", `<a/>`, 415, "unsupported_type", "not text/xml"},
		{"Latin-1", "application/json; charset=iso-8859-1", `{}`, 415, "unsupported_type", "UTF-8"},
		{"no type at all", "/;", `{}`, 415, "unsupported_type", "Content-Type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := p.post(t, tt.body, "Content-Type", tt.kind)
			if rec.Code != tt.status || codeOf(t, rec) != tt.code || !strings.Contains(rec.Body.String(), tt.message) {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	if rec := p.post(t, `{}`, "Content-Encoding", "gzip"); rec.Code != 415 {
		t.Errorf("gzip: %d", rec.Code)
	}
	if rec := p.post(t, `{}`, "Idempotency-Key", strings.Repeat("k", 201)); rec.Code != 400 {
		t.Errorf("a long key: %d", rec.Code)
	}
	if rec := p.send(httptest.NewRequestWithContext(t.Context(), nethttp.MethodGet, "/events", nil)); rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow: %s", rec.Code, rec.Header().Get("Allow"))
	}
	if got := p.taken(); got != nil {
		t.Errorf("taken: %q", got)
	}
}

// endless is a body that never ends and fails the test when more is read than may be.
type endless struct {
	t    *testing.T
	left int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left -= len(b); e.left < 0 {
		e.t.Error("the body was read beyond its limit")
		return 0, errors.New("too much")
	}
	return copy(b, bytes.Repeat([]byte{'1'}, len(b))), nil
}

func TestLargeBodiesAreNotRead(t *testing.T) {
	p := start(t, Config{MaxBody: 64 << 10}, sources.Env{}, committed)
	for name, length := range map[string]int64{"announced": 100 << 20, "chunked": -1} {
		body := &endless{t: t}
		if length < 0 {
			body.left = 256 << 10
		}
		req := httptest.NewRequestWithContext(t.Context(), nethttp.MethodPost, "/events", body)
		req.ContentLength = length
		if rec := p.send(req); rec.Code != 413 || rec.Header().Get("Connection") != "close" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

func TestOutcomes(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, func(e *event.Event) (event.Outcome, error) {
		switch string(e.Data) {
		case `"parked"`:
			return event.Poisoned, event.PoisonAs(event.CodeExpression, errors.New("inner words"))
		case `"rejected"`:
			return event.Dropped, event.PoisonAs(event.CodeRejected, errors.New("/qty: must be a number"))
		case `"reused"`:
			return event.Poisoned, event.PoisonAs(event.CodeIDReused, errors.New("the id is another's"))
		case `"released"`:
			return event.Released, errors.New("stop")
		case `"duplicate"`:
			return event.Duplicate, nil
		case `"filtered"`:
			return event.Filtered, nil
		}
		return event.Committed, nil
	})
	for _, tt := range []struct {
		body   string
		status int
		want   string
	}{
		{`"x"`, 200, `{"outcome":"committed"}`},
		{`"filtered"`, 200, `{"outcome":"filtered"}`},
		{`"duplicate"`, 200, `{"outcome":"duplicate"}`},
		{`"parked"`, 202, `{"outcome":"poisoned","code":"expression"}`},
		{`"rejected"`, 422, `{"outcome":"dropped","code":"rejected","reason":"/qty: must be a number"}`},
		{`"reused"`, 409, `{"outcome":"poisoned","code":"id_reused","reason":"the id is another's"}`},
		{`{"detail-type":"T"}`, 400, `{"outcome":"poisoned","code":"malformed","reason":"codec: an EventBridge event needs \"detail\""}`},
		{`"released"`, 503, `{"outcome":"released"}`},
		{`[]`, 200, `{"outcomes":[]}`},
		{`["x"]`, 200, `{"outcomes":[{"outcome":"committed"}]}`},
		{`["x","parked"]`, 202, `{"outcomes":[{"outcome":"committed"},{"outcome":"poisoned","code":"expression"}]}`},
		{`["rejected","parked","x"]`, 422, `{"outcomes":[{"outcome":"dropped","code":"rejected","reason":"/qty: must be a number"},{"outcome":"poisoned","code":"expression"},{"outcome":"committed"}]}`},
		{`["rejected","released"]`, 503, `{"outcomes":[{"outcome":"dropped","code":"rejected","reason":"/qty: must be a number"},{"outcome":"released"}]}`},
	} {
		rec := p.post(t, tt.body)
		if diff := cmp.Diff(tt.want+"\n", rec.Body.String()); diff != "" || rec.Code != tt.status {
			t.Errorf("%s: %d (-want +got):\n%s", tt.body, rec.Code, diff)
		}
		if after := rec.Header().Get("Retry-After"); (after != "") != (tt.status == 503) {
			t.Errorf("%s: Retry-After %q", tt.body, after)
		}
	}
}

func TestKeysOfRepeats(t *testing.T) {
	p := start(t, Config{IDHeader: "X-Delivery"}, sources.Env{MaxEvents: 2}, committed)
	for _, tt := range []struct {
		body string
		key  string
		want []string
	}{
		{`1`, "k", []string{"k"}},
		{`1`, "", []string{""}},
		{`[1,2,3]`, "k", []string{"k/0", "k/1", "k/2"}},
		{`[1]`, "k", []string{"k/0"}},
	} {
		p.post(t, tt.body, "X-Delivery", tt.key)
		p.mu.Lock()
		got := p.keys
		p.mu.Unlock()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.body, diff)
		}
		p.taken()
	}
}

func TestHeadersBecomeMetadata(t *testing.T) {
	p := start(t, Config{Headers: []string{"X-GitHub-Event"}}, sources.Env{}, committed)
	p.post(t, `[1,2]`, "X-GitHub-Event", "push \"\xff\"", "Traceparent", "00-1-2-01", "Authorization", "Bearer secret", "X-Other", "no")
	for _, e := range p.events {
		if diff := cmp.Diff("{\"traceparent\":\"00-1-2-01\",\"x-github-event\":\"push \\\"\uFFFD\\\"\"}", string(e.Metadata)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if len(p.events) != 2 {
		t.Errorf("%d events", len(p.events))
	}
}

func TestAPIKeys(t *testing.T) {
	c := Config{Keys: []config.Secret{config.NewSecret("first-key"), config.NewSecret("second-key")}}
	p := start(t, c, sources.Env{}, committed)
	c.KeyHeader = "Authorization"
	bearer := start(t, c, sources.Env{}, committed)
	for _, tt := range []struct {
		p      *pipe
		header []string
		status int
		code   string
	}{
		{p, []string{"X-API-Key", "first-key"}, 200, ""},
		{p, []string{"x-api-key", "second-key"}, 200, ""},
		{p, nil, 401, "key_missing"},
		{p, []string{"X-API-Key", "first-ke"}, 403, "key_wrong"},
		{p, []string{"X-API-Key", "first-keyy"}, 403, "key_wrong"},
		{p, []string{"Authorization", "Bearer first-key"}, 401, "key_missing"},
		{bearer, []string{"Authorization", "bearer first-key"}, 200, ""},
		{bearer, []string{"Authorization", "Basic first-key"}, 401, "key_missing"},
		{bearer, []string{"Authorization", "first-key"}, 401, "key_missing"},
		{bearer, []string{"Authorization", "Bearer other-key"}, 403, "key_wrong"},
	} {
		rec := tt.p.post(t, `{}`, tt.header...)
		if rec.Code != tt.status || codeOf(t, rec) != tt.code {
			t.Errorf("%q: %d %s", tt.header, rec.Code, rec.Body)
		}
		if strings.Contains(rec.Body.String(), "first-key") {
			t.Errorf("%q: the answer shows a key: %s", tt.header, rec.Body)
		}
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(1000, 0)
	p := start(t, Config{Rate: &Rate{Requests: 0.5, Burst: 2}}, sources.Env{Now: func() time.Time { return now }}, committed)
	for i, want := range []int{200, 200, 429, 429} {
		rec := p.post(t, `{}`)
		if rec.Code != want {
			t.Errorf("request %d: %d", i, rec.Code)
		}
		if after := rec.Header().Get("Retry-After"); want == 429 && after != "2" {
			t.Errorf("request %d: Retry-After %q", i, after)
		}
	}
	now = now.Add(2 * time.Second)
	for i, want := range []int{200, 429} {
		if rec := p.post(t, `{}`); rec.Code != want {
			t.Errorf("2 s later, request %d: %d", i, rec.Code)
		}
	}
}

func TestTheAnswerWaitsForThePipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settle := make(chan event.Outcome)
		p := start(t, Config{}, sources.Env{MaxEvents: 1}, func(*event.Event) (event.Outcome, error) { return <-settle, nil })
		answers := make(chan int)
		post := func() { answers <- p.post(t, `{}`).Code }
		go post()
		synctest.Wait()
		select {
		case <-answers:
			t.Fatal("answered before the event was settled")
		default:
		}
		settle <- event.Committed
		if got := <-answers; got != 200 {
			t.Errorf("settled: %d", got)
		}

		// The pipeline holds one event, its source one batch and one more that waits to follow; a fourth finds no room.
		begin := time.Now()
		for range 4 {
			go post()
			synctest.Wait()
		}
		if got := <-answers; got != 503 || time.Since(begin) != 5*time.Second {
			t.Errorf("a full pipeline: %d after %s", got, time.Since(begin))
		}
		for range 3 {
			if got := <-answers; got != 503 || time.Since(begin) != 30*time.Second {
				t.Errorf("a stuck pipeline: %d after %s", got, time.Since(begin))
			}
		}
		for range 3 {
			settle <- event.Committed
		}
	})
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settle := make(chan event.Outcome)
		p := start(t, Config{MaxInFlight: 2, Wait: time.Second}, sources.Env{}, func(*event.Event) (event.Outcome, error) { return <-settle, nil })
		answers := make(chan int)
		for range 4 {
			go func() { answers <- p.post(t, `{}`).Code }()
			synctest.Wait()
		}
		settle <- event.Committed // its place goes to the third
		if got := <-answers; got != 200 {
			t.Errorf("first: %d", got)
		}
		if got := <-answers; got != 503 {
			t.Errorf("the fourth, after its wait: %d", got)
		}
		settle <- event.Committed
		settle <- event.Committed
		for range 2 {
			if got := <-answers; got != 200 {
				t.Errorf("second and third: %d", got)
			}
		}
	})
}

func TestRoomIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10, 100)
		r.take(t.Context(), 60, 0)
		var order []string
		var mu sync.Mutex
		enter := func(name string, bytes int64, patience time.Duration) {
			ok := r.take(t.Context(), bytes, patience)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(name, " ", ok))
		}
		go enter("large", 80, time.Second)
		synctest.Wait()
		go enter("small", 10, time.Hour) // would fit, but came later
		synctest.Wait()
		mu.Lock()
		if len(order) > 0 {
			t.Errorf("overtaken: %q", order)
		}
		mu.Unlock()
		<-time.After(2 * time.Second) // the large one gives up
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{"large false", "small true"}, order); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		r.give(60)
		r.give(10)
		if r.requests != 10 || r.bytes != 100 || len(r.waiting) > 0 {
			t.Errorf("left over: %d requests, %d bytes", r.requests, r.bytes)
		}
	})
}

func TestAStoppedSourceAsksToComeAgain(t *testing.T) {
	p := start(t, Config{}, sources.Env{}, committed)
	p.stop()
	<-p.done
	<-p.src.stopped
	rec := p.post(t, `{}`)
	if rec.Code != 503 || codeOf(t, rec) != "stopping" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestValidate(t *testing.T) {
	secret := []config.Secret{config.NewSecret("long enough")}
	for _, tt := range []struct {
		c     Config
		field string // "": good
	}{
		{Config{Path: "/orders"}, ""},
		{Config{Path: "/a/b/"}, ""},
		{Config{Path: "orders"}, "path"},
		{Config{Path: "/a/{id}"}, "path"},
		{Config{Path: "/api/x"}, "path"},
		{Config{Path: "/metrics"}, "path"},
		{Config{Path: "/apis"}, ""},
		{Config{Path: "/o", Keys: []config.Secret{config.NewSecret("")}}, "keys"},
		{Config{Path: "/o", KeyHeader: "a b"}, "key_header"},
		{Config{Path: "/o", Headers: []string{"Cookie"}}, "headers"},
		{Config{Path: "/o", Headers: []string{"x-api-key"}}, "headers"},
		{Config{Path: "/o", MaxBody: 100, MaxHeld: 50}, "max_held"},
		{Config{Path: "/o", Keys: secret, HMAC: &HMAC{Header: "X-Api-Key", Secret: secret}}, "key_header"},
	} {
		err := tt.c.Validate()
		var fe *config.FieldError
		if errors.As(err, &fe); (err == nil) != (tt.field == "") || (fe != nil && fe.Field != tt.field) {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
	for _, tt := range []struct {
		h     HMAC
		field string
	}{
		{HMAC{Header: "X-S", Secret: secret}, ""},
		{HMAC{Header: "X-S", Secret: secret, TimestampHeader: "X-T", Signed: "v0:{timestamp}:{body}"}, ""},
		{HMAC{Header: "X-S"}, "secret"},
		{HMAC{Header: "X-S", Secret: []config.Secret{config.NewSecret("short")}}, "secret"},
		{HMAC{Header: "X-S", Secret: []config.Secret{config.NewSecret("whsec_!")}}, "secret"},
		{HMAC{Header: "X S", Secret: secret}, "header"},
		{HMAC{Header: "X-S", Secret: secret, Signed: "{id}"}, "signed"},
		{HMAC{Header: "X-S", Secret: secret, TimestampHeader: "X-T", Signed: "{body}"}, "signed"},
		{HMAC{Header: "X-S", Secret: secret, Signed: "{timestamp}{body}"}, "signed"},
	} {
		err := tt.h.Validate()
		var fe *config.FieldError
		if errors.As(err, &fe); (err == nil) != (tt.field == "") || (fe != nil && fe.Field != tt.field) {
			t.Errorf("%+v: %v", tt.h, err)
		}
	}
}
