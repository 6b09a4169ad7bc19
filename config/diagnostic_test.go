package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTextForm is the form that the design shows, to the letter.
func TestTextForm(t *testing.T) {
	text := "pipelines:\n  orders:\n    source: { sqs: {\n      queu: orders } }\n    steps: [ { forward: { stdout: {} } } ]\n"
	_, ds := LoadBytes("orders.yaml", []byte(text), Options{Env: testEnv})
	want := `orders.yaml:4:7: error[unknown_field]: source sqs has no field "queu"
  4 |       queu: orders } }
    |       ^^^^ did you mean "queue"?
`
	if len(ds) != 1 {
		t.Fatalf("%v", ds.Err())
	}
	if diff := cmp.Diff(want, ds[0].Text(false)); diff != "" {
		t.Error(diff)
	}
	if s := ds[0].Text(true); !strings.Contains(s, "\x1b[1;31merror[unknown_field]\x1b[0m") {
		t.Errorf("%q", s)
	}
}

func TestJSONForm(t *testing.T) {
	text := "pipelines:\n  orders:\n    source: { file: { path: x } }\n    steps:\n      - filter: daat.x\n    retry: {}\n    retry: {}\n"
	_, ds := LoadBytes("orders.yaml", []byte(text), Options{Env: testEnv})
	b, err := json.MarshalIndent(ds, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `[
 {
  "file": "orders.yaml",
  "line": 5,
  "col": 17,
  "end_col": 21,
  "path": "pipelines.orders.steps[0].filter",
  "code": "expression",
  "severity": "error",
  "message": "there is no name daat",
  "hint": "did you mean data.x?",
  "snippet": "      - filter: daat.x"
 },
 {
  "file": "orders.yaml",
  "line": 7,
  "col": 5,
  "end_col": 10,
  "path": "pipelines.orders.retry",
  "code": "duplicate_key",
  "severity": "error",
  "message": "the key \"retry\" stands here a second time",
  "snippet": "    retry: {}",
  "related": [
   {
    "file": "orders.yaml",
    "line": 6,
    "col": 5,
    "message": "first here"
   }
  ]
 }
]`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestErr(t *testing.T) {
	warning := Diagnostics{{File: "f", Severity: Warning, Code: CodeUnused, Message: "m"}}
	if err := warning.Err(); err != nil || warning.HasErrors() {
		t.Error(err)
	}
	both := append(warning, Diagnostic{File: "f", Severity: Error, Code: CodeFile, Message: "gone"})
	if e, w := both.Count(); e != 1 || w != 1 {
		t.Error(e, w)
	}
	if err := both.Err(); err == nil || err.Error() != "f: error[file]: gone" {
		t.Error(err)
	}
}

func TestCaretStandsUnderItsText(t *testing.T) {
	for _, tt := range []struct {
		line     string
		col, end int
		want     string
	}{
		{"ab cd", 4, 6, "   ^^"},
		{"\tab", 2, 4, "\t^^"},
		{"a\tb", 3, 4, " \t^"},
		{"日本 x", 4, 5, "     ^"},
		{"日本", 1, 3, "^^^^"},
		{"e\u0301x", 3, 4, " ^"},
		{"🙂 x", 3, 4, "   ^"},
		{"ab", 3, 4, "  ^"},
		{"ab", 9, 9, "        ^"},
	} {
		if got := pad(tt.line, tt.col) + carets(tt.line, tt.col, tt.end); got != tt.want {
			t.Errorf("%q %d-%d: %q, want %q", tt.line, tt.col, tt.end, got, tt.want)
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	line := strings.Repeat("a", 300) + "HERE" + strings.Repeat("b", 300)
	s, col, end := cut(line, 301, 305)
	if len([]rune(s)) > snippetWidth+2 || string([]rune(s)[col-1:end-1]) != "HERE" {
		t.Errorf("%q %d-%d", s, col, end)
	}
	s, col, end = cut(line, 600, 605)
	if r := []rune(s); col < 1 || end <= col || col > len(r) {
		t.Errorf("%q %d-%d", s, col, end)
	}
}

func TestMaskMovesTheCaret(t *testing.T) {
	s, col, end := mask("a: secret, b: x", []stretch{{1, 4, 10}}, 15, 16)
	if s != "a: ***, b: x" || s[col-1:end-1] != "x" {
		t.Errorf("%q %d-%d", s, col, end)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"queue", "order_by", "path", "eventbridge", "put_events", "from"}
	for name, want := range map[string]string{
		"queu": "queue", "queeu": "queue", "orderBy": "order_by", "order-by": "order_by", "ORDER_BY": "order_by", "form": "from",
		"eventbrigde": "eventbridge", "putevents": "put_events", "zzz": "", "": "", "x": "", "pth": "path", "visibility": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestCodesAreExplained(t *testing.T) {
	seen := map[Code]bool{}
	for _, c := range Codes {
		if seen[c.Code] || c.Doc == "" {
			t.Errorf("%s: listed twice, or without a word", c.Code)
		}
		seen[c.Code] = true
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for in, want := range map[string]string{"30s": "30s", "2d": "48h0m0s", "1d12h": "36h0m0s", "1h30m": "1h30m0s", "0": "0s", "1.5d": "36h0m0s", "100ms": "100ms"} {
		if d, err := parseDuration(in); err != nil || d.String() != want {
			t.Errorf("%s: %v %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", "30", "d", "1x", "1d2", "nand", "1e99d", "200000d"} {
		if d, err := parseDuration(in); err == nil {
			t.Errorf("%q is %v", in, d)
		}
	}
	for in, want := range map[string]string{"512": "512", "64KiB": "64KiB", "10MB": "10MB", "1.5KiB": "1536", "1 mib": "1MiB", "7b": "7", "0": "0", "1GiB": "1GiB", "2kB": "2KB"} {
		if s, err := parseSize(in); err != nil || s.String() != want {
			t.Errorf("%s: %v %v, want %s", in, s, err, want)
		}
	}
	for _, in := range []string{"", "64K", "x", "1.5", "1.2.3KB", "9e99GB", "KiB", "1KiBKiB"} {
		if s, err := parseSize(in); err == nil {
			t.Errorf("%q is %v", in, s)
		}
	}
}
