package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// scope is where in the config decoding is, and what holds there.
type scope struct {
	l    *loader
	f    *source
	path *path
	// roots is what expressions see where their field's tag says nothing; limit takes away from what tags say.
	roots, limit filter.Roots
	// uses are the places where the fragment is put in that is decoded.
	uses []Related
	// unknown is set where a value was not looked up (Options.NoEnv): rules over several fields are not applied then.
	unknown *bool
	// isDefault: the value stands in a tag, not in a file.
	isDefault bool
}

func (c scope) in(name string) scope {
	c.path = &path{up: c.path, name: name}
	return c
}

func (c scope) item(i int) scope {
	c.path = &path{up: c.path, index: i}
	return c
}

// fail notes an error at a node.
func (c scope) fail(n *yaml.Node, code Code, message, hint string) {
	d := c.l.at(c.f, n, c.path, code, message, hint)
	d.Related = append(d.Related, c.uses...)
}

func (c scope) warn(n *yaml.Node, code Code, message, hint string) {
	c.fail(n, code, message, hint)
	c.l.diags[len(c.l.diags)-1].Severity = Warning
}

// name is the last word of the path, for messages.
func (c scope) name() string {
	if c.path == nil {
		return "the file"
	}
	if c.path.name != "" {
		return c.path.name
	}
	return c.path.up.last() + fmt.Sprintf("[%d]", c.path.index)
}

func (p *path) last() string {
	if p == nil {
		return ""
	}
	if p.name == "" {
		return p.up.last() + fmt.Sprintf("[%d]", p.index)
	}
	return p.name
}

func (c scope) pos(n *yaml.Node) Pos {
	if c.isDefault {
		return Pos{}
	}
	return Pos{File: c.f.name, Line: n.Line, Col: c.f.column(n.Line, n.Column)}
}

// object decodes the members of a map into a struct: strictly, all mistakes at once.
type object struct {
	scope
	what string     // "source sqs", for messages
	node *yaml.Node // what to blame where something is missing
	v    reflect.Value
	// optional does not ask for required fields: another layer may have given them.
	optional bool
	// other takes keys that are no field of the struct, and says whether it did; others are names that it knows.
	other  func(e entry) bool
	others []string
	// explain gives a better hint for an unknown field than its neighbours.
	explain func(name string) string
}

func (o object) decode(entries []entry) bool {
	info := structureOf(o.v.Type())
	before := len(o.l.diags)
	unknown := false
	given := make(map[string]*yaml.Node, len(entries))
	mistyped := map[string]bool{}
	wrong := map[string]bool{} // fields with mistakes, as they are called here or were meant
	for _, e := range entries {
		c := o.scope
		c.f = e.f
		c.unknown = &unknown
		name := e.key.Value
		f := info.byName[name]
		if f == nil {
			if o.other == nil || !o.other(e) {
				c.unknownField(o, e, info)
				mistyped[nearest(name, info.names())] = true
				wrong[nearest(name, info.names())] = true
			}
			continue
		}
		given[name] = e.val
		at := len(o.l.diags)
		c.in(name).value(e.val, o.v.FieldByIndex(f.index), f)
		if errorsIn(o.l.diags[at:]) {
			wrong[name] = true
		}
	}
	if !o.optional {
		for i := range info.fields {
			if f := &info.fields[i]; f.required && given[f.name] == nil && !mistyped[f.name] {
				hint := ""
				if f.example != "" {
					hint = fmt.Sprintf("for example `%s: %s`", f.name, f.example)
				}
				o.fail(o.node, CodeMissingField, fmt.Sprintf("%s needs %q: %s", o.what, f.name, f.doc), hint)
				wrong[f.name] = true
			}
		}
	}
	if unknown && o.unknown != nil {
		*o.unknown = true
	}
	good := !errorsIn(o.l.diags[before:])
	if !unknown {
		o.validate(given, wrong)
	}
	return good && !errorsIn(o.l.diags[before:])
}

func errorsIn(ds Diagnostics) bool {
	for i := range ds {
		if ds[i].Severity == Error {
			return true
		}
	}
	return false
}

func (c scope) unknownField(o object, e entry, info *structure) {
	name := e.key.Value
	if e.val != nil && isNull(e.val) && !isWord(name) {
		c.fail(e.key, CodeYAMLTrap, fmt.Sprintf("inside { } a comma ends a value: YAML takes %q for a key", shorten(name)), "put the whole expression into quotes")
		return
	}
	known := append(info.names(), o.others...)
	hint := didYouMean(name, known)
	if o.explain != nil {
		if s := o.explain(name); s != "" {
			hint = s
		}
	}
	if hint == "" {
		hint = deeper(name, info)
	}
	if hint == "" && len(known) > 0 {
		hint = suggestOr(name, known, "fields: ")
	}
	d := c.l.at(c.f, e.key, &path{up: c.path, name: name}, CodeUnknownField, fmt.Sprintf("%s has no field %q", o.what, name), hint)
	d.Related = append(d.Related, c.uses...)
	if near := info.byName[nearest(name, known)]; near != nil && near.typ == typeSecret {
		c.hide(e.val)
	}
}

