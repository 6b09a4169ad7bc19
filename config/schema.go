package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Schema gives the JSON Schema (draft 7) of a pipeline file, made from the structs that decode it, the plugins of this
// build included. It is what editors complete and check by; what only Load can know (expressions, names, the order of
// steps) it lets pass.
func Schema() []byte {
	properties := schema{}
	for _, k := range topKeys {
		properties[k.name] = topSchema(k.name).with("description", k.doc)
	}
	s := schema{
		"$schema":              "http://json-schema.org/draft-07/schema#",
		"$id":                  "https://leat.dev/leat.schema.json",
		"title":                "leat pipeline file",
		"type":                 "object",
		"properties":           properties,
		"patternProperties":    schema{"^x-": schema{}},
		"additionalProperties": false,
		"definitions": schema{
			"placeholder": schema{"type": "string", "pattern": `\$\{`, "description": "a value from the environment or a file: ${NAME}, ${NAME:-default}, ${NAME:?message}, ${file:/path}"},
			"expression":  schema{"type": []string{"string", "number", "boolean"}, "description": "an expression over the event"},
			"text":        schema{"type": []string{"string", "number", "boolean"}, "description": "text with {{ expressions }} inside"},
			"tree": schema{"description": "an expression, or a nested map of them", "anyOf": []schema{
				{"$ref": "#/definitions/expression"}, {"type": "null"},
				{"type": "object", "additionalProperties": schema{"$ref": "#/definitions/tree"}},
			}},
			"pattern": schema{"description": "an EventBridge event pattern, in YAML or as JSON text", "type": []string{"object", "string"}},
			"step":    stepSchema(),
			"steps":   schema{"type": "array", "items": schema{"$ref": "#/definitions/step"}},
		},
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error()) // strings, numbers and maps of them always marshal
	}
	return b
}

type schema map[string]any

func (s schema) with(key string, value any) schema {
	if value != "" {
		s[key] = value
	}
	return s
}

func topSchema(name string) schema {
	named := func(s schema) schema { return schema{"type": []string{"object", "null"}, "additionalProperties": s} }
	switch name {
	case "version":
		return schema{"const": 1}
	case "pipelines":
		return named(pipelineSchema())
	case "tables":
		return named(nullable(structSchema(reflect.TypeFor[Table]())))
	case "stores":
		return named(componentSchema(KindStore, nil))
	case "databases":
		return named(componentSchema(KindDatabase, nil))
	case "fragments":
		return named(schema{"$ref": "#/definitions/steps"})
	case "defaults":
		return nullable(structSchema(reflect.TypeFor[Defaults]()))
	case "server":
		return nullable(structSchema(reflect.TypeFor[Server]()))
	case "telemetry":
		return nullable(structSchema(reflect.TypeFor[Telemetry]()))
	case "tests":
		return schema{"type": []string{"array", "null"}, "items": structSchema(reflect.TypeFor[Test]())}
	}
	if t, ok := settingsType(name); ok {
		return nullable(structSchema(t))
	}
	return schema{"type": []string{"object", "null"}}
}

func pipelineSchema() schema {
	s := structSchema(reflect.TypeFor[Pipeline]())
	p := s["properties"].(schema)
	p["source"] = componentSchema(KindSource, reflect.TypeFor[Source]()).with("description", "where events come from")
	p["steps"] = schema{"$ref": "#/definitions/steps"}
	s["required"] = []string{"source", "steps"}
	return s
}

func stepSchema() schema {
	s := structSchema(reflect.TypeFor[Step]())
	p := s["properties"].(schema)
	var one []schema
	for _, k := range steps {
		what := typeSchema(k.typ, &field{})
		switch {
		case k.typ == typePlugin:
			what = componentSchema(k.plugin, nil)
		case k.plugin != "":
			what = componentSchema(k.plugin, k.typ)
		case k.typ == typeCases:
			what = caseSchema()
		}
		if k.typ.Kind() == reflect.Struct && !isScalar(k.typ) && k.typ != typePattern {
			what["description"] = k.doc
			p[k.name] = what
		} else {
			p[k.name] = schema{"allOf": []schema{what}, "description": k.doc}
		}
		one = append(one, schema{"required": []string{k.name}})
	}
	p["use"] = schema{"type": "string", "description": "puts the steps of a fragment here"}
	s["oneOf"] = append(one, schema{"required": []string{"use"}})
	return s
}

// caseSchema is the list of a branch's cases.
func caseSchema() schema {
	s := structSchema(reflect.TypeFor[Case]())
	p := s["properties"].(schema)
	p["else"].(schema)["anyOf"] = []schema{{"const": true}, {"type": "null"}}
	p["steps"] = reference("steps")
	s["required"] = []string{"steps"}
	s["oneOf"] = []schema{{"required": []string{"match"}}, {"required": []string{"when"}}, {"required": []string{"else"}}}
	return schema{"type": "array", "items": s, "minItems": 1}
}

