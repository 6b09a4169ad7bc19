package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

type answer struct {
	status int
	header http.Header
	body   string
}

func (r *running) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // no redirects
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// stream is the stream of an answer.
func (a answer) stream(t *testing.T) (id string, revision int64, updated time.Time) {
	t.Helper()
	var v struct {
		Stream struct {
			StreamID, StreamType string
			Revision             int64
			UpdatedAt            time.Time
		}
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v.Stream.StreamID, v.Stream.Revision, v.Stream.UpdatedAt
}

// captures are the recorded answers of serverless-event-store, by name.
func captures(t *testing.T) map[string]answer {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash("../../../shared/conformance/event-store-http.txt"))
	if errors.Is(err, os.ErrNotExist) {
		if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "conformance") {
			t.Fatal("the captures shared/conformance/event-store-http.txt are required and not there")
		}
		t.Skip("NOT TESTED: the captures shared/conformance/event-store-http.txt are not beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]answer{}
	for part := range strings.SplitSeq(string(b), "### ") {
		name, rest, _ := strings.Cut(part, "\n")
		head, body, _ := strings.Cut(rest, "\n\n")
		a := answer{header: http.Header{}, body: strings.TrimSpace(body)}
		for i, line := range strings.Split(head, "\n") {
			if i == 0 {
				if f := strings.Fields(line); len(f) > 1 {
					a.status, _ = strconv.Atoi(f[1])
				}
				continue
			}
			k, v, _ := strings.Cut(line, ": ")
			a.header.Set(k, v)
		}
		if name != "" {
			out[name] = a
		}
	}
	return out
}

var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
)

// masked is a body with ids and times made alike, so that all else can be compared byte by byte.
func masked(body string) string {
	return anyTime.ReplaceAllString(anyID.ReplaceAllString(strings.TrimSpace(body), "ID"), "TIME")
}

func TestServerlessCaptures(t *testing.T) { answersAsCaptured(t, run(t)) }

