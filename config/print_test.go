package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bare takes away what printing cannot keep: places, secrets, parts kept as they stand.
var bare = cmp.Options{
	cmp.FilterPath(func(p cmp.Path) bool {
		switch p.Last().Type() {
		case reflect.TypeFor[Pos](), reflect.TypeFor[Secret](), reflect.TypeFor[[]Raw](), reflect.TypeFor[map[string]Raw]():
			return true
		}
		return p.Last().String() == ".Files" || p.Last().String() == ".noEnv"
	}, cmp.Ignore()),
}

func TestPrintLoadsToTheSameConfig(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.yaml")
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			cfg, ds := LoadBytes(f, b, Options{Env: testEnv})
			if ds.HasErrors() {
				t.Fatal(ds.Err())
			}
			printed := Print(cfg)
			if s := string(printed); strings.Contains(s, "hunter2") || strings.Contains(s, "s3cr3t") {
				t.Errorf("a secret is printed:\n%s", s)
			}
			again, ds := LoadBytes("testdata/good/printed.yaml", printed, Options{Env: func(string) (string, bool) { return "", false }})
			if ds.HasErrors() {
				t.Fatalf("%v\n%s", ds.Err(), printed)
			}
			// JSON patterns come back with other white space.
			compact := cmp.Transformer("pattern", func(p Pattern) string {
				return strings.Join(strings.Fields(string(p.JSON)), "")
			})
			if diff := cmp.Diff(cfg, again, bare, compact, cmp.AllowUnexported(Config{})); diff != "" {
				t.Errorf("-loaded +printed and loaded\n%s\n%s", diff, printed)
			}
		})
	}
}

func TestPrintKeepsPlaceholdersWithoutEnvironment(t *testing.T) {
	b, err := os.ReadFile("testdata/good/keep-big.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, ds := LoadBytes("keep-big.yaml", b, Options{NoEnv: true})
	if ds.HasErrors() {
		t.Fatal(ds.Err())
	}
	if s := string(Print(cfg)); !strings.Contains(s, `"${IN}"`) || !strings.Contains(s, `"${OUT}"`) {
		t.Errorf("the placeholders are gone:\n%s", s)
	}
}
