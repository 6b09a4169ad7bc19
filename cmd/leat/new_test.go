package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/cmd/skeleton"
	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/pipelinetest"
)

// Every combination of standard plugins makes a pipeline that loads, with nothing in the environment, and whose tests
// pass.
func TestNewPipelines(t *testing.T) {
	for _, source := range config.Plugins(config.KindSource) {
		for _, sink := range config.Plugins(config.KindSink) {
			for _, store := range config.Plugins(config.KindStore) {
				f, err := skeleton.Pipeline{Name: "orders", Dir: "some/where", Source: source.Name, Sink: sink.Name, Store: store.Name}.Files()
				if err != nil {
					t.Fatal(err)
				}
				cfg, ds := config.LoadBytes("pipeline.yaml", []byte(f["pipeline.yaml"]), config.Options{Env: func(string) (string, bool) { return "", false }})
				for i := range ds {
					t.Errorf("%s to %s over %s:\n%s", source.Name, sink.Name, store.Name, ds[i].Text(false))
				}
				if store.Name != "sqlite" || len(ds) > 0 {
					continue // tests run on stores in memory
				}
				r := pipelinetest.Run(t.Context(), cfg, pipelinetest.Options{})
				if passed, _, _ := r.Count(); passed != len(cfg.Tests) || passed == 0 {
					t.Errorf("%s to %s: %d of %d tests pass", source.Name, sink.Name, passed, len(cfg.Tests))
					for _, x := range r.Results {
						t.Logf("%s: %+v", x.Name, x.Failures)
					}
				}
			}
		}
	}
}

// repository is where leat's sources are.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// goTool runs the Go command in a folder, as it is where nobody has the network.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newModule writes a module with a plugin, as `leat new` does.
func newModule(t *testing.T, kind, name string) string {
	t.Helper()
	local, err := skeleton.OpenLocal(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	f, err := skeleton.Plugin{Kind: kind, Name: name, Module: "example.com/" + name, Local: &local, Replace: local.Dir, Go: "1.26"}.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The modules that `leat new` writes are formatted, and their tests pass without the network.
func TestNewModules(t *testing.T) {
	for _, kind := range []string{"handler", "source", "sink"} {
		t.Run(kind, func(t *testing.T) {
			dir := newModule(t, kind, "my-"+kind)
			goTool(t, dir, "vet", "./...")
			t.Log(goTool(t, dir, "test", "."))
			if out, err := exec.CommandContext(t.Context(), "gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("gofmt: %s (%v)", out, err)
			}
		})
	}
}
