package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
)

func TestCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	look := func(dir string) ([]check.Finding, string) {
		found := Settings{Dir: dir}.Check(t.Context(), eventstore.Env{})
		var words []string
		for _, f := range found {
			words = append(words, f.What)
		}
		return found, strings.Join(words, "\n")
	}
	if found, words := look(dir); check.Worst(found) != check.OK || !strings.Contains(words, "the first run makes it") {
		t.Errorf("no directory yet: %s", words)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the check made the directory")
	}
	st, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if found, words := look(dir); check.Worst(found) != check.OK || !strings.Contains(words, "holds 0 events") {
		t.Errorf("beside a process that writes: %s", words)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, File), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, words := look(dir); check.Worst(found) != check.Warning || !strings.Contains(words, "everybody on this machine can read") {
		t.Errorf("readable for all: %s", words)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte("no database, but long enough to look at"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, words := look(dir); check.Worst(found) != check.Problem || !strings.Contains(words, "no SQLite file") {
		t.Errorf("something else there: %s", words)
	}
}
