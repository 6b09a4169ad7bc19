package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad holds that Load never panics, that each mistake has a place in the file and a text, and that what loads also
// loads when it is printed.
func FuzzLoad(f *testing.F) {
	names, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, name := range names {
		if a, err := txtar.ParseFile(name); err == nil {
			f.Add(string(a.Files[0].Data))
		}
	}
	names, _ = filepath.Glob("testdata/good/*.yaml")
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(string(b))
		}
	}
	none := func(string) (string, bool) { return "", false }
	f.Fuzz(func(t *testing.T, text string) {
		cfg, ds := LoadBytes("fuzz.yaml", []byte(text), Options{Env: testEnv, ReadFile: func(string) ([]byte, error) { return []byte("x"), nil }})
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + strings.Count(text, "\u0085") + 1
		for i := range ds {
			d := &ds[i]
			switch {
			case d.Message == "" || d.Code == "" || d.File != "fuzz.yaml":
				t.Errorf("an empty diagnostic: %+v", d)
			case d.Line < 0 || d.Line > lines:
				t.Errorf("line %d of %d: %+v", d.Line, lines, d)
			case d.Line > 0 && (d.Col < 1 || d.EndCol <= d.Col):
				t.Errorf("columns: %+v", d)
			case !utf8.ValidString(d.Text(true)):
				t.Errorf("no UTF-8: %q", d.Text(true))
			}
		}
		printed := Print(cfg)
		if ds.HasErrors() {
			return
		}
		again, ds := LoadBytes("printed.yaml", printed, Options{Env: none})
		if ds.HasErrors() {
			t.Fatalf("%v\nprinted:\n%s\nfrom:\n%s", ds.Err(), printed, text)
		}
		if twice := Print(again); string(twice) != string(printed) {
			t.Errorf("printed:\n%s\nprinted again:\n%s", printed, twice)
		}
	})
}
