package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "a.ndjson")
	if err := os.WriteFile(there, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want check.Severity
		word string
	}{
		{"a file", Config{Path: []string{there}}, check.OK, "can be read"},
		{"a glob", Config{Path: []string{filepath.Join(dir, "*.ndjson")}}, check.OK, "a.ndjson"},
		{"a glob of nothing", Config{Path: []string{filepath.Join(dir, "*.csv")}}, check.Warning, "no file matches"},
		{"a missing file", Config{Path: []string{filepath.Join(dir, "b")}}, check.Problem, "does not exist"},
		{"a missing file that is followed", Config{Path: []string{filepath.Join(dir, "b")}, Follow: true}, check.Warning, "waited for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.cfg.Check(t.Context(), sources.Env{})
			if len(got) != 1 || got[0].Severity != tt.want || !strings.Contains(got[0].What, tt.word) {
				t.Errorf("%+v, want %s with %q", got, tt.want, tt.word)
			}
		})
	}
	if got := (Config{Path: []string{"-"}}).Check(t.Context(), sources.Env{}); len(got) != 0 {
		t.Errorf("standard input: %+v", got)
	}
}
