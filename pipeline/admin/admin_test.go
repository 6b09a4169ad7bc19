package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// running is a listener with a daemon that has one memory store, "main".
type running struct {
	*admin.Server
	store   eventstore.Store
	url     string
	client  *client.Client
	ready   error
	retried []string
}

func run(t *testing.T) *running {
	t.Helper()
	return runOn(t, memory.Open(memory.Options{}))
}

// runOn serves a store, and closes it in the end.
func runOn(t *testing.T, st eventstore.Store) *running {
	t.Helper()
	r := &running{
		Server: admin.New(admin.Options{Metrics: telemetry.NewMetrics("test").Handler(), Version: "test"}),
		store:  st,
	}
	r.Attach(&admin.Daemon{
		Ready:  func() error { return r.ready },
		Status: func() any { return map[string]string{"state": "running"} },
		Store: func(name string) (eventstore.Store, bool) {
			return r.store, name == "main"
		},
		Retry: func(_ context.Context, pipeline string) { r.retried = append(r.retried, pipeline) },
	})
	srv := httptest.NewServer(r)
	t.Cleanup(func() { srv.Close(); _ = r.store.Close() })
	r.url = srv.URL
	var err error
	if r.client, err = client.Connect(srv.URL, "main"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.client.Close() })
	return r
}

func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

var lenient = cmp.Options{
	cmpopts.IgnoreUnexported(event.Event{}), cmpopts.IgnoreFields(event.Event{}, "Raw", "Envelope", "Changed"),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) }), // nil is empty
}