// deeper gives the hint for a name that a field's struct has: parallel, of limits. Or for one that is a word of a field's
// name, of which there is one only: zone, of time_zone.
func deeper(name string, info *structure) string {
	word := ""
	for i := range info.fields {
		f := &info.fields[i]
		t := f.typ
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && t != typePlugin && t != typeTree && t != typePattern && t != typePos && !isScalar(t) && structureOf(t).byName[name] != nil {
			return fmt.Sprintf("%s stands in %s: { %s: … }", name, f.name, name)
		}
		if len(name) > 2 && contains(strings.Split(f.name, "_"), name) {
			if word != "" {
				word = "-"
				continue
			}
			word = f.name
		}
	}
	if word == "" || word == "-" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", word)
}

func isWord(s string) bool {
	for _, r := range s {
		if r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return s != ""
}

// hide keeps a node's text out of snippets and its value out of messages.
func (c scope) hide(n *yaml.Node) {
	n = deref(n)
	if n.Kind != yaml.ScalarNode {
		for _, child := range n.Content {
			c.hide(child)
		}
		return
	}
	if n.Value == "" || strings.HasPrefix(n.Value, "${") {
		return
	}
	c.l.hidden[n.Value] = true
	spots := c.f.spots(n)
	if spots == nil {
		c.f.hide(n.Line, c.f.column(n.Line, n.Column), 0)
		return
	}
	for i := 0; i < len(spots)-1; {
		j := i
		for j < len(spots)-1 && spots[j].line == spots[i].line {
			j++
		}
		to := 0
		if spots[j].line == spots[i].line {
			to = c.f.column(spots[j].line, spots[j].col)
		}
		c.f.hide(spots[i].line, c.f.column(spots[i].line, spots[i].col), to)
		i = j
	}
}

// validate asks the struct's own rules. Where fields have mistakes already, what it says of others counts if it does not
// speak of those: people want to see all mistakes at once, but none twice.
func (o object) validate(given map[string]*yaml.Node, wrong map[string]bool) {
	var v Validator
	var ok bool
	if v, ok = o.v.Interface().(Validator); !ok && o.v.CanAddr() {
		v, ok = o.v.Addr().Interface().(Validator)
	}
	if !ok {
		return
	}
	o.blame(v.Validate(), given, wrong)
}

func (o object) blame(err error, given map[string]*yaml.Node, wrong map[string]bool) {
	if err == nil {
		return
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			o.blame(e, given, wrong)
		}
		return
	}
	var fe *FieldError
	field := errors.As(err, &fe)
	if len(wrong) > 0 && (!field || given[fe.Field] == nil || wrong[fe.Field] || mentions(fe, wrong)) {
		return
	}
	if field {
		c, n := o.scope, o.node
		if at := given[fe.Field]; at != nil {
			n = at
		}
		c = c.in(fe.Field)
		c.fail(n, CodeBadValue, fmt.Sprintf("%s: %v", fe.Field, fe.Err), fe.Hint)
		return
	}
	o.fail(o.node, CodeBadValue, fmt.Sprintf("%s: %v", o.what, err), "")
}

// mentions reports whether a rule's words name one of the fields.
func mentions(err *FieldError, fields map[string]bool) bool {
	for _, word := range strings.FieldsFunc(err.Err.Error()+" "+err.Hint, func(r rune) bool { return !isWord(string(r)) || r == '.' }) {
		if fields[word] {
			return true
		}
	}
	return false
}

// value decodes a node into a field or an item of one.
func (c scope) value(n *yaml.Node, v reflect.Value, f *field) bool {
	n = deref(n)
	t := v.Type()
	switch t {
	case typePlugin:
		p, ok := c.plugin(n, f.plugin)
		if ok {
			v.Set(reflect.ValueOf(p))
		}
		return ok
	case typeTree:
		tree, ok := c.tree(n, f)
		v.Set(reflect.ValueOf(tree))
		return ok
	case typeExprs:
		e, ok := c.exprs(n, f)
		v.Set(reflect.ValueOf(e))
		return ok
	case typePattern:
		p, ok := c.pattern(n)
		v.Set(reflect.ValueOf(p))
		return ok
	case typeConflict:
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			inner := v.FieldByName("Behind")
			ok := c.scalarValue(n, inner, structureOf(t).byName["behind"])
			v.FieldByName("Ahead").Set(inner)
			return ok
		}
	case typeColumns:
		return c.columns(n, v)
	case typeJSON:
		j, ok := c.json(n)
		v.Set(reflect.ValueOf(j))
		return ok
	case typeTestCount:
		return c.testCount(n, v)
	}
	if named(t) {
		return c.namedValues(n, v, f)
	}
	if isScalar(t) {
		return c.scalarValue(n, v, f)
	}
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		if t.Elem().Kind() == reflect.Struct {
			if v.IsNil() {
				c.l.defaults(p.Elem())
			} else {
				p.Elem().Set(v.Elem())
			}
		}
		ok := c.value(n, p.Elem(), f)
		v.Set(p)
		return ok
	case reflect.Struct:
		entries, ok := c.entries(n)
		if !ok {
			return false
		}
		if at := v.FieldByName("Pos"); at.IsValid() && at.Type() == typePos {
			at.Set(reflect.ValueOf(c.pos(n)))
			c.note(c.pos(n), n)
		}
		return object{scope: c, what: c.name(), node: n, v: v}.decode(entries)
	case reflect.Slice:
		return c.slice(n, v, f)
	case reflect.Map:
		return c.mapValue(n, v, f)
	}
	panic(fmt.Sprintf("config: %s: fields of type %s cannot be decoded", c.path, t))
}

