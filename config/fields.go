package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/filter"
)

// field is what a struct's tags say of one field.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
	doc      string
	example  string
	def      string
	hasDef   bool
	enum     []string
	min, max string
	want     filter.Want
	roots    filter.Roots // 0: what the place allows
	plugin   Kind
}

// structure is what decoding, schema and printing know of a struct type, in the order of its fields.
type structure struct {
	fields []field
	byName map[string]*field
}

func (s *structure) names() []string {
	out := make([]string, len(s.fields))
	for i := range s.fields {
		out[i] = s.fields[i].name
	}
	return out
}

var structures sync.Map // reflect.Type → *structure

// structureOf reads a struct's tags. It panics on tags that say nothing sensible: that is a mistake in the build, and
// the first test that decodes the struct shows it.
func structureOf(t reflect.Type) *structure {
	if s, ok := structures.Load(t); ok {
		return s.(*structure)
	}
	s := &structure{byName: map[string]*field{}}
	s.gather(t, nil)
	for i := range s.fields {
		f := &s.fields[i]
		if s.byName[f.name] != nil {
			panic(fmt.Sprintf("config: %s has two fields %q", t, f.name))
		}
		s.byName[f.name] = f
	}
	got, _ := structures.LoadOrStore(t, s)
	return got.(*structure)
}

func (s *structure) gather(t reflect.Type, at []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), at...), i)
		tag, ok := sf.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if strings.Contains(","+options+",", ",inline,") {
			s.gather(sf.Type, index)
			continue
		}
		if name == "-" || !sf.IsExported() {
			continue
		}
		if why := undecodable(sf.Type); why != "" {
			panic(fmt.Sprintf("config: %s.%s: %s", t, sf.Name, why))
		}
		f := field{name: name, index: index, typ: sf.Type, doc: sf.Tag.Get("doc"), example: sf.Tag.Get("example"),
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), plugin: Kind(sf.Tag.Get("plugin"))}
		if f.name == "" {
			f.name = strings.ToLower(sf.Name)
		}
		f.def, f.hasDef = sf.Tag.Lookup("default")
		f.required = !f.hasDef && !strings.Contains(","+options+",", ",omitempty,")
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		var err error
		if f.want, err = filter.ParseWant(sf.Tag.Get("want")); err != nil {
			panic(fmt.Sprintf("config: %s.%s: %v", t, sf.Name, err))
		}
		if sees, ok := sf.Tag.Lookup("sees"); ok {
			if f.roots, err = filter.ParseRoots(sees); err != nil {
				panic(fmt.Sprintf("config: %s.%s: %v", t, sf.Name, err))
			}
		}
		s.fields = append(s.fields, f)
	}
}

var (
	typeExpr     = reflect.TypeFor[Expr]()
	typeText     = reflect.TypeFor[Text]()
	typePattern  = reflect.TypeFor[Pattern]()
	typeTree     = reflect.TypeFor[Tree]()
	typeExprs    = reflect.TypeFor[Exprs]()
	typeSecret   = reflect.TypeFor[Secret]()
	typeSize     = reflect.TypeFor[Size]()
	typeDuration = reflect.TypeFor[time.Duration]()
	typePlugin   = reflect.TypeFor[Plugin]()
	typeConflict = reflect.TypeFor[OnConflict]()
	typeColumns  = reflect.TypeFor[[]TableColumn]()
	typeCases    = reflect.TypeFor[[]Case]()
	typePos      = reflect.TypeFor[Pos]()
)

// isScalar reports whether a type is written as one YAML scalar.
func isScalar(t reflect.Type) bool {
	switch t {
	case typeExpr, typeText, typeSecret, typeSize, typeDuration:
		return true
	}
	if isTextual(t) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// named reports whether a type is a map in the file's order: a slice of Named.
func named(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Implements(typeNamed)
}

var typeNamed = reflect.TypeFor[interface{ named() }]()

// undecodable says why a field's type is none that YAML is decoded into, "" where it is one.
func undecodable(t reflect.Type) string {
	switch t {
	case typePlugin, typeTree, typeExprs, typePattern, typeConflict, typeColumns, typeJSON, typeTestCount:
		return ""
	}
	if named(t) {
		f, _ := t.Elem().FieldByName("Value")
		return undecodable(f.Type)
	}
	if isScalar(t) {
		return ""
	}
	switch t.Kind() {
	case reflect.Struct:
		return "" // its own fields are checked when it is read
	case reflect.Pointer, reflect.Slice:
		return undecodable(t.Elem())
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return undecodable(t.Elem())
		}
	}
	return fmt.Sprintf("a field of type %s cannot be decoded", t)
}
