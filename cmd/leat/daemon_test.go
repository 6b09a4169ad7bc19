package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/race"
)

// TestSecondSignal stops a daemon whose sink never answers: the first signal drains, one that comes later ends it with
// the shell's code, and the next run delivers what was left.
func TestSecondSignal(t *testing.T) {
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir, addr := t.TempDir(), freePort(t)
			const n = 2000
			var in strings.Builder
			for i := range n {
				fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", fmt.Sprintf(`,"note":"%0200d"`, i)))
			}
			write(t, dir, "in.ndjson", in.String())
			write(t, dir, "pipeline.yaml", `
pipelines:
  p:
    source: { file: { path: in.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - { from: start, forward: { stdout: {} } }
`)
			blocked, w, err := os.Pipe() // nobody reads: the sink hangs when the pipe is full
			if err != nil {
				t.Fatal(err)
			}
			defer blocked.Close()
			c := startLeatTo(t, dir, w, "run", "pipeline.yaml", "--listen", addr)
			w.Close()
			poll(t, c, "the input's end", func() bool {
				code, metrics := get("http://" + addr + "/metrics")
				return code == http.StatusOK && strings.Contains(metrics, `leat_events_settled_total{outcome="committed",pipeline="p"} 2000`)
			})
			for range 2 { // as timeout(1) sends it
				if err := c.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			poll(t, c, "the drain", func() bool {
				code, body := get("http://" + addr + "/readyz")
				return code == http.StatusServiceUnavailable && strings.Contains(body, "draining")
			})
			for ended := false; !ended; { // as people do
				_ = c.cmd.Process.Signal(sig)
				select {
				case <-c.done:
					ended = true
				case <-time.After(100 * time.Millisecond):
				}
			}
			if got := c.exit(t, time.Minute); got != code {
				t.Errorf("exit code %d, want %d:\n%s", got, code, c.stderr.String())
			}
			again := leat(t, dir, nil, "run", "pipeline.yaml", "--listen", "off").want(t, 0, "committed 0 ", "poisoned 0")
			got := map[string]bool{}
			for _, e := range objects[struct{ ID string }](t, again.out) {
				got[e.ID] = true
			}
			if len(got) != n { // the first run saved no checkpoint behind what nobody read
				t.Errorf("the next run delivered %d of %d events", len(got), n)
			}
		})
	}
}

func startLeatTo(t testing.TB, dir string, stdout *os.File, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self, args...), done: make(chan struct{})}
	c.stderr = newStderr(t)
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, stdout, c.stderr.f
	c.cmd.Env = append(os.Environ(), childEnv+"=1", "NO_COLOR=1")
	c.start(t)
	return c
}

// TestMetricsAccount adds up what a daemon says of a mixed input, from both its sources, when it has come to rest.
func TestMetricsAccount(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	var in strings.Builder
	for i := range 3000 {
		switch i % 5 {
		case 0:
			fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", ""))
		case 1:
			fmt.Fprintln(&in, order(fmt.Sprint("e", i), "1", ""))
		case 2:
			fmt.Fprintln(&in, order(fmt.Sprint("e", i-2), "600", "")) // once more
		case 3:
			fmt.Fprintln(&in, `{"id":`)
		case 4:
			fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", `,"order_id":""`))
		}
	}
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson, follow: true`), `"off"`, `"`+addr+`"`)+`
  bus:
    source: { put_events: {} }
    steps:
      - filter: source == "shop"
      - append: { stream: "bus/{{ data.id }}" }
`)
	c := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	put := func(body string) (int, string) {
		req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	// One committed, one filtered, one poisoned, two that the bus answers itself and no pipeline sees.
	code, answer := put(`{"Entries":[
		{"Source":"shop","DetailType":"A","Detail":"{\"id\":\"1\"}"},
		{"Source":"other","DetailType":"A","Detail":"{\"id\":\"2\"}"},
		{"Source":"shop","DetailType":"A","Detail":"{}"},
		{"Source":"shop","DetailType":"A","Detail":"{"},
		{"Source":"shop","Detail":"{}"}]}`)
	if code != http.StatusOK || !strings.Contains(answer, `"FailedEntryCount":2`) || strings.Count(answer, `"EventId"`) != 3 || strings.Count(answer, `"ErrorCode"`) != 2 {
		t.Errorf("PutEvents: %d %s", code, answer)
	}
	if code, answer := put(`{"Entries":5`); code != http.StatusBadRequest || !strings.Contains(answer, "SerializationException") {
		t.Errorf("PutEvents of no JSON: %d %s", code, answer)
	}
	want := map[string]map[string]float64{
		"keep-big": {"committed": 600, "filtered": 600, "duplicate": 600, "poisoned": 1200},
		"bus":      {"committed": 1, "filtered": 1, "poisoned": 1},
	}
	for pipeline, outcomes := range want {
		label := fmt.Sprintf("pipeline=%q", pipeline)
		total := 0.0
		for _, n := range outcomes {
			total += n
		}
		var metrics string
		poll(t, c, "all of "+pipeline, func() bool {
			_, metrics = get("http://" + addr + "/metrics")
			return strings.Contains(metrics, "leat_events_settled_total") && sum(t, metrics, "leat_events_settled_total", label) >= total
		})
		if got := sum(t, metrics, "leat_events_received_total", label); got != total {
			t.Errorf("%s: received %v, want %v", pipeline, got, total)
		}
		for outcome, n := range outcomes {
			if got := sum(t, metrics, "leat_events_settled_total", label, fmt.Sprintf("outcome=%q", outcome)); got != n {
				t.Errorf("%s: %s %v, want %v", pipeline, outcome, got, n)
			}
		}
		if got := sum(t, metrics, "leat_events_settled_total", label); got != total {
			t.Errorf("%s: settled %v of %v", pipeline, got, total)
		}
		if got := sum(t, metrics, "leat_events_in_flight", label); got != 0 {
			t.Errorf("%s: %v in flight at rest", pipeline, got)
		}
	}
	terminate(t, c)
}

// TestKillQuickstart kills the example in the middle, some times over, and lets it end at last: the outcome is that of
// a run that nobody disturbed.
func TestKillQuickstart(t *testing.T) {
	n := 20_000
	if race.Enabled || testing.Short() {
		n = 4_000
	}
	outcome := func(dir string) string {
		rows := leat(t, dir, nil, "table", "orders").want(t, 0).out
		return rows + leat(t, dir, nil, "store", "verify").want(t, 0).out
	}
	input := func(dir string) {
		var in strings.Builder
		for i := range n {
			fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600.5", fmt.Sprintf(`,"order_id":"o-%d"`, i%13)))
		}
		write(t, dir, "in.ndjson", in.String())
		write(t, dir, "pipeline.yaml", strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson`))
	}
	calm := t.TempDir()
	input(calm)
	leat(t, calm, nil, "run", "pipeline.yaml").want(t, 0, fmt.Sprintf("committed %d ", n))
	dir := t.TempDir()
	input(dir)
	for k := range 4 { // at the first byte of the log, of the output, and later
		c := startLeat(t, dir, nil, "run", "pipeline.yaml")
		grown := filepath.Join(dir, "out.ndjson")
		size := int64(0)
		if i, err := os.Stat(grown); err == nil {
			size = i.Size()
		}
		deadline := time.Now().Add(time.Minute)
		for ended := false; !ended && time.Now().Before(deadline); {
			if i, err := os.Stat(grown); err == nil && i.Size() > size+int64(k*n*5/2) {
				break
			}
			select {
			case <-c.done:
				ended = true
			case <-time.After(time.Millisecond):
			}
		}
		c.kill()
	}
	leat(t, dir, nil, "run", "pipeline.yaml").want(t, 0, "poisoned 0")
	if got, want := outcome(dir), outcome(calm); got != want {
		t.Errorf("after kills:\n%s\nundisturbed:\n%s", got, want)
	}
	forwarded, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range objects[struct{ ID string }](t, string(forwarded)) {
		seen[e.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d events were forwarded", len(seen), n)
	}
}

