package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile is a file that wants to cost a lot.
type hostile struct {
	name, text string
	want       Code
}

func hostiles() []hostile {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	stairs := ""
	for i := range 1400 {
		stairs += strings.Repeat(" ", i) + "a:\n"
	}
	return []hostile{
		{"alias bomb", bomb, CodeTooLarge},
		{"alias bomb under x-", "x-bomb:\n  " + strings.ReplaceAll(bomb, "\n", "\n  ") + "\npipelines: *a9\n", CodeTooLarge},
		{"brackets", strings.Repeat("[", 100_000), CodeTooLarge},
		{"brackets below the line bound", strings.Repeat("[", 39_000), ""},
		{"braces", strings.Repeat("{a: ", 200_000), ""},
		{"closed brackets", strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000), CodeTooLarge},
		{"dashes", strings.Repeat("- ", 500_000), ""},
		{"question marks", strings.Repeat("? ", 500_000), ""},
		{"items", strings.Repeat("- a\n", 260_000), CodeTooLarge},
		{"flow items", "[" + strings.Repeat("a,", 500_000) + "]", CodeTooLarge},
		{"keys", strings.Repeat("k: v\n", 200_000), CodeTooLarge},
		{"keys below the sign bound", strings.Repeat("k: v\n", 29_000), CodeTooLarge},
		{"stairs", stairs, CodeTooLarge},
		{"2 MiB", "a: " + strings.Repeat("x", 2<<20), CodeTooLarge},
		{"bangs", "a: " + strings.Repeat("!", 1_000_000), ""},
		{"bangs below the line bound", "a: " + strings.Repeat("!", 60_000), ""},
		{"a key below the line bound", strings.Repeat("a", 60_000) + ": b", ""},
		{"a long key", strings.Repeat("a", 1_000_000) + ": b", ""},
		{"quotes", strings.Repeat("\"", 1_000_000), ""},
		{"odd quotes, one a line", strings.Repeat("a: \"\n", 9_999), ""},
		{"traps, one a line", strings.Repeat("- filter: 'a' == b\n", 9_000), ""},
		{"a million letters in lines", "a: |\n" + strings.Repeat("  "+strings.Repeat("x", 60_000)+"\n", 17), ""},
		{"a tag on each line", strings.Repeat("- !t a\n", 30_000), ""},
		{"comments", strings.Repeat("# x\n", 260_000), ""},
		{"an expression of parentheses", "pipelines: { p: { source: { file: { path: x } }, steps: [ { filter: '" + strings.Repeat("(", 60_000) + "' } ] } }", CodeExpressionCost},
		{"a template of braces", "pipelines: { p: { source: { file: { path: x } }, steps: [ { append: { stream: '" + strings.Repeat("{{", 19_000) + "' } } ] } }", ""},
		{"a pattern of brackets", "pipelines: { p: { source: { file: { path: x } }, steps: [ { match: '" + strings.Repeat("{\"a\":", 9_000) + "' } ] } }", CodePattern},
		{"placeholders", "pipelines: { p: { source: { file: { path: '" + strings.Repeat("${X}", 9_000) + "' } } } }", CodeInterpolation},
	}
}

// TestHostileFiles refuses each file in moments and with little memory, whatever its size.
func TestHostileFiles(t *testing.T) {
	for _, tt := range hostiles() {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, ds := LoadBytes("hostile.yaml", []byte(tt.text), Options{Env: testEnv})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if !ds.HasErrors() {
				t.Fatal("it was taken")
			}
			// Far above what it takes (below 50 ms, see BenchmarkHostile): what runs away takes minutes.
			if limit := time.Minute; took > limit {
				t.Errorf("it took %v", took)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 64 {
				t.Errorf("it took %d MiB", grown)
			}
			if tt.want != "" && !hasCode(ds, tt.want) {
				t.Errorf("no %s in %v", tt.want, ds.Err())
			}
			for i := range ds {
				if n := len(ds[i].Text(false)); n > 4096 {
					t.Errorf("a message has %d bytes", n)
				}
			}
			if len(ds) > 200 {
				t.Errorf("%d messages", len(ds))
			}
		})
	}
}

func hasCode(ds Diagnostics, c Code) bool {
	for i := range ds {
		if ds[i].Code == c {
			return true
		}
	}
	return false
}

