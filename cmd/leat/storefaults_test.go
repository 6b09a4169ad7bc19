package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// poll asks until it holds; what is asked is another process, there is nothing but asking.
func poll(t testing.TB, c *child, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !holds() {
		select {
		case <-c.done:
			t.Fatalf("leat ended while waiting for %s:\n%s", what, clip(c.stderr.String()))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s:\n%s", what, clip(c.stderr.String()))
		}
	}
}

func terminate(t testing.TB, c *child) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := c.exit(t, time.Minute); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, clip(c.stderr.String()))
	}
}

func get(url string) (int, string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

var sample = regexp.MustCompile(`(?m)^(\w+)(?:\{([^}]*)\})? (\S+)$`)

// sum adds up the samples of a metric whose labels have all of the given parts.
func sum(t testing.TB, metrics, name string, labels ...string) (total float64) {
	t.Helper()
	found := false
next:
	for _, m := range sample.FindAllStringSubmatch(metrics, -1) {
		if m[1] != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(m[2], l) {
				continue next
			}
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		found = true
		total += v
	}
	if !found {
		t.Fatalf("no metric %s %q in\n%s", name, labels, clip(metrics))
	}
	return total
}

func recorded(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", keepBig)
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", fmt.Sprintf(`,"order_id":"o-%d","note":"%0200d"`, i%7, i)))
	}
	leat(t, dir, strings.NewReader(in.String()), "run", "pipeline.yaml").want(t, 0, "committed 300")
	return dir
}

// TestDamagedStore gives files that are no store, or no longer one: words, exit code 3, and the file stays as it is.
func TestDamagedStore(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(recorded(t), "data", "leat.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, word string
		damage     func([]byte) []byte
	}{
		{"another format", "no SQLite file", func(b []byte) []byte { copy(b, "PK\x03\x04 not a database"); return b }},
		{"cut off", "damaged", func(b []byte) []byte { return b[:len(b)/3] }},
		{"a page overwritten in each ten", "damaged", func(b []byte) []byte {
			for at := 8192; at+8192 <= len(b); at += 10 * 8192 {
				copy(b[at:], strings.Repeat("\xa5", 8192))
			}
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "pipeline.yaml", keepBig)
			damaged := string(c.damage([]byte(string(whole))))
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			path := write(t, dir, "data/leat.db", damaged)
			leat(t, dir, strings.NewReader(order("new", "600", "")), "run", "pipeline.yaml").want(t, 3, c.word)
			leat(t, dir, nil, "store", "verify").want(t, 3, c.word)
			if got, err := os.ReadFile(path); err != nil || string(got) != damaged {
				t.Errorf("the damaged file was changed, %v", err)
			}
		})
	}
	// One flipped byte anywhere may go unnoticed by SQLite itself, but nothing panics.
	t.Run("flipped bytes", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			b := []byte(string(whole))
			for k := range 40 {
				b[100+(i*7919+k*104729)%(len(b)-100)] ^= 0xff
			}
			write(t, dir, "data/leat.db", string(b))
			if r := leat(t, dir, nil, "store", "verify"); r.code != 0 && r.code != 1 && r.code != 3 {
				t.Errorf("verify: exit code %d: %s", r.code, r.err)
			}
			if r := leat(t, dir, nil, "store", "read", "--all"); r.code != 0 && r.code != 1 && r.code != 3 {
				t.Errorf("read: exit code %d: %s", r.code, r.err)
			}
		}
	})
}

// TestReadOnlyDirectory runs where nothing can be written.
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", keepBig)
	inMount(t, dir, "ro", func(in []string, self string) {
		r := invoke(t, dir, strings.NewReader(order("a", "600", "")), in[0], append(in[1:], self, "run", "pipeline.yaml", "--data", "mnt")...)
		r.want(t, 3, "read-only file system")
		invoke(t, dir, nil, in[0], append(in[1:], self, "store", "read", "--all", "--data", "mnt")...).want(t, 3, "mnt")
	})
}

// TestFullDisk runs on a file system of 8 MiB that something else fills: writes wait, readiness says why, and when
// there is room again everything is there.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	addr := freePort(t)
	const n = 20_000
	var in strings.Builder
	for i := range n {
		fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", fmt.Sprintf(`,"order_id":"o-%d","note":"%0200d"`, i%7, i)))
	}
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson, follow: true`), `"off"`, `"`+addr+`"`))
	inMount(t, dir, "size=48m", func(mount []string, self string) {
		mount[4] = strings.Replace(mount[4], "exec", "head -c 44000000 /dev/zero > mnt/ballast && exec", 1)
		c := startProgram(t, dir, nil, mount[0], append(mount[1:], self, "run", "pipeline.yaml", "--data", "mnt")...)
		poll(t, c, "the disk to be full", func() bool {
			code, body := get("http://" + addr + "/readyz")
			return code == http.StatusServiceUnavailable && strings.Contains(body, "disk is full")
		})
		if code, _ := get("http://" + addr + "/healthz"); code != http.StatusOK {
			t.Errorf("a daemon that waits for room is alive, /healthz says %d", code)
		}
		if err := os.Remove(fmt.Sprintf("/proc/%d/root%s/mnt/ballast", c.cmd.Process.Pid, dir)); err != nil {
			t.Fatal(err)
		}
		var metrics string
		poll(t, c, "everything committed", func() bool {
			_, metrics = get("http://" + addr + "/metrics")
			return strings.Contains(metrics, "leat_events_settled_total") && sum(t, metrics, "leat_events_settled_total", `outcome="committed"`) == n
		})
		poll(t, c, "readiness, as there is room again", func() bool { // the table's relay may wait for its next attempt yet
			code, _ := get("http://" + addr + "/readyz")
			return code == http.StatusOK
		})
		if all, poisoned := sum(t, metrics, "leat_events_settled_total"), sum(t, metrics, "leat_events_settled_total", `outcome="poisoned"`); all != n || poisoned != 0 {
			t.Errorf("settled %v, poisoned %v", all, poisoned)
		}
		poll(t, c, "the table", func() bool {
			return strings.Count(leat(t, dir, nil, "table", "orders", "--server", addr).out, "\n") == 7
		})
		if v := leat(t, dir, nil, "store", "verify", "--server", addr).want(t, 0).out; !strings.Contains(v, fmt.Sprintf(`"events":%d,"streams":7,"faults":0`, n)) {
			t.Errorf("verify: %s", v)
		}
		terminate(t, c)
	})
}

// inMount gives the beginning of a command line that runs a program with a tmpfs of its own at mnt in dir, which
// nobody else sees and which ends with it.
func inMount(t *testing.T, dir, options string, do func(prefix []string, self string)) {
	t.Helper()
	if out, err := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt").CombinedOutput(); err != nil {
		if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "mount") {
			t.Fatalf("LEAT_TEST_REQUIRE names mount, and none of one's own is allowed: %v %s", err, out)
		}
		t.Skipf("SKIPPED, NO FULL DISK WAS TRIED: no mount of one's own here: %v %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mnt"), 0o700); err != nil {
		t.Fatal(err)
	}
	do([]string{"unshare", "-rm", "sh", "-c", "mount -t tmpfs -o " + options + " tmpfs mnt && exec \"$@\"", "sh"}, self)
}
