package admin_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/table"
)

func (r *running) write(t *testing.T, stream, typ string) {
	t.Helper()
	s, err := event.ParseStream(stream)
	if err != nil {
		t.Fatal(err)
	}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: s, Events: []event.Event{{ID: event.NewID(), Type: typ}}}}}
	if err := r.store.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
}

// sent reads server-sent events: id and type of the data, "ID -" for an id without data.
func (r *running) sent(t *testing.T, query string, header ...string) (next func() string, stop func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/stores/main/subscribe"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // stop closes it
	if err != nil {
		t.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, kind)
	}
	in := bufio.NewReader(res.Body)
	return func() string {
		id, data := "", "-"
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return "end"
			}
			line = strings.TrimSuffix(line, "\n")
			name, value, _ := strings.Cut(line, ": ")
			switch {
			case line == "" && id != "":
				return id + " " + data
			case name == "id":
				id = value
			case name == "data":
				var e wire.Event
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					t.Fatal(err)
				}
				data = e.Type
			}
		}
	}, func() { _ = res.Body.Close() }
}

func TestServerSentEvents(t *testing.T) {
	r := run(t)
	for i := range 3 {
		r.write(t, "a/1", fmt.Sprint("A", i+1))
	}
	next, stop := r.sent(t, "")
	for _, want := range []string{"1 A1", "2 A2", "3 A3"} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r.write(t, "b/1", "B")
	if got := next(); got != "4 B" {
		t.Errorf("live: %q", got)
	}
	stop()

	// A browser comes again with the last id it saw; that counts before what the address says.
	next, stop = r.sent(t, "?after=0", "Last-Event-ID", "2")
	if got := next(); got != "3 A3" {
		t.Errorf("behind 2: %q", got)
	}
	stop()
	// Events that the filter leaves out move the place all the same.
	next, stop = r.sent(t, "?type=A2")
	if got, then := next(), next(); got != "2 A2" || then != "4 -" {
		t.Errorf("filtered: %q, %q", got, then)
	}
	stop()
	next, stop = r.sent(t, "?after=now")
	r.write(t, "c/1", "C")
	if got := next(); got != "5 C" {
		t.Errorf("from now on: %q", got)
	}
	stop()
	for _, q := range []string{"?after=-1", "?after=soon", "?max_events=-1", "?max_events=99999999", "?form=x", "?typ=x", "?after"} {
		if got := r.do(t, "GET", "/api/v1/stores/main/subscribe"+q, ""); got.status != 400 || got.header.Get("Content-Type") != wire.ProblemType {
			t.Errorf("%s: %d %s", q, got.status, got.body)
		}
	}
}

// The end of the listener ends subscriptions at once, and does not wait for their readers.
func TestSubscriptionsEndWithTheListener(t *testing.T) {
	r := run(t)
	next, stop := r.sent(t, "")
	defer stop()
	r.End()
	if got := next(); got != "end" {
		t.Errorf("after the end: %q", got)
	}
	if got := r.do(t, "GET", "/api/v1/stores/main/poll?wait=50s", ""); got.status != 200 {
		t.Errorf("poll: %d %s", got.status, got.body)
	}
}

func TestPoll(t *testing.T) {
	r := run(t)
	poll := func(q string) (wire.Page, int) {
		a := r.do(t, "GET", "/api/v1/stores/main/poll"+q, "")
		var p wire.Page
		if a.status == 200 {
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatal(err)
			}
		}
		return p, a.status
	}
	if p, _ := poll("?wait=0s"); len(p.Events) != 0 || p.Through != 0 {
		t.Errorf("an empty log: %+v", p)
	}
	r.write(t, "a/1", "A")
	r.write(t, "b/1", "B")
	if p, _ := poll("?after=0&max_events=1"); len(p.Events) != 1 || p.Through != 1 || p.Head != 2 {
		t.Errorf("the first: %+v", p)
	}
	if p, _ := poll("?after=1&type=none&wait=0s"); len(p.Events) != 0 || p.Through != 2 {
		t.Errorf("nothing of that type: %+v", p)
	}
	done := make(chan wire.Page)
	go func() { p, _ := poll("?after=2&wait=50s"); done <- p }()
	r.write(t, "c/1", "C")
	if p := <-done; len(p.Events) != 1 || p.Through != 3 {
		t.Errorf("what came: %+v", p)
	}
	for _, q := range []string{"?wait=x", "?wait=-1s", "?after=x"} {
		if _, status := poll(q); status != 400 {
			t.Errorf("%s: %d", q, status)
		}
	}
}

