package skeleton

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/file"
)

func TestNames(t *testing.T) {
	pipeline := func(name, source, dir string) func() (Files, error) {
		return Pipeline{Name: name, Dir: dir, Source: source, Sink: "stdout", Store: "sqlite"}.Files
	}
	plugin := func(kind, name, module string) func() (Files, error) {
		return Plugin{Kind: kind, Name: name, Module: module, Leat: "v1.0.0", Go: "1.26"}.Files
	}
	for _, tt := range []struct {
		name  string
		files func() (Files, error)
		want  string // of the error; empty: none
	}{
		{"a pipeline", pipeline("orders-2.x", "file", "a b"), ""},
		{"a pipeline with a space", pipeline("my orders", "file", "x"), "no name for a pipeline"},
		{"a misspelt source", pipeline("orders", "fiel", "x"), `did you mean "file"?`},
		{"a folder that YAML would read", pipeline("orders", "file", "a${HOME}"), "cannot stand in a file"},
		{"a sink", plugin("sink", "my-sink", "example.com/my-sink"), ""},
		{"a capital", plugin("sink", "MySink", "example.com/x"), "no name for a sink"},
		{"a word of Go", plugin("sink", "func", "example.com/x"), "a word of Go"},
		{"what main is", plugin("sink", "main", "example.com/x"), "a word of Go"},
		{"a name that is taken", plugin("sink", "stdout", "example.com/x"), "this build has a sink stdout already"},
		{"a module that is a path", plugin("sink", "x", "../x"), "no path of a Go module"},
		{"a module with a quote", plugin("sink", "x", `a"b`), "no path of a Go module"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.files()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestWriteOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "b", "c")
	if err := os.MkdirAll(filepath.Dir(there), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Files{"a": "new", "b/c": "new"}.Write(dir)
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), there) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("a was written although b/c could not be")
	}
	if b, _ := os.ReadFile(there); string(b) != "mine" {
		t.Errorf("b/c holds %q", b)
	}
}

func TestOpenLocal(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenLocal(dir); err == nil || !strings.Contains(err.Error(), "no go.mod") {
		t.Errorf("an empty folder: %v", err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/other\n")
	if _, err := OpenLocal(dir); err == nil || !strings.Contains(err.Error(), "holds the module example.com/other") {
		t.Errorf("another module: %v", err)
	}
	write("go.mod", "module github.com/leatdev/leat\n\ngo 1.26.0\n\nrequire a.example/one v1.0.0\n\nrequire (\n\tb.example/two v2.0.0 // indirect\n\tc.example/three v3.0.0\n)\n")
	write("go.sum", "sums\n")
	got, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := "require (\n\ta.example/one v1.0.0 // indirect\n\tb.example/two v2.0.0 // indirect\n\tc.example/three v3.0.0 // indirect\n)"
	if diff := cmp.Diff(want, got.Requires); diff != "" || got.Sum != "sums\n" {
		t.Errorf("(-want +got):\n%s\nsum %q", diff, got.Sum)
	}
}