func (c scope) slice(n *yaml.Node, v reflect.Value, f *field) bool {
	t := v.Type()
	items := []*yaml.Node{n}
	// One value may stand for a list of one.
	if !isScalar(t.Elem()) || n.Kind != yaml.ScalarNode || isNull(n) {
		var ok bool
		if items, ok = c.list(n); !ok {
			return false
		}
	}
	out := reflect.MakeSlice(t, 0, len(items))
	all := true
	for i, item := range items {
		e := reflect.New(t.Elem()).Elem()
		c.l.defaults(e)
		all = c.item(i).value(item, e, f) && all
		out = reflect.Append(out, e)
	}
	v.Set(out)
	return all
}

// namedValues decodes a map into a slice of Named.
func (c scope) namedValues(n *yaml.Node, v reflect.Value, f *field) bool {
	entries, ok := c.entries(n)
	if !ok {
		return false
	}
	out := reflect.MakeSlice(v.Type(), 0, len(entries))
	for _, e := range entries {
		inner := c.in(e.key.Value)
		item := reflect.New(v.Type().Elem()).Elem()
		c.l.defaults(item.FieldByName("Value"))
		item.FieldByName("Name").SetString(e.key.Value)
		item.FieldByName("Pos").Set(reflect.ValueOf(c.pos(e.key)))
		inner.note(c.pos(e.key), e.key)
		ok = inner.value(e.val, item.FieldByName("Value"), f) && ok
		out = reflect.Append(out, item)
	}
	v.Set(out)
	return ok
}

func (c scope) mapValue(n *yaml.Node, v reflect.Value, f *field) bool {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		panic(fmt.Sprintf("config: %s: maps of type %s cannot be decoded", c.path, t))
	}
	entries, ok := c.entries(n)
	if !ok {
		return false
	}
	out := reflect.MakeMapWithSize(t, len(entries))
	for _, e := range entries {
		item := reflect.New(t.Elem()).Elem()
		c.l.defaults(item)
		ok = c.in(e.key.Value).value(e.val, item, f) && ok
		out.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(t.Key()), item)
	}
	v.Set(out)
	return ok
}

// defaults makes v a struct that holds the defaults of its tags and nothing else. It panics on a default that its field does not take: that is a
// mistake in the build.
func (l *loader) defaults(v reflect.Value) {
	if v.Kind() != reflect.Struct || v.Type() == typePlugin || isScalar(v.Type()) {
		return
	}
	switch v.Type() {
	case typeTree, typePattern, typePos:
		return
	}
	if known, ok := l.defaulted[v.Type()]; ok {
		v.Set(known)
		return
	}
	whole := reflect.New(v.Type()).Elem()
	info := structureOf(v.Type())
	for i := range info.fields {
		f := &info.fields[i]
		fv := whole.FieldByIndex(f.index)
		if !f.hasDef {
			l.defaults(fv)
			continue
		}
		scratch := newLoader(l.opts)
		scratch.envVars = l.envVars
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.def, Line: 1, Column: 1}
		c := scope{l: scratch, f: newSource("", f.def), unknown: new(bool), path: &path{name: f.name}, roots: everything, limit: everything, isDefault: true}
		c.value(n, fv, f)
		if hasInterpolation(scratch.diags) {
			// The environment's fault, not the build's.
			l.whole("", CodeInterpolation, fmt.Sprintf("the default of %s: %s", f.name, scratch.diags[0].Message), "")
			continue
		}
		if errorsIn(scratch.diags) {
			panic(fmt.Sprintf("config: the default of %s.%s: %s", v.Type(), f.name, scratch.diags[0].Message))
		}
	}
	l.defaulted[v.Type()] = whole
	v.Set(whole)
}

func hasInterpolation(ds Diagnostics) bool {
	for i := range ds {
		if ds[i].Code == CodeInterpolation {
			return true
		}
	}
	return false
}
