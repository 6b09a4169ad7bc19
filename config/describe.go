package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Subject is something of the language that can be looked up: a plugin, a step, or a frame (the keys that surround
// plugins and steps). It is made from the structs that decode it, so that it cannot differ from what a file may say.
type Subject struct {
	// Kind is source, sink, handler, store, step or frame.
	Kind string `json:"kind"`
	Name string `json:"name"`
	Doc  string `json:"doc,omitempty"`
	// Value says what stands behind the name: "map", "expression: bool", …
	Value  string     `json:"value"`
	Fields []FieldDoc `json:"fields,omitempty"`
	// Example is a whole pipeline file that loads; empty where none can be made.
	Example string `json:"example,omitempty"`
	// Package is the import path of a plugin.
	Package string `json:"package,omitempty"`
}

// FieldDoc is one key of a subject.
type FieldDoc struct {
	// Name is the key, dotted where it lies deeper; NAME stands for names that the file's writer chooses.
	Name     string   `json:"name"`
	Value    string   `json:"value"`
	Required bool     `json:"required,omitempty"`
	Default  string   `json:"default,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Min      string   `json:"min,omitempty"`
	Max      string   `json:"max,omitempty"`
	Doc      string   `json:"doc,omitempty"`
	Example  string   `json:"example,omitempty"`
}

// Limits gives a field's bounds in words, "" where it has none.
func (f FieldDoc) Limits() string {
	switch {
	case f.Min != "" && f.Max != "":
		return f.Min + " to " + f.Max
	case f.Min != "":
		return "at least " + f.Min
	case f.Max != "":
		return "at most " + f.Max
	}
	return ""
}

// SubjectKinds are the kinds of subjects, in the order in which they are listed.
var SubjectKinds = []string{"source", "step", "handler", "sink", "store", "frame"}

// frames are the parts of the language that are neither plugins nor steps. To add one: an entry here, and an example.
var frames = []struct {
	name, doc string
	typ       reflect.Type // nil: the top of a file
}{
	{"file", "what stands at the top of a pipeline file; keys that start with x- are ignored", nil},
	{"pipeline", "a pipeline: beside these keys stand source (one source with its frame) and steps (a list)", reflect.TypeFor[Pipeline]()},
	{"source", "keys beside a source's own key", reflect.TypeFor[Source]()},
	{"step", "keys beside a step's own key; from, was and batch are for relays (project, forward)", reflect.TypeFor[Step]()},
	{"table", "a table that projections write, under tables: NAME", reflect.TypeFor[Table]()},
	{"test", "a test of a pipeline, one of the list under tests, for leat test; several steps stand under steps, with the keys to, stubs, events, raw, after and expect each", reflect.TypeFor[Test]()},
	{"defaults", "what every pipeline starts from", reflect.TypeFor[Defaults]()},
	{"server", "the daemon's listener", reflect.TypeFor[Server]()},
	{"telemetry", "logs, metrics and traces of the daemon", reflect.TypeFor[Telemetry]()},
}

// Subjects lists what there is of a kind, by name (steps and frames in the order of the language), without examples.
func Subjects(kind string) []Subject {
	var out []Subject
	switch kind {
	case "step":
		for i := range steps {
			out = append(out, stepSubject(&steps[i]))
		}
	case "frame":
		for _, f := range frames {
			s := Subject{Kind: kind, Name: f.name, Doc: f.doc, Value: "map"}
			if f.typ == nil {
				for _, k := range topKeys {
					s.Fields = append(s.Fields, FieldDoc{Name: k.name, Value: topValue(k.name), Doc: k.doc})
				}
			} else {
				s.Fields = fieldDocs(nil, "", f.typ, 0)
			}
			out = append(out, s)
		}
		if t, ok := settingsType("aws"); ok {
			out = append(out, Subject{Kind: kind, Name: "aws", Doc: "settings of all AWS plugins; what one says itself wins", Value: "map", Fields: fieldDocs(nil, "", t, 0)})
		}
	default:
		for _, p := range Plugins(Kind(kind)) {
			out = append(out, Subject{Kind: kind, Name: p.Name, Doc: docOf(p.Config), Value: "map", Package: p.Config.PkgPath(), Fields: fieldDocs(nil, "", p.Config, 0)})
		}
	}
	return out
}

// Describe finds a subject by its name, with an example. Kind "" looks through all kinds; a name that several kinds
// have, or none, is an error that says which there are.
func Describe(kind, name string) (Subject, error) {
	kinds := SubjectKinds
	if kind != "" {
		kinds = []string{kind}
	}
	var found []Subject
	var names []string
	for _, k := range kinds {
		for _, s := range Subjects(k) {
			if s.Name == name {
				found = append(found, s)
			}
			names = append(names, s.Name)
		}
	}
	switch {
	case len(found) == 1:
		found[0].Example = exampleOf(&found[0])
		return found[0], nil
	case len(found) > 1:
		var have []string
		for _, s := range found {
			have = append(have, s.Kind+" "+name)
		}
		return Subject{}, fmt.Errorf("%s is %s: say which", name, strings.Join(have, " and "))
	}
	what := kind
	if kind == "" {
		what = "plugin, step or frame"
	}
	hint := ""
	sort.Strings(names)
	if best := nearest(name, names); best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	} else if kind == "" {
		hint = "; leat list names them"
	} else if len(names) > 0 {
		hint = fmt.Sprintf("; there are %s", strings.Join(names, ", "))
	}
	return Subject{}, fmt.Errorf("no %s is called %q%s", what, name, hint)
}

// docOf gives the line by which a plugin's struct says what it is: the doc tag of a field named _.
func docOf(t reflect.Type) string {
	for i := range t.NumField() {
		if f := t.Field(i); f.Name == "_" {
			return f.Tag.Get("doc")
		}
	}
	return ""
}

func stepSubject(k *stepKind) Subject {
	s := Subject{Kind: "step", Name: k.name, Doc: k.doc, Value: typeName(k.typ, &field{plugin: k.plugin})}
	if k.typ == typeCases {
		s.Fields = append(fieldDocs(nil, "", k.typ.Elem(), 0), FieldDoc{Name: "steps", Value: "list of steps", Required: true, Doc: "the steps of the case"})
	}
	if k.typ.Kind() == reflect.Struct && !isScalar(k.typ) && k.typ != typePattern && k.typ != typePlugin {
		s.Value = "map"
		s.Fields = fieldDocs(nil, "", k.typ, 0)
	}
	return s
}

func topValue(name string) string {
	switch name {
	case "version":
		return "number"
	case "tests":
		return "list"
	case "defaults", "server", "telemetry", "aws":
		return "map"
	}
	return "map by name"
}

// deepest is how far descriptions go into structs within structs.
const deepest = 4

// fieldDocs lists the keys of a struct, those of structs within it under their dotted names.
func fieldDocs(out []FieldDoc, prefix string, t reflect.Type, depth int) []FieldDoc {
	info := structureOf(t)
	for i := range info.fields {
		f := &info.fields[i]
		d := FieldDoc{Name: prefix + f.name, Value: typeName(f.typ, f), Required: f.required, Enum: f.enum, Min: f.min, Max: f.max, Doc: f.doc, Example: f.example}
		if f.hasDef {
			d.Default = f.def
		}
		out = append(out, d)
		if inner, key := within(f.typ); inner != nil && depth < deepest {
			out = fieldDocs(out, prefix+f.name+key+".", inner, depth+1)
		}
	}
	return out
}

// Summary names what a plugin is about, in one line without secrets: what a sink writes to, the place that a source
// reads, else the values of the required fields.
func Summary(p Plugin) string {
	switch x := p.Config.(type) {
	case nil:
		return ""
	case targeted:
		return x.Target()
	}
	v := reflect.ValueOf(p.Config)
	if v.Kind() != reflect.Struct {
		return ""
	}
	info := structureOf(v.Type())
	var words []string
	for i := range info.fields {
		f := &info.fields[i]
		if !f.required && !contains([]string{"queue", "bus", "topic", "url"}, f.name) {
			continue
		}
		switch x := v.FieldByIndex(f.index).Interface().(type) {
		case string:
			words = append(words, x)
		case []string:
			words = append(words, x...)
		case Text:
			words = append(words, x.Source)
		case Expr:
			words = append(words, x.Source)
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}
