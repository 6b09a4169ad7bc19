package config

import (
	"os"
	"path/filepath"
	"testing"
)

// testEnv is the environment of the tests.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"IN": "in.ndjson", "OUT": "out.ndjson", "DATABASE_URL": "postgres://u:hunter2secret@db/leat",
		"EMPTY": "", "TYPE": "OrderCreated", "NUMBER": "7", "TOKEN": "s3cr3t-token", "EVIL": "x\"}}\nsources: {{ data.x }} \\", "WORD": "seven",
	}[name]
	return v, ok
}

func TestGoodFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no good files", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, ds := LoadBytes(f, b, Options{Env: testEnv})
			for i := range ds {
				t.Error(ds[i].Text(false))
			}
		})
	}
}

// Who waits for changes is told of schemas too.
func TestSchemasAreSeen(t *testing.T) {
	seen := map[string]bool{}
	folders := map[string]bool{}
	_, ds := Load([]string{"testdata/good/full.yaml"}, Options{Env: testEnv, SeenFolder: func(name string) { folders[name] = true }, Seen: func(name string, content []byte, err error) {
		seen[name] = len(content) > 0 && err == nil
	}})
	if ds.HasErrors() || !folders["testdata/good/schemas/shop"] || !seen["testdata/good/full.yaml"] {
		t.Errorf("%v, %v, %v", ds, seen, folders)
	}
}
