package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/pipelinetest"
)

// Every example is a config without a mistake: the files of one folder together.
func TestExamplesAreValid(t *testing.T) {
	for _, dir := range exampleFolders(t, "../../examples") {
		if _, diags := config.Load(together("../..", dir), config.Options{NoEnv: true}); len(diags) > 0 {
			for i := range diags {
				t.Error(diags[i].Text(false))
			}
		}
	}
}

// exampleFolders lists the folders with YAML files in them, without those of modules of their own, whose plugins are not in
// this build.
func exampleFolders(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if _, module := os.Stat(filepath.Join(path, "go.mod")); module == nil {
				return filepath.SkipDir
			}
		}
		if dir := filepath.Dir(path); err == nil && filepath.Ext(path) == ".yaml" && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("examples: %v, %v", out, err)
	}
	return out
}

// Every YAML block of every Markdown file is right, and the tests in it pass. A block is a pipeline file, unless the word behind yaml says that
// it is a part of one: "yaml steps", "yaml source", "yaml pipeline" (what stands under its name). Manifests of
// Kubernetes and Compose (by their first key) must be YAML.
func TestYAMLInDocsIsValid(t *testing.T) {
	shown := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, b := range fences(string(text)) {
			shown++
			body, err := wholeFile(b.info, b.body)
			if err != nil {
				t.Errorf("%s:%d: %v", path, b.line, err)
				continue
			}
			if strings.HasPrefix(body, "apiVersion:") || strings.HasPrefix(body, "services:") {
				d := yaml.NewDecoder(strings.NewReader(body))
				for {
					var any map[string]any
					if err := d.Decode(&any); err != nil {
						if err.Error() != "EOF" {
							t.Errorf("%s:%d: %v", path, b.line, err)
						}
						break
					}
				}
				continue
			}
			name := fmt.Sprintf("%s:%d", path, b.line)
			cfg, diags := config.LoadBytes(name, []byte(body), config.Options{NoEnv: true})
			for i := range diags {
				t.Error(diags[i].Text(false))
			}
			if len(diags) > 0 || len(cfg.Tests) == 0 {
				continue
			}
			for _, r := range pipelinetest.Run(t.Context(), cfg, pipelinetest.Options{}).Results {
				if !r.Passed() {
					t.Errorf("%s: the test %q does not pass: %+v", name, r.Name, r.Failures)
				}
			}
		}
		return nil
	})
	if err != nil || shown < 20 {
		t.Errorf("%d blocks, %v", shown, err)
	}
}

type fence struct {
	info, body string
	line       int
}

// fences gives the YAML blocks of a Markdown text; they may be indented, as in lists.
func fences(text string) (out []fence) {
	var open *fence
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		bare := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(bare, "```"):
			indent = line[:len(line)-len(bare)]
			open = &fence{info: strings.TrimSpace(strings.TrimLeft(bare, "`")), line: i + 1}
		case open != nil && strings.HasPrefix(bare, "```"):
			if word, _, _ := strings.Cut(open.info, " "); word == "yaml" || word == "yml" {
				out = append(out, *open)
			}
			open = nil
		case open != nil:
			open.body += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return out
}

// wholeFile puts around a part of a pipeline file what it needs to be one.
func wholeFile(info, body string) (string, error) {
	_, part, _ := strings.Cut(info, " ")
	in := func(n int) string {
		return strings.ReplaceAll(strings.TrimRight(strings.Repeat(" ", n)+strings.ReplaceAll(body, "\n", "\n"+strings.Repeat(" ", n)), " "), "\n"+strings.Repeat(" ", n)+"\n", "\n\n")
	}
	const source, steps = "    source: { file: { path: orders.ndjson } }\n", "    steps:\n      - append: { stream: \"order/{{ id }}\" }\n"
	switch part {
	case "":
		return body, nil
	case "pipeline":
		return "pipelines:\n  shown:\n" + in(4), nil
	case "source":
		return "pipelines:\n  shown:\n    source:\n" + in(6) + steps, nil
	case "steps":
		return "pipelines:\n  shown:\n" + source + "    steps:\n" + in(6), nil
	}
	return "", fmt.Errorf("a yaml block is a file, or yaml steps, source or pipeline, not %q", info)
}

func TestFences(t *testing.T) {
	got := fences("a\n```yaml\nx: 1\n```\n- b\n  ```yaml steps\n  - y\n\n  - z\n  ```\n```sh\nls\n```\n")
	if len(got) != 2 || got[0] != (fence{"yaml", "x: 1\n", 2}) || got[1] != (fence{"yaml steps", "- y\n\n- z\n", 6}) {
		t.Errorf("%+v", got)
	}
}
