package skeleton

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LeatModule is leat's module path.
const LeatModule = "github.com/leatdev/leat"

// NoVersion stands in a go.mod for a module that is replaced by a folder.
const NoVersion = "v0.0.0-00010101000000-000000000000"

// Local is a folder with leat's sources.
type Local struct {
	// Dir is its absolute path.
	Dir string
	// Requires are the require blocks of its go.mod, Sum its go.sum: with both a module that uses leat builds without
	// asking the network for what leat needs.
	Requires, Sum string
}

// OpenLocal looks at a folder that is to stand in for leat.
func OpenLocal(dir string) (Local, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Local{}, fmt.Errorf("skeleton: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(abs, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return Local{}, fmt.Errorf("%s holds no sources of leat: it has no go.mod", dir)
	}
	if err != nil {
		return Local{}, fmt.Errorf("skeleton: %w", err)
	}
	if path := ModuleOf(string(mod)); path != LeatModule {
		return Local{}, fmt.Errorf("%s holds the module %s, not %s", dir, path, LeatModule)
	}
	sum, err := os.ReadFile(filepath.Join(abs, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Local{}, fmt.Errorf("skeleton: %w", err)
	}
	return Local{Dir: abs, Requires: requires(string(mod)), Sum: string(sum)}, nil
}

// ModuleOf gives the path in a go.mod's module line, "" where there is none.
func ModuleOf(mod string) string {
	for line := range strings.Lines(mod) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.Trim(strings.TrimSpace(path), `"`)
		}
	}
	return ""
}

// requires gives the require blocks of a go.mod, all marked as indirect: they are leat's.
func requires(mod string) string {
	var out strings.Builder
	in := false
	for line := range strings.Lines(mod) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			in = true
			continue
		case in && line == ")":
			in = false
			continue
		case strings.HasPrefix(line, "require "):
			line = strings.TrimPrefix(line, "require ")
		case !in:
			continue
		}
		if line, _, _ = strings.Cut(line, "//"); strings.TrimSpace(line) != "" {
			fmt.Fprintf(&out, "\t%s // indirect\n", strings.TrimSpace(line))
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return "require (\n" + out.String() + ")"
}