// componentSchema is a map with exactly one plugin key, and the keys of its frame.
func componentSchema(kind Kind, frame reflect.Type) schema {
	s := schema{"type": "object", "properties": schema{}, "additionalProperties": false}
	if frame != nil {
		s = structSchema(frame)
	}
	p := s["properties"].(schema)
	one := []schema{}
	for _, r := range Plugins(kind) {
		p[r.Name] = nullable(structSchema(r.Config))
		one = append(one, schema{"required": []string{r.Name}})
	}
	if len(one) > 0 {
		s["oneOf"] = one
	}
	return s
}

// nullable lets a map be left empty where nothing in it is required.
func nullable(s schema) schema {
	if s["required"] == nil {
		s["type"] = []string{"object", "null"}
	}
	return s
}

func structSchema(t reflect.Type) schema {
	info := structureOf(t)
	p := schema{}
	var required []string
	for i := range info.fields {
		f := &info.fields[i]
		p[f.name] = fieldSchema(f)
		if f.required {
			required = append(required, f.name)
		}
	}
	s := schema{"type": "object", "properties": p, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	return s
}

func fieldSchema(f *field) schema {
	s := typeSchema(f.typ, f)
	if s["$ref"] != nil { // what stands beside a reference is ignored in draft 7
		s = schema{"allOf": []schema{s}}
	}
	s = s.with("description", f.doc)
	if f.hasDef && !strings.Contains(f.def, "${") {
		s["default"] = literal(f.typ, f.def)
	}
	if f.example != "" {
		s["examples"] = []any{literal(f.typ, f.example)}
	}
	return s
}

// literal is a tag's text as a value of its field.
func literal(t reflect.Type, text string) any {
	if t == typeDuration || t == typeSize {
		return text
	}
	switch t.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			return x
		}
	}
	return text
}

func reference(name string) schema { return schema{"$ref": "#/definitions/" + name} }

// orPlaceholder lets a value come from outside.
func orPlaceholder(s schema) schema { return schema{"anyOf": []schema{s, reference("placeholder")}} }

func typeSchema(t reflect.Type, f *field) schema {
	switch t {
	case typeExpr:
		return reference("expression")
	case typeText:
		return reference("text")
	case typePattern:
		return reference("pattern")
	case typeTree:
		return reference("tree")
	case typeExprs:
		return schema{"type": "object", "additionalProperties": schema{"anyOf": []schema{reference("expression"), {"type": "null"}}}}
	case typeSecret:
		return schema{"type": []string{"string", "number"}}
	case typeDuration:
		return orPlaceholder(schema{"type": "string", "pattern": `^[-+]?([0-9.]+(ns|us|µs|ms|s|m|h|d))+$|^0$`})
	case typeSize:
		return orPlaceholder(schema{"anyOf": []schema{{"type": "integer", "minimum": 0}, {"type": "string", "pattern": `^[0-9.]+ *([KkMmGgTt]i?)?[Bb]$`}}})
	case typePlugin:
		return componentSchema(f.plugin, nil)
	case typeColumns:
		return schema{"type": "object", "additionalProperties": orPlaceholder(schema{"enum": ColumnTypes})}
	case typeConflict:
		return schema{"anyOf": []schema{fieldSchema(&field{typ: reflect.TypeFor[string](), enum: structureOf(t).byName["behind"].enum}), structSchema(t)}}
	}
	switch t {
	case typeJSON:
		return schema{}
	case typeTestCount:
		return orPlaceholder(schema{"anyOf": []schema{{"type": "integer", "minimum": 0}, {"type": "array", "items": schema{"type": []string{"string", "number"}}}}})
	}
	if named(t) {
		value, _ := t.Elem().FieldByName("Value")
		return schema{"type": []string{"object", "null"}, "additionalProperties": typeSchema(value.Type, f)}
	}
	if isTextual(t) {
		return schema{"type": []string{"string", "number", "boolean"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), f)
	case reflect.Struct:
		return nullable(structSchema(t))
	case reflect.Slice:
		item := typeSchema(t.Elem(), f)
		list := schema{"type": "array", "items": item}
		if isScalar(t.Elem()) {
			return schema{"anyOf": []schema{item, list}}
		}
		return list
	case reflect.Map:
		return schema{"type": []string{"object", "null"}, "additionalProperties": typeSchema(t.Elem(), f)}
	case reflect.String:
		if len(f.enum) > 0 {
			words := make([]any, len(f.enum))
			for i, w := range f.enum {
				words[i] = w
			}
			if contains(f.enum, "null") {
				words = append(words, nil)
			}
			return orPlaceholder(schema{"enum": words})
		}
		return schema{"type": []string{"string", "number", "boolean"}}
	case reflect.Bool:
		return orPlaceholder(schema{"type": "boolean"})
	}
	number := schema{"type": "integer", "minimum": 0.0}
	if t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64 {
		number["type"] = "number"
	}
	if f.min != "" {
		number["minimum"] = parseNumber(f.min)
	}
	if bits := t.Bits(); f.max != "" {
		number["maximum"] = parseNumber(f.max)
	} else if bits < 64 && number["type"] == "integer" {
		if t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 {
			bits--
		}
		number["maximum"] = float64(uint64(1)<<bits - 1)
	}
	return orPlaceholder(number)
}
