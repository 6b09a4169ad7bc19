package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
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

// instance is a YAML file as editors see it, or false where it is none.
func instance(b []byte) (any, bool) {
	var v any
	if yaml.Unmarshal(b, &v) != nil {
		return nil, false
	}
	j, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	return out, err == nil
}

func TestSchemaTakesGoodFiles(t *testing.T) {
	s := compiledSchema(t)
	files, _ := filepath.Glob("testdata/good/*.yaml")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := instance(b)
		if !ok {
			t.Fatalf("%s is no YAML that JSON can hold", f)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		cfg, _ := LoadBytes(f, b, Options{Env: testEnv})
		printed, ok := instance(Print(cfg))
		if !ok {
			t.Fatalf("%s: what Print gives is no YAML", f)
		}
		if err := s.Validate(printed); err != nil {
			t.Errorf("%s, printed: %v", f, err)
		}
	}
}

// structural are the codes of mistakes that a schema can see.
var structural = []Code{CodeUnknownField, CodeMissingField, CodeWrongType, CodeUnknownPlugin, CodeNoPlugin, CodeTwoPlugins, CodeUnknownStep}

// beyondSchema are structural mistakes in places where the schema is wider than the decoder, and why.
var beyondSchema = map[string]string{
	"append-no-stream":          "a handler above it may name the stream",
	"branch-order":              "which steps follow on an append",
	"column-key-type":           "the types of columns are known to the decoder alone",
	"bad-value-table":           "an empty list is a list",
	"column-type":               "the types of columns are known to the decoder alone",
	"column-value":              "the types of columns are known to the decoder alone",
	"interpolation-type":        "a placeholder may stand for anything",
	"interpolation-secret-type": "a placeholder may stand for anything",
	"missing-key":               "an empty map is a map",
	"missing-pipelines":         "a file may hold tables alone",
	"missing-steps-empty":       "an empty list is a list",
	"map-nothing":               "an empty map is a map",
	"map-text":                  "set may be a tree of one expression, as data may",
	"project-no-key":            "key or where",
	"project-nothing":           "one of many",
	"project-type-nothing":      "one of many",
	"table-no-key":              "over several steps",
	"wrong-type-int-octal":      "YAML reads an octal number",
	"wrong-type-int-underscore": "YAML reads a number",
}

func TestSchemaRefusesStructuralMistakes(t *testing.T) {
	s := compiledSchema(t)
	names, _ := filepath.Glob("testdata/bad/*.txtar")
	refused := 0
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fixture := strings.TrimSuffix(filepath.Base(name), ".txtar")
		_, ds := LoadBytes("orders.yaml", a.Files[0].Data, Options{Env: testEnv})
		found := false
		for _, d := range ds {
			for _, c := range structural {
				found = found || d.Code == c && d.Severity == Error
			}
		}
		v, ok := instance(a.Files[0].Data)
		if !found || !ok {
			continue
		}
		_, beyond := beyondSchema[fixture]
		switch err := s.Validate(v); {
		case err == nil && !beyond:
			t.Errorf("%s: the schema lets it pass", fixture)
		case err != nil && beyond:
			t.Errorf("%s: the schema refuses it: take it off the list", fixture)
		case err != nil:
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("the schema refuses only %d fixtures", refused)
	}
}

func TestSchemaDescribesFields(t *testing.T) {
	s := string(Schema())
	for _, want := range []string{`"description": "where to post"`, `"default": "10s"`, `"https://example.com/events"`, `"enum"`, `"$ref": "#/definitions/expression"`} {
		if !strings.Contains(s, want) {
			t.Errorf("the schema lacks %s", want)
		}
	}
}