func TestCapabilities(t *testing.T) {
	s := guarded(t, nil)
	srv := httptest.NewServer(s)
	defer srv.Close()
	r := &running{url: srv.URL}
	var c admin.Capabilities
	if err := json.Unmarshal([]byte(r.do(t, "GET", "/capabilities", "", "x-api-key", writeKey).body), &c); err != nil {
		t.Fatal(err)
	}
	if c.Scope != "write" || c.Limits.Body != 1<<10 || c.Limits.Event != 1<<10 || c.Version != "test" || c.Default != "main" {
		t.Errorf("%+v", c)
	}
}

func TestAtomicAppend(t *testing.T) {
	r := run(t)
	const path = "/api/v1/stores/main/append"
	a := r.do(t, "POST", path, `{"appends":[{"stream":"order/1","expect":"no_stream","events":[{"id":"1","type":"A"},{"type":"B"}]},{"stream":"stock/x/y","events":[{"type":"C","data":{"n":1}}]}]}`)
	if want := `{"appended":[{"stream":"order/1","first":1,"last":2,"position":2},{"stream":"stock/x/y","first":1,"last":1,"position":3}]}`; a.status != 200 || strings.TrimSpace(a.body) != want {
		t.Errorf("%d %s", a.status, a.body)
	}
	var p wire.Problem
	a = r.do(t, "POST", path, `{"appends":[{"stream":"stock/x","events":[{"type":"C"}]},{"stream":"order/1","expect":"1","events":[{"type":"B"}]}]}`)
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	two := int64(2)
	want := wire.Problem{Type: "urn:leat:problem:conflict", Title: "Conflict", Status: 409, Code: "conflict", Detail: p.Detail, Stream: "order/1", Expected: "1", Actual: &two}
	if diff := cmp.Diff(want, p); diff != "" || a.status != 409 {
		t.Errorf("%d (-want +got):\n%s", a.status, diff)
	}
	for _, body := range []string{``, `[]`, `{}`, `{"appends":[]}`, `{"appends":[{"stream":"x","events":[{"type":"A"}]}]}`, `{"appends":[{"stream":"a/b","events":[]}]}`, `{"appends":[{"stream":"a/b","events":[{}]}]}`,
		`{"appends":[{"stream":"a/b","expect":"-1","events":[{"type":"A"}]}]}`, `{"appends":[{"stream":"a/b","events":[{"type":"A","time":"noon"}]}]}`, `{"appends":[{"stream":"a/b","events":[{"type":"A"}]}]}{}`, "\xff"} {
		if a := r.do(t, "POST", path, body); a.status != 400 || a.header.Get("Content-Type") != wire.ProblemType {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if h, err := r.store.Head(t.Context()); err != nil || h.Position != 3 {
		t.Errorf("a refused append wrote: %+v, %v", h, err)
	}
	// A pipeline's own state wants the scope admin.
	s := guarded(t, nil)
	srv := httptest.NewServer(s)
	defer srv.Close()
	g := &running{url: srv.URL}
	for body, status := range map[string]int{
		`{"units":[{"appends":[{"type":"a","id":"b","events":[{"id":"1","type":"A"}]}]}]}`:              200,
		`{"units":[{"appends":[{"type":"a","id":"b","origin":"p","events":[{"id":"1","type":"A"}]}]}]}`: 403,
		`{"units":[{"pipeline":"p","inbox":{"key":"k"}}]}`:                                              403,
		`{"units":[{"pipeline":"p","inbox":{"key":"k","hash":"x"}}]}`:                                   403,
		`{"units":[7]}`: 400,
		`{"units":[{"appends":[{"type":"a","id":"b","events":[{"id":"1","type":"A","raw":"eA==","data_at":1,"data_size":9223372036854775807}]}]}]}`: 400,
		`{"units":[{"appends":[{"type":"a","id":"b","events":[{"id":"1","type":"A","envelope":"none"}]}]}]}`:                                        400,
	} {
		if a := g.do(t, "POST", "/api/v1/stores/main/commit", body, "x-api-key", writeKey); a.status != status {
			t.Errorf("%s: %d %s, want %d", body, a.status, a.body, status)
		}
	}
}

func TestTablePages(t *testing.T) {
	r := run(t)
	def := &table.Def{Name: "items", Key: []string{"id"}, Version: 1, Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "kind", Type: table.Text}}}
	h, err := r.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Tables().Ensure(t.Context(), def, "d", "p/items", h.LogID); err != nil {
		t.Fatal(err)
	}
	w := &table.Write{Def: def}
	for i := range 25 {
		w.Put = append(w.Put, table.Row{fmt.Sprintf("i%02d", i), []string{"even", "odd ü&"}[i%2]})
	}
	if err := r.store.Tables().Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	next, got := "/tables/items?limit=5&order=-id&where="+url.QueryEscape("kind=odd ü&"), []string{}
	for next != "" {
		a := r.do(t, "GET", next, "")
		var page admin.Rows
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
		for _, row := range page.Rows {
			got = append(got, string(row))
		}
		if next = page.Next; (next != "") != page.HasMore {
			t.Errorf("%+v", page)
		}
	}
	if len(got) != 12 || got[0] != `{"id":"i23","kind":"odd ü&"}` || got[11] != `{"id":"i01","kind":"odd ü&"}` {
		t.Errorf("%d rows: %v", len(got), got)
	}
	for path, status := range map[string]int{
		"/tables/items": 200, "/tables/none": 404, "/tables/items?store=none": 404, "/tables/items?where=nope=1": 400, "/tables/items?where=kind": 400, "/tables/items?order=nope": 400,
		"/tables/items?limit=0": 400, "/tables/items?limit=1001": 400, "/tables/items?skip=-1": 400, "/tables/items?kind=odd": 400, "/tables/items?limit=99999999999999999999": 400, "/tables/items?where=%zz": 400,
	} {
		if a := r.do(t, "GET", path, ""); a.status != status {
			t.Errorf("%s: %d, want %d: %s", path, a.status, status, a.body)
		}
	}
}

