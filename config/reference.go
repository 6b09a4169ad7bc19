package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/leatdev/leat/pipeline/filter"
)

// Reference gives the page that describes every key of a pipeline file, as Markdown, made from the structs that decode
// it, the plugins of this build included.
func Reference() []byte {
	var r page
	r.line("# Reference\n")
	r.line("Every key of a pipeline file, made from the code that reads it (`go test ./cmd/leat -run Generated -update`). Defaults are what an absent key means;")
	r.line("**bold** keys are required. An *expression* is bare [expr](https://expr-lang.org); *text* takes `{{ expression }}` inside. Durations are written `30s`,")
	r.line("sizes `64KiB`. Any value may come from outside: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${file:/path}`.\n")
	r.line("## The file\n")
	r.line("| key | |\n|---|---|")
	for _, k := range topKeys {
		r.line("| `%s` | %s |", k.name, k.doc)
	}
	r.structure("## A pipeline\n\nBeside `source` (one source with its frame) and `steps` (a list):", reflect.TypeFor[Pipeline]())
	r.structure("## The frame of a source\n\nKeys beside the plugin's key:", reflect.TypeFor[Source]())
	r.structure("## The frame of a step\n\nKeys beside the step's key; `from`, `was` and `batch` are for relays (`project`, `forward`):", reflect.TypeFor[Step]())
	r.line("\n## Steps")
	for _, k := range steps {
		r.line("\n### `%s`\n\n%s.", k.name, sentence(k.doc))
		if k.typ.Kind() == reflect.Struct && !isScalar(k.typ) && k.typ != typePattern {
			if k.name == "forward" {
				r.line("\nBeside the sink's key:")
			}
			r.table(k.typ)
		} else {
			r.line("\nIts value is %s.", article(typeName(k.typ, &field{})))
		}
	}
	for _, k := range []struct {
		kind  Kind
		title string
	}{{KindSource, "Sources"}, {KindSink, "Sinks"}, {KindHandler, "Handlers"}, {KindStore, "Stores"}} {
		if len(Plugins(k.kind)) == 0 {
			continue
		}
		r.line("\n## %s", k.title)
		for _, p := range Plugins(k.kind) {
			r.line("\n### %s `%s`", k.kind, p.Name)
			if len(structureOf(p.Config).fields) == 0 {
				r.line("\nThere is nothing to set: `%s: {}`.", p.Name)
				continue
			}
			r.table(p.Config)
		}
	}
	r.structure("## A table", reflect.TypeFor[Table]())
	r.structure("## The listener", reflect.TypeFor[Server]())
	r.structure("## Telemetry", reflect.TypeFor[Telemetry]())
	if t, ok := settingsType("aws"); ok {
		r.structure("## AWS\n\nUnder `aws` at the top: what an AWS plugin does not say itself, it takes from here.", t)
	}
	return []byte(r.String())
}

type page struct{ strings.Builder }

func (r *page) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

func (r *page) structure(title string, t reflect.Type) {
	r.line("\n%s", title)
	r.table(t)
}

// table lists the keys of a struct, those of structs within it under their dotted names.
func (r *page) table(t reflect.Type) {
	r.line("\n| key | value | default | |\n|---|---|---|---|")
	r.rows("", t, 0)
}

// deepest is how far rows go into structs within structs.
const deepest = 4

func (r *page) rows(prefix string, t reflect.Type, depth int) {
	info := structureOf(t)
	for i := range info.fields {
		f := &info.fields[i]
		name := "`" + prefix + f.name + "`"
		if f.required {
			name = "**" + name + "**"
		}
		inner, key := within(f.typ)
		doc := f.doc
		if f.example != "" {
			doc = strings.TrimSpace(doc + ", as `" + f.example + "`")
		}
		def := ""
		if f.hasDef && f.def != "" {
			def = "`" + f.def + "`"
		}
		r.line("| %s | %s | %s | %s |", name, cell(typeName(f.typ, f)), cell(def), cell(doc))
		if inner != nil && depth < deepest {
			r.rows(prefix+f.name+key+".", inner, depth+1)
		}
	}
}

// within gives the struct that a field holds, and what stands between the field's name and its keys.
func within(t reflect.Type) (inner reflect.Type, key string) {
	switch {
	case t.Kind() == reflect.Pointer:
		return within(t.Elem())
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem()):
		return t.Elem(), ".NAME"
	case t.Kind() != reflect.Struct || isScalar(t):
		return nil, ""
	}
	switch t {
	case typePlugin, typeTree, typePattern, typePos:
		return nil, ""
	}
	return t, ""
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func article(s string) string {
	if strings.ContainsAny(s[:1], "aeiou") {
		return "an " + s
	}
	return "a " + s
}

// typeName says what a field takes, in a word or two.
func typeName(t reflect.Type, f *field) string {
	switch t {
	case typeExpr:
		if f.want != filter.Any {
			return "expression: " + f.want.String()
		}
		return "expression"
	case typeText:
		return "text"
	case typePattern:
		return "event pattern"
	case typeTree:
		return "map of expressions"
	case typeExprs:
		return "columns: expressions"
	case typeSecret:
		return "secret"
	case typeSize:
		return "size"
	case typeDuration:
		return "duration"
	case typePlugin:
		return string(f.plugin)
	case typeColumns:
		return "columns: " + strings.Join(ColumnTypes, ", ")
	case typeConflict:
		return strings.Join(structureOf(t).byName["behind"].enum, ", ") + ", or a map"
	}
	if len(f.enum) > 0 {
		return strings.Join(f.enum, ", ")
	}
	if isTextual(t) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem(), f)
	case reflect.Struct:
		return "map"
	case reflect.Slice:
		return "list of " + typeName(t.Elem(), &field{})
	case reflect.Map:
		return "map by name"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	return "number"
}
