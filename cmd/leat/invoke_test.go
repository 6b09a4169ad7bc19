package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// result is what a command that has ended left behind.
type result struct {
	code     int
	out, err string
	rss      int64 // peak of the resident memory, in KiB
}

// leat runs a command to its end.
func leat(t testing.TB, dir string, stdin io.Reader, args ...string) result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return invoke(t, dir, stdin, self, args...)
}

func invoke(t testing.TB, dir string, stdin io.Reader, program string, args ...string) result {
	t.Helper()
	var out, words bytes.Buffer
	c := exec.CommandContext(t.Context(), program, args...)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = dir, stdin, &out, &words
	c.Env = append(os.Environ(), childEnv+"=1", "NO_COLOR=1", "LEAT_SERVER=", "LEAT_DATA=")
	c.WaitDelay = time.Second
	err := c.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	r := result{code: c.ProcessState.ExitCode(), out: out.String(), err: words.String()}
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.rss = u.Maxrss
	}
	for _, sign := range []string{"panic:", "goroutine 1 ["} {
		if strings.Contains(r.err, sign) {
			t.Fatalf("leat %q panicked:\n%s", args, r.err)
		}
	}
	return r
}

// want fails the test where the exit code is another, or stderr lacks one of the words.
func (r result) want(t testing.TB, code int, words ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", r.code, code, clip(r.err))
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("stderr lacks %q:\n%s", w, clip(r.err))
		}
	}
	return r
}

func clip(s string) string {
	if len(s) > 3000 {
		return s[:3000] + "…"
	}
	return s
}

// objects decodes the JSON lines that a command printed.
func objects[T any](t testing.TB, lines string) []T {
	t.Helper()
	var all []T
	d := json.NewDecoder(strings.NewReader(lines))
	for {
		var v T
		err := d.Decode(&v)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%v in %s", err, clip(lines))
		}
		all = append(all, v)
	}
}
