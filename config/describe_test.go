package config

import (
	"strings"
	"testing"
)

// Every subject has an example, and it loads without a word.
func TestExamplesLoad(t *testing.T) {
	for _, kind := range SubjectKinds {
		for _, s := range Subjects(kind) {
			t.Run(kind+" "+s.Name, func(t *testing.T) {
				got, err := Describe(kind, s.Name)
				if err != nil {
					t.Fatal(err)
				}
				if got.Example == "" {
					t.Fatal("has no example: give its required fields an example tag, or write one in examples.go")
				}
				if !strings.Contains(got.Example, s.Name) && kind != "frame" {
					t.Errorf("the example does not name it:\n%s", got.Example)
				}
				_, ds := LoadBytes("example", []byte(got.Example), Options{NoEnv: true})
				for i := range ds {
					t.Errorf("%s", ds[i].Text(false))
				}
			})
		}
	}
	for name := range examples {
		kind, name, _ := strings.Cut(name, " ")
		if _, err := Describe(kind, name); err != nil {
			t.Errorf("examples.go shows what is not there: %v", err)
		}
	}
}

func TestDescribeNames(t *testing.T) {
	for _, tt := range []struct {
		kind, name string
		want       string // of the error; empty: it is found
	}{
		{"source", "sqs", ""},
		{"", "webhook", ""},
		{"", "file", "file is source file and sink file and frame file: say which"},
		{"sink", "webhok", `did you mean "webhook"?`},
		{"step", "nonsense", "there are append, branch"},
		{"", "xyzzy", "leat list names them"},
		{"source", "webhook", `no source is called "webhook"`},
	} {
		got, err := Describe(tt.kind, tt.name)
		switch {
		case tt.want == "" && (err != nil || got.Name != tt.name):
			t.Errorf("Describe(%q, %q) = %+v, %v", tt.kind, tt.name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Describe(%q, %q): %v, want %q", tt.kind, tt.name, err, tt.want)
		}
	}
}

func TestDescribeFields(t *testing.T) {
	s, err := Describe("sink", "webhook")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]FieldDoc{}
	for _, f := range s.Fields {
		by[f.Name] = f
	}
	if f := by["url"]; !f.Required || f.Example != "https://example.com/events" || f.Value != "text" {
		t.Errorf("url: %+v", f)
	}
	if f := by["timeout"]; f.Default != "10s" || f.Value != "duration" || f.Limits() != "at least 1ms" {
		t.Errorf("timeout: %+v", f)
	}
	if f := by["proxy.port"]; f.Default != "3128" || f.Value != "number" {
		t.Errorf("proxy.port: %+v", f)
	}
	if f := by["ratio"]; f.Limits() != "at most 1" {
		t.Errorf("ratio: %+v", f)
	}
}

// A starter loads as it stands, with nothing in the environment, and writes no secret down.
func TestStarters(t *testing.T) {
	for _, kind := range []Kind{KindSource, KindSink, KindStore} {
		for _, p := range Plugins(kind) {
			got, err := Starter(kind, p.Name)
			if err != nil || !strings.HasPrefix(got, p.Name+":") {
				t.Errorf("%s %s: %q, %v", kind, p.Name, got, err)
			}
		}
	}
	if got, err := Starter(KindStore, "postgres"); err != nil || !strings.Contains(got, "${POSTGRES_DSN:-change-me}") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Starter(KindSink, "fiel"); err == nil || !strings.Contains(err.Error(), `did you mean "file"`) {
		t.Errorf("%v", err)
	}
}
