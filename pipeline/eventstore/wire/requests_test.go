package wire_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
)

// routes are what FuzzRequests asks; {} is filled in.
var routes = []struct{ method, path string }{
	{"POST", "/api/v1/stores/main/events"}, {"POST", "/api/v1/stores/main/append"}, {"POST", "/api/v1/stores/main/commit"},
	{"GET", "/api/v1/stores/main/events"}, {"GET", "/api/v1/stores/main/streams"}, {"GET", "/api/v1/stores/main/poison"},
	{"POST", "/api/v1/stores/main/poison/park"}, {"POST", "/api/v1/stores/main/poison/state"}, {"POST", "/api/v1/stores/main/poison/count"}, {"POST", "/api/v1/stores/main/marks/prune"},
	{"GET", "/tables/{}"}, {"POST", "/streams/{}"}, {"GET", "/streams/{}"}, {"PUT", "/streams/t/{}/events/2"}, {"GET", "/streams/t/{}/events"}, {"GET", "/streams/t/{}/details"},
}

// Whatever comes, the answer is one of those that are described: nothing panics, and nobody's mistake is ours (500).
func FuzzRequests(f *testing.F) {
	const id = "a0c59af3-2045-4e5e-87d9-5e30b6ed8c62"
	for route, seeds := range map[uint8][][3]string{
		0:  {{"", "stream=a/b", `{"expect":"any","events":[{"type":"A","time":"2026-01-01T00:00:00Z","data":{"n":1e999},"metadata":{}}]}`}, {"", "stream=/", "{}"}},
		1:  {{"", "", `{"appends":[{"stream":"a/b","events":[{"id":"1","type":"A"}]},{"stream":"a/b","expect":"1","events":[{"id":"2","type":"B"}]}]}`}},
		2:  {{"", "", `{"ordered":true,"units":[{"pipeline":"p","appends":[{"type":"a","id":"b","expect":"no_stream","events":[{"id":"1","type":"A","raw":"eyJhIjoxfQ==","data_at":5,"data_size":1,"envelope":"json"}]}],"inbox":{"key":"k","hash":"7"},"cursor":{"key":"a","value":"b"},"park":[{"pipeline":"p","step":"s","key":"k","envelope":"json"}],"unpark":[1]}]}`}},
		3:  {{"", "from=1&to=2&max=3&backwards=true&since=2026-01-01T00:00:00Z&form=exact&of_type=a&of_id=b", ""}, {"", "max=-1", ""}},
		5:  {{"", "id=1&state=parked&stream=a/b", ""}},
		6:  {{"", "", `{"entries":[{"pipeline":"p","step":"s","key":"k","envelope":"sns","payload_base64":"eA=="}]}`}},
		7:  {{"", "", `{"all":true,"to":"retrying"}`}},
		10: {{"x", "where=a=b&order=-c&limit=5", ""}},
		11: {{"t", "", `{"initialEvent":{"eventType":"a","payload":"{\"a\":1}"}}`}, {"t%2fu", "", "["}},
		12: {{"t", "updated-after=2026-01-01T00:00:00Z&nextPageKey=" + id + "%7Ct%7C2026-01-01T00:00:00Z", ""}},
		13: {{id, "", `{"event":{"eventType":"a","payload":" x"}}`}},
		14: {{id, "after-revision=-9223372036854775808", ""}},
	} {
		for _, s := range seeds {
			f.Add(route, s[0], s[1], s[2])
		}
	}
	st := memory.Open(memory.Options{})
	f.Cleanup(func() { _ = st.Close() })
	s := admin.New(admin.Options{})
	s.Attach(&admin.Daemon{Store: func(name string) (eventstore.Store, bool) { return st, name == "main" }})
	f.Fuzz(func(t *testing.T, route uint8, part, query, body string) {
		to := routes[int(route)%len(routes)]
		req, err := http.NewRequestWithContext(t.Context(), to.method, "http://localhost"+strings.Replace(to.path, "{}", part, 1)+"?"+query, strings.NewReader(body))
		if err != nil {
			return // no client can send it
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		switch w.Code {
		case 200, 201, 301, 307, 400, 403, 404, 405, 409, 413, 415, 421:
		default:
			t.Errorf("%s %s: %d %s", to.method, req.URL, w.Code, w.Body)
		}
	})
}
