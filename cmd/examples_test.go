package cmd_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
)

// Every example is a config without a mistake.
func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, f := range files {
		if _, diags := config.Load([]string{f}, config.Options{NoEnv: true}); len(diags) > 0 {
			for i := range diags {
				t.Error(diags[i].Text(false))
			}
		}
	}
}

// Every pipeline that a Markdown file shows is a config without a mistake.
func TestPipelinesInDocsAreValid(t *testing.T) {
	shown := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, b := range strings.Split(string(text), "```yaml\n")[1:] {
			shown++
			body, _, _ := strings.Cut(b, "```")
			if _, diags := config.LoadBytes(path, []byte(body), config.Options{NoEnv: true}); len(diags) > 0 {
				for i := range diags {
					t.Error(diags[i].Text(false))
				}
			}
		}
		return nil
	})
	if err != nil || shown == 0 {
		t.Errorf("%d pipelines, %v", shown, err)
	}
}