// TestLookingChangesNothing runs the commands that only look, and those that fail, and compares the directory.
func TestLookingChangesNothing(t *testing.T) {
	dir := recorded(t)
	write(t, dir, "in.ndjson", order("new", "600", "")+"\n{\n")
	write(t, dir, "dry.yaml", strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson`))
	write(t, dir, "bad.yaml", "pipelines: { p: { source: { file: { pth: x } }, steps: [ { append: { stream: a } } ] } }\n")
	before := contents(t, dir)
	for _, c := range []struct {
		code int
		args string
	}{
		{0, "run dry.yaml --dry-run"},
		{4, "run dry.yaml --dry-run --strict"},
		{2, "run bad.yaml"},
		{2, "validate bad.yaml --json"},
		{0, "validate dry.yaml"},
		{0, "store streams"},
		{0, "store read --all"},
		{0, "store verify"},
		{0, "table orders"},
		{0, "poison ls"},
		{3, "store read --all --data elsewhere"},
		{3, "table orders --server 127.0.0.1:1"},
		{0, "config print dry.yaml"},
	} {
		r := leat(t, dir, nil, strings.Fields(c.args)...)
		if r.code != c.code {
			t.Errorf("leat %s: exit code %d, want %d:\n%s", c.args, r.code, c.code, clip(r.err))
		}
		if r.code != 0 && r.code != 4 && r.err == "" && !strings.Contains(c.args, "--json") {
			t.Errorf("leat %s: failed without a word", c.args)
		}
	}
	after := contents(t, dir)
	for path, was := range before {
		if now, ok := after[path]; !ok || !bytes.Equal(was, now) {
			t.Errorf("%s is another (there: %v)", path, ok)
		}
	}
	for path, now := range after {
		if _, ok := before[path]; ok {
			continue
		}
		// SQLite's readers leave these two where they are, with nothing in the log.
		if name := filepath.Base(path); name == "leat.db-shm" || name == "leat.db-wal" && len(now) == 0 {
			continue
		}
		t.Errorf("%s is new", path)
	}
}

func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSecretsStayInside puts a word into the environment and into a config full of mistakes, and looks for it in all
// that is said.
func TestSecretsStayInside(t *testing.T) {
	dir := t.TempDir()
	const canary = "c4n4ry-in-the-mine"
	t.Setenv("CANARY", canary)
	write(t, dir, "bad.yaml", `
stores: { main: { sqlite: { dir: data, password: "${CANARY}" } }, other: { nosuch: { dsn: "postgres://u:c4n4ry-in-the-mine@h/db" } } }
pipelines:
  p:
    source: { file: { path: in.ndjson, secret: "${CANARY}" } }
    steps:
      - filter: data.token == "${CANARY}" && nothing
      - filter: data.a > "${CANARY}" +
      - append: { stream: "${CANARY}" }
      - forward: { nosuch: { token: "${CANARY}" } }
`)
	for _, args := range []string{"validate bad.yaml", "validate bad.yaml --json", "run bad.yaml", "run bad.yaml --json", "config print bad.yaml"} {
		r := leat(t, dir, nil, strings.Fields(args)...)
		if r.code != 2 {
			t.Errorf("leat %s: exit code %d", args, r.code)
		}
		for i, text := range []string{r.out, r.err} {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("leat %s: the secret is in output %d: …%s", args, i+1, text[max(0, at-100):min(len(text), at+40)])
			}
		}
	}
}