func answersAsCaptured(t *testing.T, r *running) {
	want := captures(t)
	const created = `{"initialEvent":{"eventType":"created","payload":"{\"a\":1}"}}`
	const changed = `{"event":{"eventType":"changed","payload":"{\"a\":2}"}}`
	id, _, _ := r.do(t, "POST", "/streams/golden", created).stream(t)
	unknown := uuid.NewString()
	other, _, updated := r.do(t, "POST", "/streams/test-stream", created).stream(t)
	r.do(t, "PUT", "/streams/test-stream/"+other+"/events/2", changed)

	golden := "/streams/golden/" + id
	for _, tt := range []struct {
		name, method, path, body string
		mended                   int // the status where the reference errs
	}{
		{name: "create-ok", method: "POST", path: "/streams/golden", body: created},
		{name: "create-empty-body", method: "POST", path: "/streams/golden"},
		{name: "create-bad-json", method: "POST", path: "/streams/golden", body: `{"initialEvent":`},
		{name: "create-missing-event", method: "POST", path: "/streams/golden", body: `{}`},
		{name: "create-missing-type", method: "POST", path: "/streams/golden", body: `{"initialEvent":{"payload":"x"}}`},
		{name: "create-missing-both", method: "POST", path: "/streams/golden", body: `{"initialEvent":{}}`},
		{name: "create-empty-payload", method: "POST", path: "/streams/golden", body: `{"initialEvent":{"eventType":"a","payload":""}}`},
		{name: "create-object-payload", method: "POST", path: "/streams/golden", body: `{"initialEvent":{"eventType":"a","payload":{}}}`},
		{name: "create-unknown-field", method: "POST", path: "/streams/golden", body: `{"more":1,"initialEvent":{"eventType":"a","payload":"x","more":2}}`},
		{name: "append-ok", method: "PUT", path: golden + "/events/2", body: changed},
		{name: "append-conflict-low", method: "PUT", path: golden + "/events/2", body: changed},
		{name: "append-conflict-high", method: "PUT", path: golden + "/events/4", body: changed},
		{name: "append-zero", method: "PUT", path: golden + "/events/0", body: changed},
		{name: "append-nonint", method: "PUT", path: golden + "/events/x", body: changed, mended: 400},
		{name: "append-unknown-stream", method: "PUT", path: "/streams/golden/" + unknown + "/events/2", body: changed},
		{name: "append-bad-uuid", method: "PUT", path: "/streams/golden/x/events/2", body: changed, mended: 400},
		{name: "append-wrong-type", method: "PUT", path: "/streams/other/" + id + "/events/3", body: changed},
		{name: "append-missing-event", method: "PUT", path: golden + "/events/3", body: `{}`},
		{name: "append-missing-type", method: "PUT", path: golden + "/events/3", body: `{"event":{"payload":"x"}}`},
		{name: "append-empty-body", method: "PUT", path: golden + "/events/3"},
		{name: "events-all", method: "GET", path: golden + "/events"},
		{name: "events-after-1", method: "GET", path: golden + "/events?after-revision=1"},
		{name: "events-after-end", method: "GET", path: golden + "/events?after-revision=9"},
		{name: "events-after-nonint", method: "GET", path: golden + "/events?after-revision=x", mended: 400},
		{name: "events-unknown", method: "GET", path: "/streams/golden/" + unknown + "/events"},
		{name: "events-wrong-type", method: "GET", path: "/streams/other/" + id + "/events"},
		{name: "events-bad-uuid", method: "GET", path: "/streams/golden/x/events", mended: 400},
		{name: "details-ok", method: "GET", path: golden + "/details"},
		{name: "details-uppercase-id", method: "GET", path: "/streams/golden/" + strings.ToUpper(id) + "/details"},
		{name: "details-unknown", method: "GET", path: "/streams/golden/" + unknown + "/details"},
		{name: "details-wrong-type", method: "GET", path: "/streams/other/" + id + "/details"},
		{name: "details-bad-uuid", method: "GET", path: "/streams/golden/x/details", mended: 400},
		{name: "streams-none", method: "GET", path: "/streams/none"},
		{name: "streams-after", method: "GET", path: "/streams/test-stream?updated-after=" + updated.Format(time.RFC3339Nano)},
		{name: "streams-after-future", method: "GET", path: "/streams/test-stream?updated-after=2099-01-01T00:00:00Z"},
		{name: "streams-after-bad", method: "GET", path: "/streams/test-stream?updated-after=x", mended: 400},
		{name: "streams-bad-page-key", method: "GET", path: "/streams/test-stream?stream-next-page-key=x", mended: 400},
		{name: "wrong-method", method: "DELETE", path: golden + "/details"},
		{name: "root", method: "GET", path: "/"},
		{name: "head-details", method: "HEAD", path: golden + "/details"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, ok := want[tt.name]
			if !ok {
				t.Fatal("there is no such capture")
			}
			got := r.do(t, tt.method, tt.path, tt.body)
			if tt.mended != 0 {
				if got.status != tt.mended || !strings.Contains(got.body, `"message": "Something went wrong"`) || !strings.Contains(got.body, `"requestId"`) {
					t.Errorf("%d: %s", got.status, got.body)
				}
				return
			}
			if got.status != w.status || got.header.Get("Location") != w.header.Get("Location") || !strings.HasPrefix(w.header.Get("Content-Type"), got.header.Get("Content-Type")) {
				t.Errorf("%d %v, want %d %v", got.status, got.header, w.status, w.header)
			}
			if w.status == 301 {
				return
			}
			if diff := cmp.Diff(masked(w.body), masked(got.body)); diff != "" {
				t.Errorf("the body (-captured +got):\n%s", diff)
			}
		})
	}
	// The row that is no event does not show.
	if got := r.do(t, "GET", golden+"/events?after-revision=-1", ""); masked(got.body) != masked(want["events-all"].body) {
		t.Errorf("behind -1: %d %s", got.status, got.body)
	}
}

