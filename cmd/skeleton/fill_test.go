package skeleton

import (
	"bytes"
	"go/format"
	"strings"
	"testing"
	"text/template"
)

func TestExpand(t *testing.T) {
	data := map[string]any{"Name": "n {{ x }}", "Empty": "", "Yes": true, "No": false, "Part": "a:\n  b\n"}
	for _, text := range []string{ // as text/template has it
		"", "plain\n", "{{.Name}}", "a {{.Name}} b {{.Empty}} c\n", `{ id: "{{"{{"}} data.id {{"}}"}}" }`,
		"x\n{{indent 4 .Part}}\ny\n",
		"a\n{{- if .Yes}}\nb\n{{- end}}\nc\n", "a\n{{- if .No}}\nb {{.Name}}\n{{- end}}\nc\n", "a\n{{- if .Empty}}\nb\n{{- else}}\nd\n{{- end}}\n",
		"a\n{{- if .Name}}\n\nb\n{{- else}}\nd\n{{- end}}\n",
	} {
		var want bytes.Buffer
		if err := template.Must(template.New("").Funcs(template.FuncMap{"indent": indent}).Parse(text)).Execute(&want, data); err != nil {
			t.Fatal(err)
		}
		if got, err := expand(text, data); err != nil || got != want.String() {
			t.Errorf("%q: %q, %v, want %q", text, got, err, &want)
		}
	}
	for text, want := range map[string]string{
		"a\n{{.Nobody}}":              `line 2: ".Nobody" is no text`,
		"{{.Yes}}":                    `line 1: ".Yes" is no text`,
		"{{.Name":                     "line 1: no end of {{",
		"{{indent x .Part}}":          `line 1: "indent x .Part"`,
		"{{- if .Nobody}}\n{{- end}}": "line 1: there is no Nobody",
		"{{- end}}":                   `line 1: "end" stands where it cannot`,
		"{{- if .Yes}}\n":             "a condition without its end",
		"{{- if .Yes}}\n{{- if .No}}": `line 2: "if .No" stands where it cannot`,
	} {
		if got, err := expand(text, data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %s", text, got, err, want)
		}
	}
}

// What is written is formatted, whatever it is called.
func TestFormatted(t *testing.T) {
	for _, kind := range []string{"source", "sink", "handler"} {
		for _, p := range []Plugin{
			{Kind: kind, Name: "my-own_x", Module: "example.com/zz", Leat: "v1.0.0", Go: "1.26"},
			{Kind: kind, Name: "x", Module: "a.example/b", Leat: "v1.0.0", Go: "1.26"},
		} {
			files, err := p.Files()
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				if !strings.HasSuffix(name, ".go") {
					continue
				}
				if b, err := format.Source([]byte(text)); err != nil || string(b) != text {
					t.Errorf("%s %s: %s is not formatted: %v", kind, p.Name, name, err)
				}
			}
		}
	}
}
