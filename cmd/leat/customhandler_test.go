package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/cmd/skeleton"
)

const customHandler = "../../examples/custom-handler"

// moduleFiles gives the go.mod and go.sum of the example, with leat in the folder that replace names.
func moduleFiles(t *testing.T, replace string) map[string]string {
	t.Helper()
	local, err := skeleton.OpenLocal(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	mod := "module example.com/bank\n\ngo 1.26.0\n\nrequire github.com/leatdev/leat " + skeleton.NoVersion + "\n\nreplace github.com/leatdev/leat => " + replace + "\n\n" + local.Requires + "\n"
	return map[string]string{"go.mod": mod, "go.sum": local.Sum}
}

// The example's module needs what leat needs, so that it builds from a clone without anything being fetched.
func TestGeneratedCustomHandlerModule(t *testing.T) {
	for name, want := range moduleFiles(t, "../..") {
		file := filepath.Join(customHandler, name)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is behind: make generate", file)
		}
	}
}

// TestCustomHandler builds and runs the example as its README says.
func TestCustomHandler(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a daemon")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(customHandler)); err != nil {
		t.Fatal(err)
	}
	for name, text := range moduleFiles(t, repository(t)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	goTool(t, dir, "vet", "./...")
	goTool(t, dir, "test", "./...")
	goTool(t, dir, "build", "-o", "leat", ".")
	run := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "./leat", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "LEAT_DATA=data")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("leat %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := run("describe", "handler", "account"); !strings.Contains(out, "decides on commands") || !strings.Contains(out, "overdraft") || !strings.Contains(out, "state_version") {
		t.Errorf("describe:\n%s", out)
	}
	if out := run("test", "pipeline.yaml"); !strings.Contains(out, "1 test passed") {
		t.Errorf("test:\n%s", out)
	}
	if out := run("run", "pipeline.yaml", "--listen", "off"); !strings.Contains(out, "committed 4") || !strings.Contains(out, "poisoned 1") {
		t.Errorf("run:\n%s", out)
	}
	var types []string
	for _, m := range regexp.MustCompile(`"type":"(\w+)"`).FindAllStringSubmatch(run("store", "read", "account/ada", "pipeline.yaml"), -1) {
		types = append(types, m[1])
	}
	if d := cmp.Diff([]string{"AccountOpened", "Deposited", "Withdrawn", "WithdrawalRefused"}, types); d != "" {
		t.Error(d)
	}
	if out := run("table", "accounts", "pipeline.yaml", "--json"); !strings.Contains(out, `"balance":-50`) || !strings.Contains(out, "account/ada") {
		t.Errorf("table:\n%s", out)
	}
	if out := run("poison", "ls", "pipeline.yaml"); !strings.Contains(out, "not_open") {
		t.Errorf("poison:\n%s", out)
	}
	refused, err := os.ReadFile(filepath.Join(dir, "data/refused.ndjson"))
	if err != nil || strings.Count(string(refused), "\n") != 1 || !strings.Contains(string(refused), "not enough money") {
		t.Errorf("refused: %s %v", refused, err)
	}
}
