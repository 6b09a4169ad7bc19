package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/leatdev/leat/pipeline/filter"
)

// Reference gives the pages that describe every key of a pipeline file, as Markdown by their file names, made from the
// structs that decode it, the plugins of this build included. README.md is the one to start at. Notes gives further
// Markdown on a subject, its heads of the third level; nil: none.
func Reference(notes func(Subject) string) map[string][]byte {
	pages := map[string][]byte{}
	var index page
	index.line("# Reference\n")
	index.line("Every key of a pipeline file. These pages are made from the code that reads it (`make generate`); `leat describe` prints the same for the plugins of")
	index.line("your build. Defaults are what an absent key means; **bold** keys are required. An *expression* is bare [expr](https://expr-lang.org); *text* takes")
	index.line("`{{ expression }}` inside. Durations are written `30s`, sizes `64KiB`. Any value may come from outside: `${NAME}`, `${NAME:-default}`,")
	index.line("`${NAME:?message}`, `${file:/path}`. The language as a whole is on [one page](../language.md).")
	for _, kind := range SubjectKinds {
		all := Subjects(kind)
		if len(all) == 0 {
			continue
		}
		index.line("\n## %s\n\n| | |\n|---|---|", sentence(plural(kind)))
		for i := range all {
			s := &all[i]
			path := plural(kind) + "/" + s.Name + ".md"
			index.line("| [`%s`](%s) | %s |", s.Name, path, cell(s.Doc))
			s.Example = exampleOf(s)
			text := ""
			if notes != nil {
				text = notes(*s)
			}
			pages[path] = subjectPage(s, text)
		}
	}
	pages["README.md"] = []byte(index.String())
	return pages
}

func plural(kind string) string { return kind + "s" }

// subjectPage is the page of one subject.
func subjectPage(s *Subject, notes string) []byte {
	var r page
	r.line("# %s `%s`\n", sentence(s.Kind), s.Name)
	if s.Doc != "" {
		r.line("%s.\n", sentence(strings.TrimSuffix(s.Doc, ".")))
	}
	if s.Example != "" {
		r.line("```yaml\n%s```\n", s.Example)
	}
	switch {
	case s.Value != "map" && len(s.Fields) > 0:
		r.line("Its value is %s; each takes:\n", article(s.Value))
		r.line("| key | value | default | |\n|---|---|---|---|")
		for _, f := range s.Fields {
			r.line("%s", row(f))
		}
		r.line("")
	case s.Value != "map":
		r.line("Its value is %s.\n", article(s.Value))
	case len(s.Fields) == 0:
		r.line("There is nothing to set: `%s: {}`.\n", s.Name)
	default:
		if s.Name == "forward" && s.Kind == "step" {
			r.line("Beside the [sink](../README.md#sinks)'s key:\n")
		}
		r.line("| key | value | default | |\n|---|---|---|---|")
		for _, f := range s.Fields {
			r.line("%s", row(f))
		}
		r.line("")
	}
	if notes != "" {
		r.line("%s\n", strings.TrimSpace(notes))
	}
	switch s.Kind {
	case "source":
		r.line("Beside `%s` stand the keys of the [frame of a source](../frames/source.md).", s.Name)
	case "step":
		r.line("Beside `%s` stand the keys of the [frame of a step](../frames/step.md).", s.Name)
	}
	return []byte(strings.TrimRight(r.String(), "\n") + "\n")
}

type page struct{ strings.Builder }

func (r *page) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

func row(f FieldDoc) string {
	name := "`" + f.Name + "`"
	if f.Required {
		name = "**" + name + "**"
	}
	doc := f.Doc
	if limits := f.Limits(); limits != "" {
		doc += " (" + limits + ")"
	}
	if f.Example != "" {
		doc += ", as `" + f.Example + "`"
	}
	def := ""
	if f.Default != "" {
		def = "`" + f.Default + "`"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", name, cell(f.Value), cell(def), cell(strings.TrimSpace(doc)))
}

// within gives the struct that a field holds, and what stands between the field's name and its keys.
func within(t reflect.Type) (inner reflect.Type, key string) {
	switch {
	case t.Kind() == reflect.Pointer:
		return within(t.Elem())
	case named(t):
		value, _ := t.Elem().FieldByName("Value")
		if inner, _ := within(value.Type); inner != nil {
			return inner, ".NAME"
		}
		return nil, ""
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem()):
		return t.Elem(), ".NAME"
	case t.Kind() == reflect.Slice && t != typeColumns && t != typeExprs && t.Elem() != reflect.TypeFor[Step]() && t.Elem() != reflect.TypeFor[TestStep]() && t.Elem() != typeJSON && t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem()):
		inner, _ = within(t.Elem())
		return inner, "[]"
	case t.Kind() != reflect.Struct || isScalar(t):
		return nil, ""
	}
	switch t {
	case typePlugin, typeTree, typePattern, typePos, typeJSON, typeTestCount:
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
	switch t {
	case typeJSON:
		return "any value"
	case typeTestCount:
		return "number, or list of ids"
	}
	if named(t) {
		value, _ := t.Elem().FieldByName("Value")
		return "map by name: " + typeName(value.Type, &field{})
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
