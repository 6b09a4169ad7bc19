// Package schematest holds the schema and the decoder against the plugins and the examples of the standard build, which
// the tests of package config cannot import.
package schematest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/config"

	_ "github.com/leatdev/leat/cmd/standard" // the plugins
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("leat.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("leat.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instance(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	s := schema(t)
	for _, f := range files {
		if filepath.Base(filepath.Dir(f)) == "custom-handler" {
			continue // it has handlers of its own, and its own build checks it
		}
		t.Run(filepath.Base(filepath.Dir(f))+"/"+filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(instance(t, b)); err != nil {
				t.Error(err)
			}
			if !bytes.Contains(b, []byte("\npipelines:")) && !bytes.HasPrefix(b, []byte("pipelines:")) {
				return // a part of a folder that is loaded together
			}
			cfg, ds := config.LoadBytes(f, b, config.Options{NoEnv: true})
			for i := range ds {
				t.Error(ds[i].Text(false))
			}
			if err := s.Validate(instance(t, config.Print(cfg))); err != nil {
				t.Error("printed:", err)
			}
		})
	}
}

// TestPluginsExplainThemselves decodes each plugin from nothing, which reads all its tags, and wants words for each
// field.
func TestPluginsExplainThemselves(t *testing.T) {
	n := 0
	for _, kind := range []config.Kind{config.KindSource, config.KindSink, config.KindHandler, config.KindStore} {
		for _, p := range config.Plugins(kind) {
			n++
			t.Run(string(kind)+" "+p.Name, func(t *testing.T) {
				text := "pipelines:\n  p:\n    source: { file: { path: x } }\n    steps: [ { forward: { stdout: {} } } ]\n"
				switch kind {
				case config.KindSource:
					text = "pipelines:\n  p:\n    source: { " + p.Name + ": {} }\n    steps: [ { forward: { stdout: {} } } ]\n"
				case config.KindSink:
					text = "pipelines:\n  p:\n    source: { file: { path: x } }\n    steps: [ { forward: { " + p.Name + ": {} } } ]\n"
				case config.KindStore:
					text += "stores: { main: { " + p.Name + ": {} } }\n"
				}
				_, ds := config.LoadBytes("p.yaml", []byte(text), config.Options{NoEnv: true})
				for i := range ds {
					if ds[i].Severity == config.Error && ds[i].Code != config.CodeMissingField {
						t.Error(ds[i].Text(false))
					}
				}
				for i := range p.Config.NumField() {
					if f := p.Config.Field(i); f.Tag.Get("yaml") != "" && f.Tag.Get("yaml") != "-" && !strings.HasSuffix(f.Tag.Get("yaml"), ",inline") && f.Tag.Get("doc") == "" {
						t.Errorf("%s has no doc tag", f.Name)
					}
				}
			})
		}
	}
	if n < 6 {
		t.Errorf("only %d plugins", n)
	}
}
