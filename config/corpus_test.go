package config

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected texts of testdata/bad")

// TestCorpus loads each testdata/bad/*.txtar: its files are the config, `want` is what Load must say of it. A line
// `noenv` in the comment loads it without an environment.
func TestCorpus(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 80 {
		t.Fatalf("only %d fixtures", len(names))
	}
	seen := map[Code]bool{}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			content := map[string][]byte{}
			var files []string
			want := -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				content[f.Name] = f.Data
				if strings.HasSuffix(f.Name, ".yaml") {
					files = append(files, f.Name)
				}
			}
			o := Options{Env: testEnv, NoEnv: strings.Contains(string(a.Comment), "noenv\n"), ReadFile: func(n string) ([]byte, error) {
				if b, ok := content[n]; ok {
					return b, nil
				}
				return nil, &fs.PathError{Op: "open", Path: n, Err: fs.ErrNotExist}
			}, Folder: func(n string) fs.FS {
				dir := fstest.MapFS{}
				for name, b := range content {
					if rest, in := strings.CutPrefix(name, n+"/"); in {
						dir[rest] = &fstest.MapFile{Data: b}
					}
				}
				if len(dir) == 0 {
					return os.DirFS("testdata/none")
				}
				return dir
			}}
			_, ds := Load(files, o)
			var got strings.Builder
			for i := range ds {
				seen[ds[i].Code] = true
				got.WriteString(ds[i].Text(false))
			}
			if len(ds) == 0 {
				t.Error("nothing was found wrong")
			}
			if strings.Contains(got.String(), "s3cr3t") {
				t.Error("a secret is shown")
			}
			if *update {
				data := txtar.File{Name: "want", Data: []byte(got.String())}
				if want < 0 {
					a.Files = append(a.Files, data)
				} else {
					a.Files[want] = data
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want < 0 {
				t.Fatal("the fixture has no want: run with -update")
			}
			if diff := cmp.Diff(string(a.Files[want].Data), got.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	for _, c := range Codes {
		if !seen[c.Code] && c.Code != CodeFile && c.Code != CodeTooLarge {
			t.Errorf("no fixture shows the code %s", c.Code)
		}
	}
}