func TestClientSeesWhatTheStoreHas(t *testing.T) {
	ctx := t.Context()
	r := run(t)
	stream := event.Stream{Type: "order", ID: "a/b ü?&#"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	got, err := r.client.Append(ctx, stream, wire.Append{Expect: "no_stream", Events: []wire.Event{
		{ID: "e1", Type: "Created", Time: at, Data: json.RawMessage(`{"n":1.50,"t":"<&>"}`), Metadata: json.RawMessage(`{"k":"v"}`), Source: "s", Subject: "x"},
		{Type: "Paid"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (wire.Appended{Stream: stream.String(), First: 1, Last: 2, Position: 2}); got != want {
		t.Errorf("Append = %+v, want %+v", got, want)
	}
	if _, err := r.client.Append(ctx, event.Stream{Type: "user", ID: "1"}, wire.Append{Events: []wire.Event{{Type: "Seen"}}}); err != nil {
		t.Fatal(err)
	}

	type reader interface {
		ReadStream(context.Context, event.Stream, eventstore.ReadOptions) iter.Seq2[*event.Recorded, error]
		ReadAll(context.Context, eventstore.ReadOptions) iter.Seq2[*event.Recorded, error]
	}
	for name, read := range map[string]func(reader) iter.Seq2[*event.Recorded, error]{
		"stream": func(l reader) iter.Seq2[*event.Recorded, error] {
			return l.ReadStream(ctx, stream, eventstore.ReadOptions{})
		},
		"all": func(l reader) iter.Seq2[*event.Recorded, error] {
			return l.ReadAll(ctx, eventstore.ReadOptions{Backwards: true, Max: 2, SinceTime: at, Filter: eventstore.Filter{Types: []string{"Paid", "Created"}}})
		},
		"nothing": func(l reader) iter.Seq2[*event.Recorded, error] {
			return l.ReadStream(ctx, event.Stream{Type: "no", ID: "where"}, eventstore.ReadOptions{})
		},
	} {
		want := collect(t, read(r.store))
		if diff := cmp.Diff(want, collect(t, read(r.client)), lenient); diff != "" {
			t.Errorf("%s (-store +client):\n%s", name, diff)
		}
	}
	o := eventstore.StreamsOptions{Type: "order", Prefix: "a/"}
	if diff := cmp.Diff(collect(t, r.store.Streams(ctx, o)), collect(t, r.client.Streams(ctx, o)), lenient); diff != "" {
		t.Errorf("streams (-store +client):\n%s", diff)
	}
	h, err := r.client.Head(ctx)
	if err != nil || h.Position != 3 || h.LogID == "" {
		t.Errorf("Head = %+v, %v", h, err)
	}
	v, err := r.client.Verify(ctx, func(f eventstore.Fault) { t.Errorf("fault %+v", f) })
	if err != nil || v != (eventstore.Verified{Events: 3, Streams: 2}) {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	status, err := r.client.Status(ctx)
	if err != nil || string(status) != `{"state":"running"}` {
		t.Errorf("Status = %s, %v", status, err)
	}
}

func TestAppendRefused(t *testing.T) {
	r := run(t)
	stream := event.Stream{Type: "order", ID: "1"}
	write := func(a wire.Append) error {
		_, err := r.client.Append(t.Context(), stream, a)
		return err
	}
	first := wire.Event{ID: "e1", Type: "Created", Data: json.RawMessage("1")}
	if err := write(wire.Append{Events: []wire.Event{first}}); err != nil {
		t.Fatal(err)
	}
	reused := first
	reused.Data = json.RawMessage("2")
	for _, tt := range []struct {
		name   string
		append wire.Append
		is     error
		words  string
	}{
		{"conflict", wire.Append{Expect: "7", Events: []wire.Event{{Type: "Paid"}}}, nil, "order/1 is at revision 1, expected 7"},
		{"expectation", wire.Append{Expect: "soon", Events: []wire.Event{first}}, nil, `not "soon"`},
		{"reused", wire.Append{Events: []wire.Event{reused}}, eventstore.ErrIDReused, "used before"},
		{"empty", wire.Append{}, nil, "no events"},
		{"no type", wire.Append{Events: []wire.Event{{}}}, nil, "event 1 has no type"},
		{"another stream", wire.Append{Events: []wire.Event{{Type: "A", Stream: "x/y"}}}, nil, "is of stream x/y"},
		{"metadata", wire.Append{Events: []wire.Event{{Type: "A", Metadata: json.RawMessage("[]")}}}, nil, "metadata is no object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := write(tt.append)
			if err == nil || !strings.Contains(err.Error(), tt.words) || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Errorf("error %v, want one with %q that is %v", err, tt.words, tt.is)
			}
		})
	}
	if h, err := r.client.Head(t.Context()); err != nil || h.Position != 1 {
		t.Errorf("a refused append wrote: %+v, %v", h, err)
	}
}

func TestTables(t *testing.T) {
	ctx := t.Context()
	r := run(t)
	def := &table.Def{
		Name: "orders", Key: []string{"id"}, Version: 1,
		Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "total", Type: table.Any}, {Name: "more", Type: table.JSON}},
	}
	h, err := r.store.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tables := r.store.Tables()
	if _, err := tables.Ensure(ctx, def, "d1", "p/orders", h.LogID); err != nil {
		t.Fatal(err)
	}
	total, err := table.FromFloat(12.5)
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.Apply(ctx, &table.Write{Def: def, Put: []table.Row{
		{"o-1", total, json.RawMessage(`{"a":1}`)}, {"o-2", nil, nil}, {"o-3", true, nil}, {"o-4", "text", nil},
	}}); err != nil {
		t.Fatal(err)
	}
	infos, err := r.client.ListTables(ctx)
	if err != nil || len(infos) != 1 || infos[0].Def.Name != "orders" || len(infos[0].Def.Columns) != 3 || infos[0].Relay != "p/orders" {
		t.Errorf("ListTables = %+v, %v", infos, err)
	}
	for _, q := range []table.Query{
		{Table: "orders"}, {Table: "orders", Order: []string{"-id"}, Limit: 2, Skip: 1}, {Table: "orders", Equal: map[string]string{"id": "o-1"}},
	} {
		var got, want []string
		for out, query := range map[*[]string]func(context.Context, table.Query) (table.Def, iter.Seq2[table.Row, error], error){
			&want: tables.Query, &got: r.client.QueryTable,
		} {
			d, found, err := query(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range collect(t, found) {
				*out = append(*out, string(table.AppendRowJSON(nil, &d, row)))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
			t.Errorf("%+v (-store +client):\n%s", q, diff)
		}
	}
	for _, q := range []table.Query{{Table: "nope"}, {Table: "orders", Equal: map[string]string{"nope": "1"}}} {
		if _, _, err := r.client.QueryTable(ctx, q); err == nil || !strings.Contains(err.Error(), "nope") || !strings.Contains(err.Error(), "there are") {
			t.Errorf("%+v: error %v does not name what there is", q, err)
		}
	}
}

func TestPoison(t *testing.T) {
	ctx := t.Context()
	r := run(t)
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	payloads := []string{`{"a":1}`, "{\n \"a\": 1.0 }", "not json", "\xff\x00", ""}
	for i, p := range payloads {
		if err := r.store.Park(ctx, poison.Entry{
			Pipeline: "orders", Step: "append", Key: fmt.Sprint(i), State: poison.Parked, Code: event.CodeMalformed, Reason: "why: because",
			First: at, Last: at.Add(time.Duration(i) * time.Hour), Payload: []byte(p), Envelope: event.EventBridge,
			Metadata: []byte(`{"x":"y"}`), Stream: event.Stream{Type: "order", ID: "1"}, Position: 3, Attempts: 2,
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := collect(t, r.store.ListParked(ctx, poison.Filter{}))
	got := collect(t, r.client.ListParked(ctx, poison.Filter{}))
	if diff := cmp.Diff(want, got, lenient); diff != "" {
		t.Errorf("parked (-store +client):\n%s", diff)
	}
	for i := range got {
		if string(got[i].Payload) != payloads[i] {
			t.Errorf("payload %q came as %q", payloads[i], got[i].Payload)
		}
	}
	one := poison.Filter{IDs: []int64{want[0].ID}}
	if got := collect(t, r.client.ListParked(ctx, poison.Filter{Pipeline: "orders", Code: "malformed", Since: at, Max: 2, States: []poison.State{poison.Parked}})); len(got) != 2 {
		t.Errorf("%d selected, want 2", len(got))
	}
	if err := r.client.EditParked(ctx, want[0].ID, []byte("  mended ")); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, r.client.ListParked(ctx, one)); string(got[0].Payload) != "  mended " || !got[0].Edited {
		t.Errorf("after the edit: %+v", got[0])
	}
	if err := r.client.EditParked(ctx, 999, nil); !errors.Is(err, poison.ErrNotFound) {
		t.Errorf("editing what is not there: %v", err)
	}
	if n, err := r.client.RetryParked(ctx, one); err != nil || n != 1 {
		t.Errorf("RetryParked = %d, %v", n, err)
	}
	if diff := cmp.Diff([]string{"orders"}, r.retried); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	if n, err := r.client.DropParked(ctx, one); err != nil || n != 1 {
		t.Errorf("DropParked = %d, %v", n, err)
	}
	if diff := cmp.Diff([]string{"orders", ""}, r.retried); diff != "" {
		t.Errorf("woken by the drop (-want +got):\n%s", diff)
	}
	if n, oldest, err := r.client.CountParked(ctx, poison.Filter{}); err != nil || n != int64(len(payloads)-1) || !oldest.Equal(at) {
		t.Errorf("CountParked = %d, %v, %v", n, oldest, err)
	}
	// A selection of nothing is a mistake, not everything.
	res, err := http.Post(r.url+"/api/v1/stores/main/poison/drop", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, _, err := r.client.CountParked(ctx, poison.Filter{}); res.StatusCode != 400 || err != nil || n == 0 {
		t.Errorf("an empty selection: status %d, %d left, %v", res.StatusCode, n, err)
	}
}

func TestStatuses(t *testing.T) {
	r := run(t)
	big := strings.NewReader(`{"events":[{"type":"` + strings.Repeat("x", 9<<20) + `"}]}`)
	for _, tt := range []struct {
		method, path string
		body         io.Reader
		header       [2]string
		status       int
		words        string
	}{
		{method: "GET", path: "/healthz", status: 200, words: "ok"},
		{method: "GET", path: "/readyz", status: 200, words: "ok"},
		{method: "GET", path: "/metrics", status: 200, words: "leat_build_info"},
		{method: "GET", path: "/debug/pprof/cmdline", status: 200},
		{method: "GET", path: "/api/v1/version", status: 200, words: `"test"`},
		{method: "GET", path: "/nothing", status: 404},
		{method: "DELETE", path: "/api/v1/status", status: 405},
		{method: "GET", path: "/api/v1/stores/other/streams", status: 404, words: `no store is called \"other\"`},
		{method: "GET", path: "/api/v1/stores/main/streams?typ=x", status: 400, words: "query.typ"},
		{method: "GET", path: "/api/v1/stores/main/events?from=-1", status: 400, words: "from"},
		{method: "GET", path: "/api/v1/stores/main/events?stream=x", status: 400, words: "type/id"},
		{method: "GET", path: "/api/v1/stores/main/events?since=today", status: 400, words: "since"},
		{method: "GET", path: "/api/v1/stores/main/events?backwards=maybe", status: 400, words: "backwards"},
		{method: "GET", path: "/api/v1/stores/main/poison?state=lost", status: 400, words: "lost"},
		{method: "GET", path: "/api/v1/stores/main/tables/nope", status: 404, words: "nope"},
		{method: "POST", path: "/api/v1/stores/main/events", body: strings.NewReader("{}"), status: 400, words: "stream is missing"},
		{method: "POST", path: "/api/v1/stores/main/events?stream=a/b", body: strings.NewReader("{"), status: 400, words: "the body"},
		{method: "POST", path: "/api/v1/stores/main/events?stream=a/b", body: strings.NewReader(`{"evnts":[]}`), status: 400, words: "evnts"},
		{method: "POST", path: "/api/v1/stores/main/events?stream=a/b", body: big, status: 413, words: "8388608 bytes"},
		{method: "POST", path: "/api/v1/stores/main/poison/drop", body: strings.NewReader(`{"all":true}`), header: [2]string{"Origin", "https://evil.example"}, status: 403},
		{method: "POST", path: "/api/v1/stores/main/poison/drop", body: strings.NewReader(`{"all":true}`), header: [2]string{"Sec-Fetch-Site", "cross-site"}, status: 403},
		{method: "GET", path: "/api/v1/status", header: [2]string{"Host", "evil.example"}, status: 421, words: "evil.example"},
		{method: "GET", path: "/metrics", header: [2]string{"Host", "127.0.0.1.evil.example:8087"}, status: 421},
		{method: "GET", path: "/healthz", header: [2]string{"Host", "[::1]:8087"}, status: 200},
		{method: "GET", path: "/healthz", header: [2]string{"Host", "localhost:1"}, status: 200},
	} {
		t.Run(tt.method+" "+tt.path+" "+tt.header[1], func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, r.url+tt.path, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header[0] == "Host" {
				req.Host = tt.header[1]
			} else if tt.header[0] != "" {
				req.Header.Set(tt.header[0], tt.header[1])
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || !bytes.Contains(b, []byte(tt.words)) {
				t.Errorf("status %d, want %d with %q: %s", res.StatusCode, tt.status, tt.words, b)
			}
		})
	}
}

// TestProbesInJSON: who accepts JSON is told what the process does; of a listener with keys, who may read.
func TestProbesInJSON(t *testing.T) {
	r := run(t)
	guarded := guarded(t, nil)
	d := &admin.Daemon{Ready: func() error { return r.ready }, Duties: func() any { return []string{"source x"} }}
	r.Attach(d)
	guarded.Attach(d)
	srv := httptest.NewServer(guarded)
	defer srv.Close()
	ask := func(url, key, accept string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		if key != "" {
			req.Header.Set("x-api-key", key)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.TrimSpace(string(b))
	}
	for _, tt := range []struct {
		url, key, accept string
		ready            error
		status           int
		want             string
	}{
		{r.url + "/readyz", "", "*/*", nil, 200, "ok"},
		{r.url + "/readyz", "", "application/json", nil, 200, `{"ok":true,"words":"ok","duties":["source x"]}`},
		{r.url + "/healthz", "", "text/html, application/json;q=0.9", nil, 200, `{"ok":true,"words":"ok","duties":["source x"]}`},
		{r.url + "/readyz", "", "application/json", errors.New("down"), 503, `{"ok":false,"words":"down","duties":["source x"]}`},
		{r.url + "/healthz", "", "application/json", errors.New("down"), 200, `{"ok":true,"words":"ok","duties":["source x"]}`},
		{srv.URL + "/readyz", "", "application/json", nil, 200, `{"ok":true,"words":"ok"}`},
		{srv.URL + "/readyz", "another-key-of-length", "application/json", nil, 200, `{"ok":true,"words":"ok"}`},
		{srv.URL + "/readyz", readKey, "application/json", nil, 200, `{"ok":true,"words":"ok","duties":["source x"]}`},
	} {
		r.ready = tt.ready
		if status, body := ask(tt.url, tt.key, tt.accept); status != tt.status || body != tt.want {
			t.Errorf("%s for %q: %d %s, want %d %s", tt.url, tt.accept, status, body, tt.status, tt.want)
		}
	}
	r.Attach(nil)
	if status, body := ask(r.url+"/readyz", "", "application/json"); status != 503 || body != `{"ok":false,"words":"starting"}` {
		t.Errorf("while it starts: %d %s", status, body)
	}
}

func TestStartingAndNotReady(t *testing.T) {
	r := run(t)
	get := func(path string) (int, string) {
		status, b, err := r.client.Get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return status, string(b)
	}
	telemetry.Hide("hunter2-hunter2")
	r.ready = errors.New("orders: the queue wants hunter2-hunter2")
	if status, body := get("/readyz"); status != 503 || body != "orders: the queue wants ***\n" {
		t.Errorf("not ready: %d %q", status, body)
	}
	r.Attach(nil)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/api/v1/status": 503, "/api/v1/stores/main/streams": 503, "/hook": 503} {
		if status, body := get(path); status != want {
			t.Errorf("%s while starting: %d %s, want %d", path, status, body, want)
		}
	}
}

func TestMount(t *testing.T) {
	r := run(t)
	words := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	remove, err := r.Mount("GET /hook/{id}", words("one"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"GET /hook/{id}", "GET /hook/{other}", "GET /healthz", "nonsense pattern {"} {
		if _, err := r.Mount(pattern, words("two")); err == nil {
			t.Errorf("%q could be mounted", pattern)
		}
	}
	if status, b, err := r.client.Get(t.Context(), "/hook/1"); err != nil || status != 200 || string(b) != "one" {
		t.Errorf("mounted: %d %s %v", status, b, err)
	}
	if status, _, err := r.client.Get(t.Context(), "/healthz"); err != nil || status != 200 {
		t.Errorf("a refused mount did harm: %d %v", status, err)
	}
	remove()
	remove()
	if status, _, err := r.client.Get(t.Context(), "/hook/1"); err != nil || status != 404 {
		t.Errorf("taken off: %d %v", status, err)
	}
	if _, err := r.Mount("GET /hook/{id}", words("again")); err != nil {
		t.Error(err)
	}
	r.Attach(nil)
	if status, b, err := r.client.Get(t.Context(), "/hook/1"); err != nil || status != 503 {
		t.Errorf("mounted by a pipeline while others start: %d %s %v", status, b, err)
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "10.0.0.1:0", "example.com:0"} {
		if l, err := admin.New(admin.Options{}).Listen(address); !errors.Is(err, admin.ErrNotLoopback) {
			t.Errorf("Listen(%q) = %v, %v", address, l, err)
		}
	}
	for _, address := range []string{"", "127.0.0.1", "8087"} {
		if l, err := admin.New(admin.Options{}).Listen(address); err == nil {
			t.Errorf("Listen(%q) = %v", address, l)
		}
	}
	l, err := admin.New(admin.Options{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := admin.New(admin.Options{}).Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port that is taken: %v, %v", second, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- admin.New(admin.Options{}).Serve(ctx, l) }()
	c, err := client.Connect(l.Addr().String(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := c.Get(ctx, "/healthz"); err != nil || status != 200 {
		t.Errorf("served: %d, %v", status, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if _, _, err := c.Get(t.Context(), "/healthz"); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := client.Connect("ftp://x", "main"); err == nil {
		t.Error("ftp is taken for a server")
	}
}

// A list that breaks off says so: by the trailer where the server knows why, by the connection where it does not.
func TestListBreaksOff(t *testing.T) {
	r := run(t)
	for i := range 3 {
		if _, err := r.client.Append(t.Context(), event.Stream{Type: "a", ID: "b"}, wire.Append{Events: []wire.Event{{Type: fmt.Sprint("T", i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	broken := &breaking{Store: r.store}
	r.Attach(&admin.Daemon{Store: func(string) (eventstore.Store, bool) { return broken, true }})
	n := 0
	var got error
	for _, err := range r.client.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if got = err; err == nil {
			n++
		}
	}
	if n != 2 || !errors.Is(got, eventstore.ErrCorrupt) {
		t.Errorf("%d events, then %v", n, got)
	}

	// The reader that stops early has no error.
	r.Attach(&admin.Daemon{Store: func(string) (eventstore.Store, bool) { return r.store, true }})
	for _, err := range r.client.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cut := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"stream":"a/b"}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}), ReadHeaderTimeout: time.Second}
	go func() { _ = cut.Serve(l) }()
	t.Cleanup(func() { _ = cut.Close() })
	c, err := client.Connect(l.Addr().String(), "main")
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, err := range c.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		got = err
	}
	if got == nil || !strings.Contains(got.Error(), "broke off") {
		t.Errorf("a connection that was cut: %v", got)
	}
}

type breaking struct{ eventstore.Store }

func (b *breaking) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		n := 0
		for e, err := range b.Store.ReadAll(ctx, o) {
			if n++; n == 3 {
				yield(nil, fmt.Errorf("position 3: %w", eventstore.ErrCorrupt))
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestDocument(t *testing.T) {
	r := run(t)
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema map[string]any
				}
			}
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(r.do(t, "GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	post := doc.Paths["/api/v1/stores/{store}/events"]["post"]
	if ref := post.RequestBody.Content["application/json"].Schema["$ref"]; ref != "#/components/schemas/Append" || len(post.Security) != 2 {
		t.Errorf("the append is described as %+v", post)
	}
	for path, words := range map[string]string{"/openapi.json": `"openapi":"3.1.0"`, "/openapi.yaml": "openapi: 3.1.0"} {
		status, b, err := r.client.Get(t.Context(), path)
		if err != nil || status != 200 || !strings.Contains(string(b), words) || !strings.Contains(string(b), "/api/v1/stores/{store}/poison/retry") {
			t.Errorf("%s: %d, %v: %.200s", path, status, err, b)
		}
	}
}
