package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOutboxExample runs examples/outbox as its README says, the shop twice.
func TestOutboxExample(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shop := filepath.Join(dir, "shop")
	if out, err := exec.Command("go", "build", "-o", shop, "../../examples/outbox/shop").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	open := func() string {
		t.Helper()
		c := exec.Command(shop)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if diff := cmp.Diff("o-1 is placed\no-2 is placed\no-3 is not placed: a total cannot be negative\n", open()); diff != "" {
		t.Errorf("the shop says (-want +got):\n%s", diff)
	}
	env := []string{"LEAT_DATA=" + filepath.Join(dir, "data"), "SHOP=" + filepath.Join(dir, "shop.db")}
	c := startLeat(t, root, env, "run", "examples/outbox/pipeline.yaml", "--listen", "off")
	bus := filepath.Join(dir, "data", "bus.ndjson")
	lines := func() (out []string) {
		f, err := os.Open(bus)
		if err != nil {
			return nil
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			out = append(out, s.Text())
		}
		return out
	}
	deadline := time.Now().Add(time.Minute)
	for len(lines()) < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("%d lines on the bus:\n%s", len(lines()), c.stderr.String())
		}
		time.Sleep(10 * time.Millisecond) // another process: there is nothing but asking
	}
	if out := open(); !strings.Contains(out, "o-1 is not placed: constraint failed") {
		t.Errorf("the shop, again: %s", out)
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.exit(t, time.Minute); code != 0 {
		t.Fatalf("exit %d:\n%s", code, c.stderr.String())
	}
	if n := len(lines()); n != 3 {
		t.Errorf("%d lines on the bus", n)
	}
	out, err := leatOutput(t, root, env, "table", "customers", "examples/outbox/pipeline.yaml")
	if err != nil || !strings.Contains(out, `"customer":"ann","orders":2,"total":200.5`) {
		t.Errorf("the table: %v\n%s", err, out)
	}
	out, err = leatOutput(t, root, env, "store", "read", "--all", "examples/outbox/pipeline.yaml")
	if err != nil || strings.Contains(out, "o-3") || strings.Count(out, "\n") != 3 || strings.Count(out, `"causationid":"visit-1"`) != 2 {
		t.Errorf("the log: %v\n%s", err, out)
	}
}

func leatOutput(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Dir, c.Env = dir, append(append(os.Environ(), childEnv+"=1", "NO_COLOR=1"), env...)
	out, err := c.Output()
	return string(out), err
}
