package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const reloaded = `
server: { listen: "%s" }
pipelines:
  changed:
    source: { http: { path: /changed } }
    steps:
      - filter: data.amount > %d
      - append: { stream: "changed/{{ id }}" }
  untouched:
    source: { http: { path: /untouched } }
    steps:
      - append: { stream: "untouched/{{ id }}" }
`

// post sends one event and gives the status.
func post(url, body string) int {
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

var hashLine = regexp.MustCompile(`(?m)^leat_config_info\{hash="([0-9a-f]+)"\} 1$`)

// TestWatch changes the files of a running daemon in the ways in which they change: each is taken up, a broken one is
// refused with words, and the pipeline that is not concerned answers all the while.
func TestWatch(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(limit int) string { return fmt.Sprintf(reloaded, addr, limit) }
	must(os.MkdirAll(filepath.Join(dir, "..1"), 0o700))
	write(t, dir, "..1/pipeline.yaml", text(10))
	must(os.Symlink("..1", filepath.Join(dir, "..data")))
	must(os.Symlink("..data/pipeline.yaml", filepath.Join(dir, "pipeline.yaml")))
	c := startLeat(t, dir, nil, "run", "pipeline.yaml", "--watch")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	metrics := func() string { _, body := get("http://" + addr + "/metrics"); return body }
	hash := func() string {
		m := hashLine.FindStringSubmatch(metrics())
		if m == nil {
			t.Fatal("no leat_config_info")
		}
		return m[1]
	}

	// A client of the other pipeline that never stops.
	stop, refused := make(chan struct{}), make(chan int)
	go func() {
		bad := 0
		for n := 0; ; n++ {
			select {
			case <-stop:
				refused <- bad
				return
			default:
			}
			if code := post("http://"+addr+"/untouched", order(fmt.Sprint("u", n), "1", "")); code != http.StatusOK && code != http.StatusAccepted {
				bad++
			}
		}
	}()

	// committed sees where the filter stands: amounts just above the limit are committed, those at it filtered.
	n := 0
	stands := func(limit int) bool {
		n++
		before := metric(metrics(), `leat_events_settled_total{outcome="filtered",pipeline="changed"}`)
		if post("http://"+addr+"/changed", order(fmt.Sprint("a", n), fmt.Sprint(limit), "")) >= 300 {
			return false
		}
		n++
		if post("http://"+addr+"/changed", order(fmt.Sprint("a", n), fmt.Sprint(limit+1), "")) >= 300 {
			return false
		}
		return metric(metrics(), `leat_events_settled_total{outcome="filtered",pipeline="changed"}`) == before+1
	}
	if !stands(10) {
		t.Fatal("the pipeline does not work")
	}
	was := hash()
	poll(t, c, "the log names the configuration that runs", func() bool { return strings.Contains(c.stderr.String(), was) })
	for i, step := range []struct {
		name   string
		change func(text string)
	}{
		{"in place", func(s string) { write(t, dir, "pipeline.yaml", s) }},
		{"sed -i", func(s string) {
			write(t, dir, "..1/sedXYZ", s)
			must(os.Rename(filepath.Join(dir, "..1/sedXYZ"), filepath.Join(dir, "..1/pipeline.yaml")))
		}},
		{"ConfigMap", func(s string) {
			must(os.MkdirAll(filepath.Join(dir, "..2"), 0o700))
			write(t, dir, "..2/pipeline.yaml", s)
			must(os.Symlink("..2", filepath.Join(dir, "..data_tmp")))
			must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		}},
		{"a file in place of the link", func(s string) {
			write(t, dir, "new.yaml", s)
			must(os.Rename(filepath.Join(dir, "new.yaml"), filepath.Join(dir, "pipeline.yaml")))
		}},
	} {
		limit := 20 + i
		step.change(text(limit))
		poll(t, c, step.name, func() bool { return hash() != was })
		was = hash()
		if !stands(limit) {
			t.Errorf("%s: the filter is not at %d\n%s", step.name, limit, c.stderr.String())
		}
	}

	write(t, dir, "pipeline.yaml", strings.Replace(text(99), "filter", "fliter", 1))
	poll(t, c, "the refusal", func() bool { return metric(metrics(), `leat_config_reloads_total{result="failed"}`) == 1 })
	if !stands(23) || hash() != was {
		t.Error("a broken file changed what runs")
	}
	if words := c.stderr.String(); !strings.Contains(words, `unknown`) || !strings.Contains(words, "pipeline.yaml:") {
		t.Errorf("the log does not say what is wrong:\n%s", words)
	}
	leat(t, dir, nil, "status", "--server", addr).want(t, 0)
	if out := leat(t, dir, nil, "status", "--server", addr).out; !strings.Contains(out, `"failed":1`) {
		t.Errorf("the status does not say so: %s", out)
	}

	close(stop)
	if bad := <-refused; bad > 0 {
		t.Errorf("the other pipeline refused %d requests", bad)
	}
	terminate(t, c)
}

// metric gives a sample of a text in Prometheus' format, -1 where there is none.
func metric(text, name string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			fmt.Sscan(rest, &v)
			return v
		}
	}
	return -1
}

