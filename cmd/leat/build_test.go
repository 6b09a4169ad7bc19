package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// leatBuild runs `leat build` as a user does, where there is no network, and gives what it said and its exit code.
func leatBuild(t *testing.T, env []string, args ...string) (words string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], append([]string{"build"}, args...)...)
	c.Env = append(append(os.Environ(), childEnv+"=1", "GOPROXY=off", "GOTOOLCHAIN=local"), env...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// What leat build makes has the plugins, says so, runs a pipeline with them, and knows nothing of this machine. What
// cannot be built is told in the compiler's own words.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles leat")
	}
	repo := repository(t)
	sink, handler := newModule(t, "sink", "my-sink"), newModule(t, "handler", "my-handler")
	before := folder(t, sink)
	out := filepath.Join(t.TempDir(), "bin", "custom") // the folder is made, as go build does
	words, code := leatBuild(t, []string{"GOFLAGS=-tags=nothing", "GOWORK=" + filepath.Join(repo, "go.work")},
		"--with", "example.com/my-sink="+sink, "--with", "example.com/my-handler="+handler, "--replace", "leat="+repo, "-o", out)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, words)
	}
	if !strings.Contains(words, "example.com/my-sink from a folder: sink my_sink") {
		t.Errorf("it says:\n%s", words)
	}
	if after := folder(t, sink); after != before {
		t.Errorf("the module was changed:\n%s\nbefore:\n%s", after, before)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(repo)) || bytes.Contains(b, []byte(sink)) {
		t.Error("the program holds a path of this machine")
	}

	text, err := exec.CommandContext(t.Context(), out, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Modules []struct {
			Path, Version string
			Local         bool
			Plugins       []string
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Modules) != 2 || v.Modules[0].Plugins[0] != "handler my_handler" || v.Modules[1].Path != "example.com/my-sink" || !v.Modules[1].Local || v.Modules[1].Plugins[0] != "sink my_sink" {
		t.Errorf("version: %s", text)
	}
	for _, dir := range []string{sink, handler} {
		c := exec.CommandContext(t.Context(), out, "test", filepath.Join(dir, "pipeline.yaml"))
		if text, err := c.CombinedOutput(); err != nil {
			t.Errorf("the module's pipeline: %v\n%s", err, text)
		}
	}

	t.Run("a name that is taken", func(t *testing.T) {
		dir := newModule(t, "sink", "twice")
		replaceIn(t, filepath.Join(dir, "twice.go"), `sinks.Register("twice", Open)`, `sinks.Register("stdout", Open)`)
		none := filepath.Join(t.TempDir(), "none")
		words, code := leatBuild(t, nil, "--with", "example.com/twice="+dir, "--replace", "leat="+repo, "-o", none)
		if code != 1 || !strings.Contains(words, "two plugins register as sink stdout") {
			t.Errorf("exit code %d\n%s", code, words)
		}
		if _, err := os.Stat(none); err == nil {
			t.Error("a program that does not start was left behind")
		}
	})
	t.Run("a module that does not compile", func(t *testing.T) {
		dir := newModule(t, "source", "broken")
		replaceIn(t, filepath.Join(dir, "broken.go"), "func (s *Source) Close() error {", "func (s *Source) Close() error {\n\tnothing()")
		words, code := leatBuild(t, nil, "--with", "example.com/broken="+dir, "--replace", "leat="+repo, "-o", filepath.Join(t.TempDir(), "none"))
		if code != 1 || !strings.Contains(words, filepath.Join(dir, "broken.go")+":") || !strings.Contains(words, "undefined: nothing") {
			t.Errorf("exit code %d\n%s", code, words)
		}
	})
	t.Run("a module that is nowhere", func(t *testing.T) {
		words, code := leatBuild(t, nil, "--with", "example.com/nowhere@v1.0.0", "--replace", "leat="+repo)
		if code != 1 || !strings.Contains(words, "example.com/nowhere@v1.0.0: module lookup disabled by GOPROXY=off") {
			t.Errorf("exit code %d\n%s", code, words)
		}
	})
	t.Run("no Go", func(t *testing.T) {
		words, code := leatBuild(t, []string{"PATH=" + t.TempDir()}, "--with", "example.com/my-sink="+sink, "--replace", "leat="+repo)
		if code != 3 || !strings.Contains(words, "build needs Go") {
			t.Errorf("exit code %d\n%s", code, words)
		}
	})
}

// folder lists a folder's files with their contents.
func folder(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(text) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func replaceIn(t *testing.T, path, was, now string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), was) {
		t.Fatalf("%s holds no %q", path, was)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), was, now, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
