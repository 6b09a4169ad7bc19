package file

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sinks"
)

func TestCheckMakesNothing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]check.Severity{
		filepath.Join(dir, "out.ndjson"):         check.OK,
		filepath.Join(dir, "none", "out.ndjson"): check.Problem,
	} {
		if got := (Config{Path: path}).Check(t.Context(), sinks.Env{}); got[0].Severity != want {
			t.Errorf("%s: %+v, want %s", path, got, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the check left %v behind (%v)", entries, err)
	}
}
