package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

func interpolated(t *testing.T, s string, m mode, env map[string]string) (string, Diagnostics) {
	t.Helper()
	l := newLoader(Options{
		Env:      func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		ReadFile: func(n string) ([]byte, error) { return []byte("content of " + n + "\n"), nil },
	})
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: 1, Column: 1, Style: yaml.DoubleQuotedStyle}
	q, _ := json.Marshal(s)
	c := scope{l: l, f: newSource("f", string(q))}
	x, _ := c.interpolate(n, m)
	return x.s, l.diags
}

func TestInterpolate(t *testing.T) {
	env := map[string]string{"A": "alpha", "EMPTY": "", "Q": `say "hi" \ 'yo'`, "NL": "a\nb", "B": "{{ data.x }}", "OPEN": "{ data.x }}"}
	for _, tt := range []struct {
		in   string
		mode mode
		want string
	}{
		{"no placeholder $ {A} $A", asText, "no placeholder $ {A} $A"},
		{"${A}", asText, "alpha"},
		{"<${A}${A}>", asText, "<alphaalpha>"},
		{"$${A}", asText, "${A}"},
		{"$${A} ${A}", asText, "${A} alpha"},
		{"$$${A}", asText, "$${A}"},
		{"${X:-d}", asText, "d"},
		{"${EMPTY:-d}", asText, "d"},
		{"${EMPTY}", asText, ""},
		{"${X:-}", asText, ""},
		{"${X:-a:b-c?d}", asText, "a:b-c?d"},
		{"${A:?must be}", asText, "alpha"},
		{"${file:/run/x}", asText, "content of /run/x"},
		{"type == ${A}", asExpr, `type == "alpha"`},
		{"type == ${Q}", asExpr, `type == "say \"hi\" \\ 'yo'"`},
		{`type == "x-${A}-y"`, asExpr, `type == "x-alpha-y"`},
		{`type == "${Q}"`, asExpr, `type == "say \"hi\" \\ 'yo'"`},
		{`type == '${Q}'`, asExpr, `type == 'say "hi" \\ \'yo\''`},
		{"type == `${A}`", asExpr, "type == `alpha`"},
		{"type == ${NL}", asExpr, `type == "a\nb"`},
		{"type /* ${A} */ == 1", asExpr, "type /*  */ == 1"},
		{"x/${A}", asTemplate, "x/alpha"},
		{"x/{{ ${A} }}", asTemplate, `x/{{ "alpha" }}`},
		{`x/{{ "${Q}" }}/${A}`, asTemplate, `x/{{ "say \"hi\" \\ 'yo'" }}/alpha`},
		{"x/${B}", asTemplate, `x/\{{ data.x }}`},
		{`{"a": ["${Q}"]}`, asJSON, `{"a": ["say \"hi\" \\ 'yo'"]}`},
		{`{{ {"a": {"b": 1}}["a"] }} ${A} {{ {"a": {"b": ${A}}} }}`, asTemplate, `{{ {"a": {"b": 1}}["a"] }} alpha {{ {"a": {"b": "alpha"}} }}`},
		{`{"a": [${A}]}`, asJSON, `{"a": ["alpha"]}`},
	} {
		t.Run(tt.in, func(t *testing.T) {
			got, ds := interpolated(t, tt.in, tt.mode, env)
			if len(ds) > 0 {
				t.Fatal(ds[0].Message)
			}
			if got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
	for _, in := range []string{"{${OPEN}"} {
		if got, ds := interpolated(t, in, asTemplate, env); len(ds) == 0 {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// TestValuesInjectNothing puts values that try to get out of their place into every kind of field, and evaluates it.
func TestValuesInjectNothing(t *testing.T) {
	values := []string{
		`"`, `'`, "`", `\`, `\"`, "\n", `" || true || "`, `' || true || '`, "` || true || `", `*/ true /*`, "// x", `x" }} {{ "y`,
		"{{ 1 }}", "}}", "{{", "{", "}", `\{{`, "${A}", "$${A}", "\u2028", "\x01", "\r\n", "a: b # c", "- x", "!x", "&x *x", `\u0022`, `"}`, "\\",
	}
	for _, v := range values {
		injectsNothing(t, v)
	}
}

// FuzzValues is TestValuesInjectNothing with values of all kinds.
func FuzzValues(f *testing.F) {
	for _, v := range []string{`" || true || "`, "{{ 1 }}", `\\"'`, "`}}{{"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if utf8.ValidString(v) && len(v) < 1000 {
			injectsNothing(t, v)
		}
	})
}

// injectsNothing puts a value into each kind of field, and wants it back as it is: as text, and nothing else of it.
func injectsNothing(t *testing.T, v string) {
	t.Helper()
	for _, around := range []struct{ text, want string }{
		{`"=" + ${A}`, "=" + v}, {`"=${A}"`, "=" + v}, {`'=${A}'`, "=" + v}, {`/* ${A} */ "="`, "="},
		{"`=` + \"${A}\"", "=" + v}, {`[${A}, ""][0]`, v},
	} {
		src, ds := interpolated(t, around.text, asExpr, map[string]string{"A": v})
		if len(ds) > 0 {
			continue // refused in words is fine too
		}
		got, err := evaluate(src)
		if err != nil || got != around.want {
			t.Errorf("%q in %s: %s gives %q, %v", v, around.text, src, got, err)
		}
	}
	for _, around := range []struct{ text, want string }{
		{"x/${A}", "x/" + v}, {"${A}/x", v + "/x"}, {`x/{{ ${A} }}`, "x/" + v}, {`x/{{ "${A}" }}/${A}`, "x/" + v + "/" + v},
		{"{${A}", "{" + v}, {"${A}{", v + "{"}, {`\${A}`, `\` + v}, {"${A}${A}", v + v}, {`${A}{{ "k" }}`, v + "k"},
		{`{{ {"a": {"b": ${A}}}.a.b }}`, v}, {`{{ {"a": {"b": 1}}.a.b }}${A}`, "1" + v},
	} {
		src, ds := interpolated(t, around.text, asTemplate, map[string]string{"A": v})
		if len(ds) > 0 {
			continue
		}
		s := filter.NewScope(filter.Event)
		p, err := s.Template(src)
		if err != nil {
			t.Errorf("%q in %s: %s: %v", v, around.text, src, err)
			continue
		}
		view := s.NewView()
		view.Reset(&event.Recorded{Event: event.Event{Data: []byte(`{"x":"INJECTED"}`)}})
		if got, err := p.Text(view); err != nil || got != around.want {
			t.Errorf("%q in %s: %s gives %q, %v, want %q", v, around.text, src, got, err, around.want)
		}
	}
	src, ds := interpolated(t, `{"a": ["${A}", ${A}]}`, asJSON, map[string]string{"A": v})
	var out struct{ A []string }
	if err := json.Unmarshal([]byte(src), &out); len(ds) == 0 && (err != nil || out.A[0] != v || out.A[1] != v) {
		t.Errorf("%q in JSON: %s, %v", v, src, err)
	}
}

func evaluate(src string) (any, error) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile(src, filter.Any)
	if err != nil {
		return nil, err
	}
	v := s.NewView()
	v.Reset(&event.Recorded{})
	return p.Value(v)
}

func TestValuesAreTypedByTheirField(t *testing.T) {
	text := `pipelines:
  p:
    source: { file: { path: "${P}", follow: "${F}" } }
    steps:
      - forward: { webhook: { url: "https://x/${P}", timeout: "${D}", max: "${S}", ratio: "${R}", single: "${F}" } }
    retry: { attempts: "${N}" }
    poison: { hold: "${H}" }
`
	env := map[string]string{"P": "no", "F": "true", "D": "1m", "S": "2KiB", "R": "0.25", "N": "9", "H": "none"}
	cfg, ds := LoadBytes("f", []byte(text), Options{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	if len(ds) > 0 {
		t.Fatal(ds[0].Text(false))
	}
	p := cfg.Pipelines[0]
	src, sink := p.Source.Plugin.Config.(fileSource), p.Steps[0].Forward.Sink.Config.(webhookSink)
	if src.Path[0] != "no" || !src.Follow || sink.Timeout.Minutes() != 1 || sink.Max != 2048 || sink.Ratio != 0.25 || !sink.Single || p.Retry.Attempts != 9 || p.Poison.Hold != "none" {
		t.Errorf("%+v %+v %+v", src, sink, p)
	}
}

func TestEnvFile(t *testing.T) {
	dir := t.TempDir()
	env := filepath.Join(dir, "env")
	if err := os.WriteFile(env, []byte("# words\n\nIN=from-file\nexport OUT=\"out put\"\nX='a=b'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := []byte("pipelines:\n  p:\n    source: { file: { path: ['${IN}', '${OUT}', '${X}', '${TYPE}'] } }\n    steps: [ { forward: { stdout: {} } } ]\n")
	cfg, ds := LoadBytes("f", text, Options{Env: testEnv, EnvFile: env})
	if len(ds) > 0 {
		t.Fatal(ds[0].Text(false))
	}
	if got := strings.Join(cfg.Pipelines[0].Source.Plugin.Config.(fileSource).Path, "|"); got != "from-file|out put|a=b|OrderCreated" {
		t.Error(got)
	}
	if err := os.WriteFile(env, []byte("IN=x\ns3cr3t without a name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ds = LoadBytes("f", text, Options{Env: testEnv, EnvFile: env})
	if err := ds.Err(); err == nil || !strings.Contains(err.Error(), "env:2:1") || strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
	_, ds = LoadBytes("f", text, Options{Env: testEnv, EnvFile: filepath.Join(dir, "none")})
	if err := ds.Err(); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Error(err)
	}
}

// TestSecretsStaySecret looks for a secret in everything that a config says of itself, good or bad.
func TestSecretsStaySecret(t *testing.T) {
	const canary = "c4n4ry-v4lue"
	step := func(body string) string {
		return "pipelines:\n  p:\n    source: { file: { path: x } }\n    steps:\n      - forward: { webhook: { " + body + " } }\n"
	}
	for i, text := range []string{
		step("url: 'https://x', token: " + canary),
		step("url: 'https://x', token: '" + canary + "', singel: 1"),
		step("url: 'https://x', token: [" + canary + "]"),
		step("url: 'https://x', token: { a: " + canary + " }"),
		step("url: 'https://x', tokken: " + canary),
		step("url: nowhere, token: ${C}, timeout: ${C}"),
		step("url: 'https://x', token: '${file:c}', ratio: '${file:c}', single: '${file:c}', max: '${file:c}', timeout: '${file:c}'"),
		step("url: 'https://x', token: " + canary + ", token: " + canary),
		step("url: 'https://x', token: " + canary + ", headers: [ x"),
		step("url: 'https://x', token: @" + canary),
		step("url: 'https://x', token: \"" + canary),
		step("url: 'https://x', token: !" + canary),
		step("url: 'https://x', token: ${NOPE:?" + "set it}, ratio: many"),
		"stores:\n  main:\n    postgres:\n      dsn: |\n        " + canary + "\n        " + canary + "\n      dns: 1\n",
		"stores: { main: { postgres: { password: " + canary + " } } }\n",
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			cfg, ds := LoadBytes("f", []byte(text), Options{
				Env:      func(n string) (string, bool) { return canary, n == "C" },
				ReadFile: func(n string) ([]byte, error) { return []byte(canary), nil },
			})
			said, err := json.Marshal(ds)
			if err != nil {
				t.Fatal(err)
			}
			all := string(said) + string(Print(cfg))
			for i := range ds {
				all += ds[i].Text(true)
			}
			if err := ds.Err(); err != nil {
				all += err.Error()
				var le *LoadError
				if !errors.As(err, &le) {
					t.Errorf("%T", err)
				}
			}
			if strings.Contains(all, canary) {
				t.Errorf("the secret is in\n%s", all)
			}
		})
	}
}