// TestFilesThatAreNoConfig says in words why a file cannot be read.
func TestFilesThatAreNoConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	write("pipeline.yaml", "pipelines: {}\n")
	for _, tt := range []struct {
		name, file, want string
	}{
		{"missing", filepath.Join(dir, "pipelin.yaml"), `there is no such file`},
		{"missing, but near", filepath.Join(dir, "pipelin.yaml"), `did you mean "pipeline.yaml"?`},
		{"an empty directory", empty, "holds no .yaml or .yml file"},
		{"UTF-16, little end first", write("le.yaml", "\xff\xfep\x00i\x00"), "UTF-16: save it as UTF-8"},
		{"UTF-16 without a mark", write("nomark.yaml", "p\x00i\x00p\x00e\x00"), "UTF-16: save it as UTF-8"},
		{"binary", write("bin.yaml", "\x7fELF\x02\x01\x01\x00\x00"), "control character (U+007F)"},
		{"zero bytes", write("zero.yaml", "ab: \x00\x00"), "binary: it holds a zero byte"},
		{"Latin-1", write("latin.yaml", "name: caf\xe9\n"), "not UTF-8: byte 0xe9"},
		{"an escape sequence", write("esc.yaml", "a: \x1b[31m\n"), "control character (U+001B)"},
		{"empty", write("nothing.yaml", ""), "the file is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, ds := Load([]string{tt.file}, Options{Env: testEnv})
			if ds.Err() == nil || !strings.Contains(ds.Err().Error(), tt.want) {
				t.Errorf("got %v, want %q", ds.Err(), tt.want)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		_, ds := Load([]string{"x.yaml"}, Options{ReadFile: func(n string) ([]byte, error) {
			return nil, &fs.PathError{Op: "open", Path: n, Err: fs.ErrPermission}
		}})
		if ds.Err() == nil || !strings.Contains(ds.Err().Error(), "cannot be read: permission denied") {
			t.Error(ds.Err())
		}
	})
	t.Run("without an end", func(t *testing.T) {
		if _, err := os.Stat("/dev/zero"); err != nil && runtime.GOOS == "windows" {
			t.Skip("there is no /dev/zero here")
		}
		_, ds := Load([]string{"/dev/zero"}, Options{Env: testEnv})
		if !hasCode(ds, CodeTooLarge) {
			t.Error(ds.Err())
		}
		_, ds = LoadBytes("f", []byte("pipelines: { p: { source: { file: { path: '${file:/dev/zero}' } } } }"), Options{Env: testEnv})
		if !hasCode(ds, CodeInterpolation) {
			t.Error(ds.Err())
		}
	})
	t.Run("twice", func(t *testing.T) {
		f := filepath.Join(dir, "pipeline.yaml")
		_, ds := Load([]string{f, dir + "/./pipeline.yaml"}, Options{Env: testEnv})
		if ds.Err() == nil || !strings.Contains(ds.Err().Error(), "given twice") {
			t.Error(ds.Err())
		}
	})
}

// TestFilesOfOtherEditors loads what other systems make of a text file.
func TestFilesOfOtherEditors(t *testing.T) {
	good, err := os.ReadFile("testdata/good/keep-big.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(good), "data.amount", "daat.amount", 1)
	for name, change := range map[string]func(string) string{
		"byte order mark":    func(s string) string { return "\ufeff" + s },
		"CRLF":               func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"CR":                 func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"no line at the end": func(s string) string { return strings.TrimSuffix(s, "\n") },
		"document marks":     func(s string) string { return "%YAML 1.1\n---\n" + s + "...\n" },
	} {
		t.Run(name, func(t *testing.T) {
			if _, ds := LoadBytes("f", []byte(change(string(good))), Options{Env: testEnv}); len(ds) > 0 {
				t.Error(ds[0].Text(false))
			}
			_, ds := LoadBytes("f", []byte(change(bad)), Options{Env: testEnv})
			if len(ds) != 1 || ds[0].Col != 43 || !strings.Contains(ds[0].Text(false), "^^^^") {
				t.Errorf("%+v", ds)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.yml":     "tables: { t: {} }\n",
		"a.yaml":    "pipelines:\n  p:\n    source: { file: { path: x } }\n    steps:\n      - append: { stream: 'a/{{ id }}' }\n      - project: { table: t, key: { id: id }, set: { n: 1 } }\n",
		"notes.txt": "not: [yaml",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, ds := Load([]string{dir}, Options{Env: testEnv})
	if len(ds) > 0 {
		t.Fatal(ds[0].Text(false))
	}
	if len(cfg.Files) != 2 || filepath.Base(cfg.Files[0]) != "a.yaml" || len(cfg.Pipelines) != 1 || cfg.Tables["t"] == nil {
		t.Errorf("%+v", cfg)
	}
}