// TestHangup: SIGHUP reloads without --watch, secrets in files too, and does not end the daemon.
func TestHangup(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "key", "first-key-first-key")
	write(t, dir, "pipeline.yaml", fmt.Sprintf(`
server: { listen: "%s" }
pipelines:
  p:
    source: { http: { path: /in, keys: [ "${file:%s}" ] } }
    steps:
      - append: { stream: "p/{{ id }}" }
`, addr, filepath.Join(dir, "key")))
	c := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	with := func(key string) int {
		req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/in", strings.NewReader(order("e"+key, "1", "")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", key)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	if code := with("first-key-first-key"); code >= 300 {
		t.Fatalf("status %d\n%s", code, c.stderr.String())
	}
	write(t, dir, "key", "second-key-second-key")
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	poll(t, c, "the new key", func() bool { code := with("second-key-second-key"); return code > 0 && code < 300 })
	if code := with("first-key-first-key"); code != http.StatusUnauthorized && code != http.StatusForbidden {
		t.Errorf("the old key is answered %d", code)
	}
	if strings.Contains(c.stderr.String(), "second-key") {
		t.Error("the log has a secret")
	}
	terminate(t, c)
}

// TestPauseCommands pauses by the API, over a restart, and in a store at rest.
func TestPauseCommands(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "in.ndjson", order("e1", "600", "")+"\n")
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson, follow: true`), `"off"`, `"`+addr+`"`))
	c := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	lines := func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "out.ndjson"))
		return strings.Count(string(b), "\n")
	}
	more := func(id string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, "in.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(f, order(id, "600", "")); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	committed := func() float64 {
		_, body := get("http://" + addr + "/metrics")
		return metric(body, `leat_events_settled_total{outcome="committed",pipeline="keep-big"}`)
	}
	poll(t, c, "the first event", func() bool { return lines() == 1 })

	leat(t, dir, nil, "pause", "keep-big", "--relay", "forward file out.ndjson", "--server", addr).want(t, 0, "paused")
	more("e2")
	poll(t, c, "the second event", func() bool { return committed() == 2 })
	if n := lines(); n != 1 {
		t.Errorf("%d lines from a paused relay", n)
	}
	leat(t, dir, nil, "resume", "keep-big", "--relay", "forward file out.ndjson", "--server", addr).want(t, 0, "goes on")
	poll(t, c, "the relay", func() bool { return lines() == 2 })

	leat(t, dir, nil, "pause", "keep-big", "--server", addr).want(t, 0, "the pipeline keep-big is paused")
	more("e3")
	if out := leat(t, dir, nil, "status", "--server", addr, "--text").out; !strings.Contains(out, "paused") {
		t.Errorf("status: %s", out)
	}
	leat(t, dir, nil, "healthcheck", "--ready", "--server", addr).want(t, 0)
	leat(t, dir, nil, "pause", "keep-bigg", "--server", addr).want(t, 2, `did you mean "keep-big"?`)
	leat(t, dir, nil, "pause", "keep-big", "--relay", "nope", "--server", addr).want(t, 2, "there is no relay")
	leat(t, dir, nil, "pause", "--server", addr).want(t, 2, "one pipeline")
	leat(t, dir, nil, "pause", "keep-big", "pipeline.yaml").want(t, 3, "--server") // the daemon has the store
	terminate(t, c)

	c = startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	if !strings.Contains(c.stderr.String(), "paused") || lines() != 2 {
		t.Errorf("%d lines, and the log says:\n%s", lines(), c.stderr.String())
	}
	terminate(t, c)

	leat(t, dir, nil, "resume", "keep-bigg", "pipeline.yaml").want(t, 2, `did you mean "keep-big"?`)
	leat(t, dir, nil, "pause", "keep-big", "pipeline.yaml", "--relay", "project order").want(t, 2, `did you mean "project orders"?`)
	leat(t, dir, nil, "resume", "keep-big", "pipeline.yaml").want(t, 0, "goes on")
	c = startLeat(t, dir, nil, "run", "pipeline.yaml")
	poll(t, c, "the third event", func() bool { return lines() == 3 })
	terminate(t, c)
}