// The reference's own end-to-end test, without its notifications.
func TestServerlessEndToEnd(t *testing.T) { endToEnd(t, func() *running { return run(t) }) }

func endToEnd(t *testing.T, run func() *running) {
	for _, base := range []string{"", "/api/v1/stores/main"} {
		r := run()
		made := r.do(t, "POST", base+"/streams/test-stream", `{"initialEvent":{"eventType":"a","payload":"text, not JSON"}}`)
		id, revision, at := made.stream(t)
		if made.status != 201 || revision != 1 || at.Location() != time.UTC {
			t.Fatalf("create: %+v", made)
		}
		second := r.do(t, "PUT", base+"/streams/test-stream/"+id+"/events/2", `{"event":{"eventType":"b","payload":"{\"q\": \"<&>\"}"}}`)
		_, revision, changed := second.stream(t)
		if second.status != 201 || revision != 2 {
			t.Fatalf("append: %+v", second)
		}
		if got := r.do(t, "GET", base+"/streams/test-stream/"+id+"/details", ""); got.body != second.body {
			t.Errorf("details %s, the append said %s", got.body, second.body)
		}
		var page struct {
			EventPage struct {
				Events []struct {
					StreamID, EventType, Payload string
					Revision                     int64
					CreatedAt                    time.Time
				}
				HasMore               bool
				LastEvaluatedRevision int64
			}
		}
		if err := json.Unmarshal([]byte(r.do(t, "GET", base+"/streams/test-stream/"+id+"/events", "").body), &page); err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			payload string
			at      time.Time
		}{{"text, not JSON", at}, {`{"q": "<&>"}`, changed}} {
			if e := page.EventPage.Events[i]; e.Payload != want.payload || e.CreatedAt != want.at || e.Revision != int64(i)+1 || e.StreamID != id {
				t.Errorf("event %d: %+v, want %+v", i, e, want)
			}
		}
		if got := r.do(t, "GET", base+"/streams/test-stream?updated-after="+at.Format(time.RFC3339Nano), ""); !strings.Contains(got.body, id) {
			t.Errorf("the list lacks it: %s", got.body)
		}
		// A pipeline reads a payload that is JSON.
		for e, err := range r.store.ReadStream(t.Context(), event.Stream{Type: "test-stream", ID: id}, eventstore.ReadOptions{From: 2}) {
			if err != nil || string(e.Data) != `{"q": "<&>"}` {
				t.Errorf("data %s, %v", e.Data, err)
			}
		}
	}
}

func TestServerlessPages(t *testing.T) {
	r := run(t)
	const n = 2500
	var units []*eventstore.Unit
	ids := map[string]bool{}
	for range n {
		id := uuid.NewString()
		ids[id] = true
		units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "many|of", ID: id}, Events: []event.Event{{ID: "1", Type: "T"}}}}})
	}
	long := uuid.NewString()
	var events []event.Event
	for i := range n {
		events = append(events, event.Event{ID: fmt.Sprint(i), Type: "T", Data: []byte(strconv.Itoa(i))})
	}
	units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "long", ID: long}, Events: events}}})
	if err := r.store.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stream-next-page-key", "nextPageKey"} {
		left, key, pages := len(ids), "", 0
		for {
			var page struct {
				StreamPage struct {
					Streams     []struct{ StreamID string }
					HasMore     bool
					NextPageKey string
				}
			}
			q := ""
			if key != "" {
				q = "?" + name + "=" + strings.ReplaceAll(key, "|", "%7C")
			}
			if err := json.Unmarshal([]byte(r.do(t, "GET", "/streams/many%7Cof"+q, "").body), &page); err != nil {
				t.Fatal(err)
			}
			for _, s := range page.StreamPage.Streams {
				if !ids[s.StreamID] {
					t.Fatalf("%s came twice, or from nowhere", s.StreamID)
				}
				left--
			}
			pages++
			if key = page.StreamPage.NextPageKey; !page.StreamPage.HasMore {
				break
			}
		}
		if left != 0 || pages != 3 || key != "" {
			t.Errorf("by %s: %d streams are missing after %d pages, key %q", name, left, pages, key)
		}
	}
	after, got := int64(0), 0
	for more := true; more; {
		var page struct {
			EventPage struct {
				Events                []struct{ Payload string }
				HasMore               bool
				LastEvaluatedRevision int64
			}
		}
		if err := json.Unmarshal([]byte(r.do(t, "GET", fmt.Sprintf("/streams/long/%s/events?after-revision=%d", long, after), "").body), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.EventPage.Events {
			if e.Payload != strconv.Itoa(got) {
				t.Fatalf("event %d has payload %s", got, e.Payload)
			}
			got++
		}
		after, more = page.EventPage.LastEvaluatedRevision, page.EventPage.HasMore
	}
	if got != n {
		t.Errorf("%d events, want %d", got, n)
	}
}

