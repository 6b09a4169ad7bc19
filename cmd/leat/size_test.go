package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Sizes that a stripped program may have. They stand a little above what it has, so that a dependency which brings megabytes along is seen on
// the day that it comes; docs/benchmarks.md says what is in it.
const (
	largest  = 37 << 20 // with all plugins
	embedded = 25 << 20 // with those that need no other service
)

// embeddedMain is a main of somebody who wants no AWS and no PostgreSQL.
const embeddedMain = `package main

import (
	"os"

	"github.com/leatdev/leat/cmd"
	_ "github.com/leatdev/leat/handlers/httpenrich"
	_ "github.com/leatdev/leat/pipeline/eventstore/memory"
	_ "github.com/leatdev/leat/pipeline/eventstore/sqlite"
	_ "github.com/leatdev/leat/sinks/file"
	_ "github.com/leatdev/leat/sinks/http"
	_ "github.com/leatdev/leat/sinks/stdout"
	_ "github.com/leatdev/leat/sources/eventlog"
	_ "github.com/leatdev/leat/sources/file"
	_ "github.com/leatdev/leat/sources/generate"
	_ "github.com/leatdev/leat/sources/http"
	_ "github.com/leatdev/leat/sources/putevents"
	_ "github.com/leatdev/leat/sources/schedule"
)

func main() { os.Exit(cmd.Main()) }
`

func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two programs")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the sizes are those of linux/amd64")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte(embeddedMain), 0o600); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(dir, "embedded")
	for _, tt := range []struct {
		from, to string
		most     int64
	}{{".", filepath.Join(dir, "all"), largest}, {src, small, embedded}} {
		// As the other tests compile, so that only the linking is new: a static build would compile everything again, for 0.1 MiB of difference.
		build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", tt.to, tt.from)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		info, err := os.Stat(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MiB", filepath.Base(tt.to), float64(info.Size())/(1<<20))
		if info.Size() > tt.most {
			t.Errorf("%s has %.1f MiB, more than %d", filepath.Base(tt.to), float64(info.Size())/(1<<20), tt.most>>20)
		}
	}

	// What is left out is missed with words.
	for _, args := range [][]string{{"tail", "bus"}, {"tail", "bus", "--policy"}, {"tail", "queue", "orders"}, {"tail", "--sweep"}} {
		out, err := exec.CommandContext(t.Context(), small, args...).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 3 && strings.Contains(string(out), "no AWS plugins") {
			continue
		}
		t.Errorf("leat %s: %v, %s", strings.Join(args, " "), err, out)
	}
}

// What weighs megabytes is in no build that has no plugin for it.
func TestCommandsCarryNoPlugin(t *testing.T) {
	for _, dep := range packages(t)[module+"/cmd"].Deps {
		for _, heavy := range []string{"github.com/aws/", "github.com/jackc/", "modernc.org/", "github.com/prometheus/", "go/parser", "html/template"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("package cmd depends on %s", dep)
			}
		}
	}
}
