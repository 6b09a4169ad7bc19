package steps

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// object builds a JSON value from a tree of expressions.
type object struct {
	leaf   *filter.Program
	fields []objectField
}

type objectField struct {
	name string // as a JSON string, with its quotes
	key  string
	val  *object
}

func compileObject(s *filter.Scope, t config.Tree) (*object, error) {
	if t.Leaf != nil {
		p, err := s.Compile(t.Leaf.Source, filter.Any)
		return &object{leaf: p}, err
	}
	o := &object{}
	for _, f := range t.Fields {
		v, err := compileObject(s, f.Tree)
		if err != nil {
			return nil, err
		}
		if err := o.set(strings.Split(f.Name, "."), v); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *object) set(path []string, v *object) error {
	i := slices.IndexFunc(o.fields, func(f objectField) bool { return f.key == path[0] })
	if i < 0 {
		i = len(o.fields)
		o.fields = append(o.fields, objectField{name: string(event.Quote(path[0])), key: path[0], val: &object{}})
	}
	at := o.fields[i].val
	if len(path) > 1 {
		if at.leaf != nil {
			return fmt.Errorf("steps: %s is a value and has parts", path[0])
		}
		return at.set(path[1:], v)
	}
	if at.leaf != nil || len(at.fields) > 0 {
		return fmt.Errorf("steps: %s is set twice", path[0])
	}
	o.fields[i].val = v
	return nil
}

func (o *object) append(dst []byte, v *filter.View) ([]byte, error) {
	if o.leaf != nil {
		return o.leaf.JSON(dst, v)
	}
	dst = append(dst, '{')
	for i := range o.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, o.fields[i].name...)
		dst = append(dst, ':')
		var err error
		if dst, err = o.fields[i].val.append(dst, v); err != nil {
			return dst, fmt.Errorf("%s: %w", o.fields[i].key, err)
		}
	}
	return append(dst, '}'), nil
}

// eventFields writes another event than the one in hand: the fields of append and forward.
type eventFields struct {
	id, typ, source, subject, time *filter.Template
	data                           *object
}

func compileFields(s *filter.Scope, c *config.EventFields) (eventFields, error) {
	var f eventFields
	for _, t := range []struct {
		src config.Text
		dst **filter.Template
	}{{c.ID, &f.id}, {c.Type, &f.typ}, {c.Source, &f.source}, {c.Subject, &f.subject}, {c.Time, &f.time}} {
		if t.src.IsZero() {
			continue
		}
		var err error
		if *t.dst, err = s.Template(t.src.Source); err != nil {
			return f, err
		}
	}
	if !c.Data.IsZero() {
		var err error
		if f.data, err = compileObject(s, c.Data); err != nil {
			return f, err
		}
	}
	return f, nil
}

// apply gives the event that the fields make of the one in hand. Fields that come out as they are change nothing.
func (f *eventFields) apply(x *Exec, e *event.Event) error {
	for _, t := range []struct {
		name string
		tmpl *filter.Template
		dst  *string
	}{{"id", f.id, &e.ID}, {"type", f.typ, &e.Type}, {"source", f.source, &e.Source}, {"subject", f.subject, &e.Subject}} {
		if t.tmpl == nil {
			continue
		}
		s, err := t.tmpl.Text(x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", t.name, err))
		}
		if s != *t.dst {
			*t.dst, e.Changed = s, true
		}
	}
	if f.time != nil {
		s, err := f.time.Text(x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("time: %w", err))
		}
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("time: %q is no RFC 3339 time", s))
		}
		if !at.Equal(e.Time) {
			e.Time, e.Changed = at, true
		}
	}
	if f.data != nil {
		data, err := f.data.append(nil, x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("data: %w", err))
		}
		e.Data, e.Changed = data, true
	}
	return nil
}

// mapStep sets and takes away parts of the event.
type mapStep struct {
	sets  []mapSet
	unset [][]string
}

type mapSet struct {
	path []string
	val  *filter.Program
}

func compileMap(s *filter.Scope, c *config.Map) (*mapStep, error) {
	m := &mapStep{}
	if err := m.add(s, nil, c.Set); err != nil {
		return nil, err
	}
	for _, u := range c.Unset {
		m.unset = append(m.unset, strings.Split(u, "."))
	}
	return m, nil
}

func (m *mapStep) add(s *filter.Scope, path []string, t config.Tree) error {
	if t.Leaf != nil {
		p, err := s.Compile(t.Leaf.Source, filter.Any)
		if err != nil {
			return err
		}
		m.sets = append(m.sets, mapSet{path: path, val: p})
		return nil
	}
	for _, f := range t.Fields {
		if err := m.add(s, append(slices.Clip(path), strings.Split(f.Name, ".")...), f.Tree); err != nil {
			return err
		}
	}
	return nil
}

// run evaluates every expression on the event as it was, then sets, then unsets.
func (m *mapStep) run(x *Exec) error {
	vals := make([][]byte, len(m.sets))
	for i, s := range m.sets {
		v, err := s.val.JSON(nil, x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", strings.Join(s.path, "."), err))
		}
		vals[i] = v
	}
	e := &x.ev.Event
	for i, s := range m.sets {
		if err := assign(e, s.path, vals[i]); err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", strings.Join(s.path, "."), err))
		}
	}
	for _, p := range m.unset {
		if err := assign(e, p, nil); err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", strings.Join(p, "."), err))
		}
	}
	x.changed()
	return nil
}

// assign puts a JSON value at a path of the event; nil takes it away.
func assign(e *event.Event, path []string, value []byte) error {
	switch path[0] {
	case "data":
		return assignJSON(&e.Data, path[1:], value)
	case "metadata":
		codec.FillMetadata(e)
		return assignJSON(&e.Metadata, path[1:], value)
	case "time":
		if value == nil || string(value) == "null" {
			e.Time = time.Time{}
			return nil
		}
		s, err := rawjson.Unquote(value)
		if err != nil {
			return fmt.Errorf("%s is no RFC 3339 time", value)
		}
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return fmt.Errorf("%q is no RFC 3339 time", s)
		}
		e.Time = at
		return nil
	}
	dst := map[string]*string{"id": &e.ID, "source": &e.Source, "type": &e.Type, "subject": &e.Subject}[path[0]]
	if dst == nil || len(path) > 1 {
		return fmt.Errorf("the event has no %s", strings.Join(path, "."))
	}
	if value == nil || string(value) == "null" {
		*dst = ""
		return nil
	}
	if rawjson.KindOf(value) == rawjson.KindString {
		s, err := rawjson.Unquote(value)
		if err != nil {
			return err
		}
		*dst = s
		return nil
	}
	*dst = string(value) // a number or a boolean, as it is spelt
	return nil
}

func assignJSON(doc *[]byte, path []string, value []byte) error {
	if len(path) == 0 {
		*doc = value
		return nil
	}
	base := *doc
	if len(base) == 0 || string(base) == "null" {
		if value == nil {
			return nil
		}
		base = []byte("{}")
	}
	var out []byte
	var err error
	if value == nil {
		out, err = rawjson.Delete(base, path)
	} else {
		out, err = rawjson.Set(base, path, value)
	}
	if err != nil {
		return err
	}
	*doc = out
	return nil
}