func TestServerlessIdempotency(t *testing.T) {
	r := run(t)
	const body = `{"initialEvent":{"eventType":"a","payload":"1"}}`
	first := r.do(t, "POST", "/streams/s", body, "Idempotency-Key", "k")
	if again := r.do(t, "POST", "/streams/s", body, "Idempotency-Key", "k"); again.status != 201 || again.body != first.body {
		t.Errorf("created again: %d %s, first %s", again.status, again.body, first.body)
	}
	id, _, _ := first.stream(t)
	const more = `{"event":{"eventType":"b","payload":"2"}}`
	second := r.do(t, "PUT", "/streams/s/"+id+"/events/2", more, "Idempotency-Key", "k2")
	r.do(t, "PUT", "/streams/s/"+id+"/events/3", more)
	if again := r.do(t, "PUT", "/streams/s/"+id+"/events/2", more, "Idempotency-Key", "k2"); again.status != 201 || again.body != second.body {
		t.Errorf("appended again: %d %s, first %s", again.status, again.body, second.body)
	}
	if other := r.do(t, "PUT", "/streams/s/"+id+"/events/2", strings.Replace(more, "2", "3", 1), "Idempotency-Key", "k2"); other.status != 409 {
		t.Errorf("the key with other content: %d %s", other.status, other.body)
	}
}

func TestServerlessRefuses(t *testing.T) {
	r := run(t)
	const body = `{"initialEvent":{"eventType":"a","payload":"1"}}`
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/streams/a%2Fb", body, 400},
		{"POST", "/streams/%ff", body, 400},
		{"POST", "/streams/ü%20ß", body, 201},
		{"POST", "/streams/s", strings.Repeat(" ", 9<<20) + body, 413},
		{"POST", "/streams/s", body + "x", 400},
		{"POST", "/streams/" + strings.Repeat("t", 2000), body, 413},
		{"PUT", "/streams/s/" + uuid.NewString() + "/events/99999999999999999999", `{}`, 400},
		{"GET", "/streams/s/" + uuid.NewString() + "/events?after-revision=9223372036854775807", "", 404},
		{"GET", "/streams/s?nextPageKey=a%7Cother%7C2026-01-01T00:00:00Z", "", 400},
		{"GET", "/api/v1/stores/none/streams/s", "", 404},
		{"GET", "/liveness-check", "", 200},
		{"GET", "/streams/", "", 301},
		{"GET", "/nothing", "", 404},
	} {
		if got := r.do(t, tt.method, tt.path, tt.body); got.status != tt.status {
			t.Errorf("%s %.60s: %d, want %d: %.200s", tt.method, tt.path, got.status, tt.status, got.body)
		}
	}
	r.Attach(nil)
	if got := r.do(t, "GET", "/streams/s", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("starting: %d %s", got.status, got.body)
	}
	var p wire.Problem
	if got := r.do(t, "GET", "/api/v1/stores/main/streams", ""); got.status != 503 || json.Unmarshal([]byte(got.body), &p) != nil || p.Code != "starting" || got.header.Get("Content-Type") != wire.ProblemType {
		t.Errorf("starting: %d %s", got.status, got.body)
	}
}
