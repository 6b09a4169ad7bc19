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
)

// leat test --watch runs again when a file changes: written in place, replaced as editors do, or behind a link that is
// swapped (a ConfigMap); a broken file is told of, and mended later.
func TestWatchedTestsRunAgain(t *testing.T) {
	dir := t.TempDir()
	file := func(amount string) string {
		return `
pipelines:
  orders:
    source: { file: { path: in.ndjson } }
    steps: [ { append: { stream: "order/{{ data.id }}" } } ]
tests:
  - { name: amount ` + amount + `, events: [ { type: A, data: { id: 1, amount: 5 } } ], expect: { appended: { order/1: [ { data: { amount: ` + amount + ` } } ] } } }
`
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target string) {
		t.Helper()
		at := filepath.Join(dir, "new-link")
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at, filepath.Join(dir, "p.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	write("one", file("5"))
	link("one")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "test", "--watch", "p.yaml")
	c.Dir = dir
	c.Env = append(os.Environ(), childEnv+"=1", "NO_COLOR=1")
	words := newStderr(t)
	c.Stderr = words.f
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	expect := func(word string) {
		t.Helper()
		limit := time.After(time.Minute)
		for {
			select {
			case line, ok := <-lines:
				if !ok || strings.Contains(line, word) {
					if !ok {
						t.Fatalf("it has ended before %q:\n%s", word, words.String())
					}
					return
				}
			case <-limit:
				t.Fatalf("%q does not come:\n%s", word, words.String())
			}
		}
	}
	expect("1 test passed")
	write("one", file("66")) // in place
	expect("FAIL  amount 66")
	expect("0 tests passed, 1 failed")
	write("two", file("5.0"))
	link("two") // swapped
	expect("1 test passed")
	write("two", "pipelines: [")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(words.String(), "error[syntax]"); {
		if time.Now().After(deadline) {
			t.Fatalf("the broken file is not told of:\n%s", words.String())
		}
		time.Sleep(10 * time.Millisecond) // another process: there is nothing but asking
	}
	write("three", file("777"))
	if err := os.Rename(filepath.Join(dir, "three"), filepath.Join(dir, "p.yaml")); err != nil { // replaced
		t.Fatal(err)
	}
	expect("FAIL  amount 777")
	_ = c.Process.Signal(syscall.SIGINT)
	for range lines {
	}
	if err := c.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
}
