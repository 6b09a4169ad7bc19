package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bigLog runs a daemon on a log of n events, which it goes on with.
func bigLog(t *testing.T, n int) (dir, addr string, c *child) {
	t.Helper()
	dir, addr = t.TempDir(), freePort(t)
	var in strings.Builder
	for i := range n {
		fmt.Fprintln(&in, order(fmt.Sprint("e", i), fmt.Sprint(600+i%7), ""))
	}
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson, follow: true`), `"off"`, `"`+addr+`"`))
	return dir, addr, daemon(t, dir, addr)
}

func daemon(t *testing.T, dir, addr string) *child {
	t.Helper()
	c := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	return c
}

func works(addr string) string {
	_, body := get("http://" + addr + "/api/v1/works")
	return body
}

// TestRebuildKilled kills a daemon in the middle of a rebuild: people read the whole live table all the while, and the
// next start builds it anew.
func TestRebuildKilled(t *testing.T) {
	const n = 3000
	dir, addr, c := bigLog(t, n)
	rows := func() string { return leat(t, dir, nil, "table", "orders", "--server", addr).out }
	poll(t, c, "the table", func() bool {
		_, s := get("http://" + addr + "/api/v1/status")
		return strings.Contains(s, fmt.Sprintf(`"projected":%d`, n))
	})
	want := rows()
	leat(t, dir, nil, "rebuild", "order", "--server", addr).want(t, 2, `did you mean "orders"?`)
	leat(t, dir, nil, "rebuild", "orders", "--server", addr, "--dry-run").want(t, 0, "3,000 events would be applied")
	leat(t, dir, nil, "rebuild", "orders", "--server", addr).want(t, 0, "orders is built anew: 3,000 events")
	if got := rows(); got != want {
		t.Errorf("the table is %s, was %s", got, want)
	}

	asking := startLeat(t, dir, nil, "rebuild", "orders", "--server", addr, "--throttle", "1500")
	poll(t, c, "the rebuild", func() bool {
		return strings.Contains(works(addr), `"state":"running"`) && !strings.Contains(works(addr), `"done":0,`)
	})
	if got := rows(); got != want {
		t.Errorf("while it is built anew the table is %s, was %s", got, want)
	}
	c.kill()
	if code := asking.exit(t, time.Minute); code == 0 {
		t.Error("the command ends well though the daemon was killed")
	}
	if got := leat(t, dir, nil, "table", "orders", "pipeline.yaml").out; got != want {
		t.Errorf("after the kill the table is %s, was %s", got, want)
	}
	c = daemon(t, dir, addr)
	poll(t, c, "the rebuild to go on", func() bool { return strings.Contains(works(addr), `"state":"done"`) })
	if got := rows(); got != want {
		t.Errorf("built anew the table is %s, was %s", got, want)
	}
	terminate(t, c)
}

// TestReplayKilled kills a daemon in the middle of a replay: the next start goes on at its checkpoint, and the live relay
// stands where it stood.
func TestReplayKilled(t *testing.T) {
	const n = 3000
	dir, addr, c := bigLog(t, n)
	lines := func() []string {
		b, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	}
	poll(t, c, "the forward", func() bool { return len(lines()) == n })
	const relay = "keep-big/forward file out.ndjson"
	leat(t, dir, nil, "replay", relay, "--server", addr).want(t, 2, "3,000 events would be sent", "--yes")
	leat(t, dir, nil, "replay", "keep-big/nope", "--server", addr, "--yes").want(t, 2, "there is no forward")
	leat(t, dir, nil, "replay", relay, "--server", addr, "--from", "soon", "--yes").want(t, 2, "soon")
	leat(t, dir, nil, "replay", relay, "--from", "1", "--to", "10", "--yes", "--server", addr).want(t, 0, "10 events sent")
	if got := len(lines()); got != n+10 {
		t.Fatalf("%d lines, want %d", got, n+10)
	}
	asking := startLeat(t, dir, nil, "replay", relay, "--yes", "--server", addr, "--throttle", "2000")
	poll(t, c, "the replay", func() bool { return len(lines()) > n+500 })
	c.kill()
	if code := asking.exit(t, time.Minute); code == 0 {
		t.Error("the command ends well though the daemon was killed")
	}
	c = daemon(t, dir, addr)
	poll(t, c, "the replay to go on", func() bool { return strings.Contains(works(addr), `"state":"done"`) })
	all := lines()
	times := map[string]int{}
	for _, line := range all {
		times[line]++
	}
	if len(times) != n {
		t.Errorf("%d different lines, want %d", len(times), n)
	}
	for line, k := range times {
		if k < 2 || k > 4 { // live, replayed, once more behind the checkpoint, and the ten
			t.Fatalf("%d times %s", k, line)
		}
	}
	if more := len(all) - 2*n - 10; more < 0 || more > 1500 {
		t.Errorf("%d lines more than live and replay", more)
	}
	if out := leat(t, dir, nil, "status", "--server", addr).out; !strings.Contains(out, fmt.Sprintf(`"position":%d`, n)) {
		t.Errorf("the live relay moved: %s", out)
	}
	terminate(t, c)
}