// stuck is a connection on which the time is over for what net/http holds back.
type stuck struct {
	*httptest.ResponseRecorder
	deadlines int
}

func (s *stuck) SetReadDeadline(time.Time) error  { return nil }
func (s *stuck) SetWriteDeadline(time.Time) error { s.deadlines++; return nil }
func (s *stuck) FlushError() error                { return os.ErrDeadlineExceeded }

// What net/http holds back has time of its own, and a reader that does not take it is seen to be cut off.
func TestSlowReaderOfTheRest(t *testing.T) {
	defer admin.StallAfter(time.Hour)()
	s := &stuck{ResponseRecorder: httptest.NewRecorder()}
	if err := admin.WriteLine(s, []byte("{}\n")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	select {
	case <-admin.Stalled:
	default:
		t.Error("nobody is told that the reader was cut off")
	}
	if s.Body.String() != "{}\n" || s.deadlines != 2 {
		t.Errorf("%d deadlines for %q, want one for the line and one for the rest", s.deadlines, s.Body)
	}
}

// A reader that stops reading is cut off, and costs no more than what is in hand.
func TestSlowReaders(t *testing.T) {
	r := run(t)
	var events []event.Event
	for i := range 200 {
		events = append(events, event.Event{ID: fmt.Sprint(i), Type: "T", Data: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "a", ID: "b"}, Events: events}}}
	if err := r.store.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	defer admin.StallAfter(50 * time.Millisecond)()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/stores/main/subscribe", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	<-admin.Stalled // the server has given up writing
	in := bufio.NewReader(res.Body)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
}
