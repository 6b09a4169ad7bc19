package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/leatdev/leat"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

// within reports whether path is one of the folders, or in one that ends in /….
func within(path string, folders ...string) bool {
	for _, f := range folders {
		if sub, all := strings.CutSuffix(f, "/..."); all {
			if strings.HasPrefix(path, module+"/"+sub+"/") {
				return true
			}
		} else if path == module+"/"+f {
			return true
		}
	}
	return false
}

// implementation reports whether a package is one of several that fulfil a contract.
func implementation(path string) bool {
	if within(path, "pipeline/eventstore/plan", "pipeline/eventstore/serverless", "pipeline/eventstore/storetest", "pipeline/eventstore/wire", "pipeline/eventstore/client",
		"pipeline/eventstore/client/...", "pipeline/table/tabletest",
		"sources/sourcetest", "sinks/sinktest", "handlers/handlertest") || strings.Contains(path, "/internal") {
		return false
	}
	return within(path, "sources/...", "sinks/...", "handlers/...", "pipeline/eventstore/...", "pipeline/table/...")
}

// The direction of imports: event ← contracts ← implementations; the engine knows contracts, and cmd/standard alone knows
// implementations. docs/architecture.md has the reasons.
func TestImportDirection(t *testing.T) {
	all := packages(t)
	ours := 0
	for path, p := range all {
		if !strings.HasPrefix(path, module) {
			continue
		}
		ours++
		for _, dep := range p.Deps {
			switch {
			case within(path, "pipeline/event") && !all[dep].Standard && !strings.HasPrefix(dep, "github.com/ThreeDotsLabs/watermill") &&
				!belowWatermill(all, dep):
				t.Errorf("%s is the leaf and depends on %s", path, dep)
			case within(path, "pipeline/pattern", "pipeline/rawjson") && !all[dep].Standard:
				t.Errorf("%s stands on the standard library alone and depends on %s", path, dep)
			case implementation(path) && within(dep, "pipeline", "pipeline/steps", "pipeline/admin", "cmd"):
				t.Errorf("the plugin %s depends on %s: plugins know contracts", path, dep)
			case within(path, "pipeline/steps") && within(dep, "pipeline"):
				t.Errorf("%s depends on the engine, which hands it what it needs", path)
			case within(path, "pipeline", "pipeline/steps", "pipeline/admin", "pipeline/telemetry", "config", "cmd") && implementation(dep):
				t.Errorf("%s depends on the implementation %s: cmd/standard alone imports those", path, dep)
			case within(path, "config", "pipeline/...", "pipeline") && within(dep, "cmd"):
				t.Errorf("%s depends on the command line", path)
			}
		}
		for _, dep := range p.Imports {
			if dep == "gopkg.in/yaml.v3" && !within(path, "config") {
				t.Errorf("%s imports yaml: config alone does", path)
			}
			if dep == "testing" && !strings.HasSuffix(path, "test") {
				t.Errorf("%s is no test suite and imports testing", path)
			}
		}
	}
	if ours < 10 {
		t.Errorf("go list names %d packages of ours: the test looks at the wrong thing", ours)
	}
	main := all[module+"/cmd/leat"]
	if !slices.Contains(main.Imports, module+"/cmd") || !slices.Contains(main.Imports, module+"/cmd/standard") {
		t.Errorf("cmd/leat imports %v and not cmd and cmd/standard", main.Imports)
	}
}

// belowWatermill reports whether a module of others comes with watermill's message package.
func belowWatermill(all map[string]pkg, dep string) bool {
	return slices.Contains(all["github.com/ThreeDotsLabs/watermill/message"].Deps, dep)
}
