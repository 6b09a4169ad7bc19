package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
)

// Every example, and every pipeline that README.md shows, is a config without a mistake.
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
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```yaml\n")
	if len(blocks) < 2 {
		t.Fatal("README.md shows no pipeline")
	}
	for _, b := range blocks[1:] {
		body, _, _ := strings.Cut(b, "```")
		if _, diags := config.LoadBytes("README.md", []byte(body), config.Options{}); len(diags) > 0 {
			for i := range diags {
				t.Error(diags[i].Text(false))
			}
		}
	}
}
