package config

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestTagsThatSayNothingSensible panics at the first look at a struct, with its name.
func TestTagsThatSayNothingSensible(t *testing.T) {
	for want, v := range map[string]any{
		"expressions cannot see": struct {
			A Expr `yaml:"a" sees:"moon"`
		}{},
		"cannot give": struct {
			A Expr `yaml:"a" want:"moon"`
		}{},
		"two fields": struct {
			A string `yaml:"a"`
			B string `yaml:"a"`
		}{},
		"cannot be decoded": struct {
			A chan int `yaml:"a"`
		}{},
		"type map[int]string": struct {
			A map[int]string `yaml:"a"`
		}{},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, want) || !strings.HasPrefix(p, "config: ") {
					t.Errorf("%q", p)
				}
			}()
			structureOf(reflect.TypeOf(v))
		})
	}
}

func TestDefaultThatItsFieldDoesNotTakePanics(t *testing.T) {
	type wrong struct {
		A time.Duration `yaml:"a" default:"soon"`
	}
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "wrong.a") {
			t.Errorf("%q", p)
		}
	}()
	newLoader(Options{}).defaults(reflect.New(reflect.TypeFor[wrong]()).Elem())
}

func TestDefaultsFromTheEnvironment(t *testing.T) {
	text := []byte("pipelines:\n  p:\n    source: { file: { path: x } }\n    steps: [ { forward: { stdout: {} } } ]\n")
	for value, want := range map[string]string{"": "./data", "/srv/leat": "/srv/leat"} {
		cfg, ds := LoadBytes("f", text, Options{Env: func(n string) (string, bool) { return value, n == "LEAT_DATA" && value != "" }})
		if ds.HasErrors() || cfg.Stores["main"].Config.(sqliteStore).Dir != want {
			t.Errorf("%v %+v", ds.Err(), cfg.Stores)
		}
	}
	_, ds := LoadBytes("f", text, Options{Env: func(n string) (string, bool) { return "\xff", true }})
	if err := ds.Err(); err == nil || !strings.Contains(err.Error(), "LEAT_DATA is not UTF-8") {
		t.Error(err)
	}
}

// TestTextualFields decodes types that read themselves from text, and numbers of all sizes.
func TestFieldTypes(t *testing.T) {
	type all struct {
		Level slog.Level     `yaml:"level,omitempty" default:"INFO"`
		Time  time.Time      `yaml:"time,omitempty"`
		I8    int8           `yaml:"i8,omitempty" min:"-128"`
		U16   uint16         `yaml:"u16,omitempty"`
		F32   float32        `yaml:"f32,omitempty" min:"-1"`
		Words []string       `yaml:"words,omitempty"`
		Pairs map[string]int `yaml:"pairs,omitempty"`
		Inner []struct {
			A string `yaml:"a"`
		} `yaml:"inner,omitempty"`
		Sinks map[string]Plugin `yaml:"sinks,omitempty" plugin:"sink"`
	}
	decode := func(text string) (all, Diagnostics) {
		l := newLoader(Options{Env: testEnv})
		f := newSource("f", text)
		var v all
		rv := reflect.ValueOf(&v).Elem()
		l.defaults(rv)
		c := scope{l: l, f: f, roots: everything, limit: everything}
		entries, _ := c.entries(l.parse(f))
		object{scope: c, what: "all", node: l.parse(f), v: rv}.decode(entries)
		return v, l.diags
	}
	v, ds := decode(`{level: warn, time: 2026-01-31T00:00:00Z, i8: -128, u16: 65535, f32: -0.5, words: one, pairs: {a: 1}, inner: [{a: x}], sinks: {s: {stdout: {}}}}`)
	if len(ds) > 0 {
		t.Fatal(ds[0].Message)
	}
	if v.Level != slog.LevelWarn || v.Time.Year() != 2026 || v.I8 != -128 || v.U16 != 65535 || v.F32 != -0.5 || v.Words[0] != "one" || v.Pairs["a"] != 1 || v.Inner[0].A != "x" || v.Sinks["s"].Name != "stdout" {
		t.Errorf("%+v", v)
	}
	_, ds = decode(`{level: loud, time: noon, i8: 128, u16: -1, f32: .inf, words: {a: b}, pairs: {a: b}, inner: [{b: x}], sinks: {s: {}}}`)
	var got []string
	for _, d := range ds {
		got = append(got, d.Path+" "+string(d.Code))
	}
	want := "level bad_value|time bad_value|i8 wrong_type|u16 wrong_type|f32 wrong_type|words wrong_type|pairs.a wrong_type|inner[0].b unknown_field|inner[0] missing_field|sinks.s no_plugin"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
