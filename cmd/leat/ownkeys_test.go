package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestSourcesOwnKeys holds that a source that checks its senders itself does so behind a listener that asks for keys too:
// its own keys open it and the listener's do not, and one without keys wants the listener's.
func TestSourcesOwnKeys(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "p.yaml", `
server: { listen: "${ADDR}", auth: { keys: [ { name: ops, key: listener-key-of-sixteen, scope: write } ] } }
pipelines:
  own:
    source: { http: { path: /own, keys: [ own-key-of-sixteen-bytes ] } }
    steps: [ { append: { stream: "s/{{ data.id }}" } } ]
  plain:
    source: { http: { path: /plain } }
    steps: [ { append: { stream: "s/{{ data.id }}" } } ]
`)
	c := startLeat(t, dir, []string{"ADDR=" + addr}, "run", "p.yaml", "--data", "data")
	if !c.ready(t, addr) {
		t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
	}
	for _, tt := range []struct {
		path, key string
		want      int
	}{
		{"/own", "own-key-of-sixteen-bytes", 200}, {"/own", "listener-key-of-sixteen", 403}, {"/own", "", 401},
		{"/plain", "listener-key-of-sixteen", 200}, {"/plain", "own-key-of-sixteen-bytes", 401}, {"/plain", "", 401},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+tt.path, strings.NewReader(`{"id":"`+tt.path+`","source":"s","detail-type":"T","detail":{"id":"1"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if tt.key != "" {
			req.Header.Set("X-Api-Key", tt.key)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.key, res.StatusCode, tt.want)
		}
	}
}
