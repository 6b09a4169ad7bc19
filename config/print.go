package config

import (
	"bytes"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Print gives the effective config as YAML: files merged, fragments put in, defaults filled in, ${…} replaced, secrets
// masked. Apart from masked values it loads to the same Config again.
func Print(cfg *Config) []byte {
	p := printer{cfg.noEnv}
	root := mapping()
	pipelines := mapping()
	for _, x := range cfg.Pipelines {
		put(pipelines, x.Name, p.pipeline(x))
	}
	put(root, "pipelines", pipelines)
	tables := mapping()
	for _, name := range tableNames(cfg.Tables) {
		put(tables, name, p.structure(reflect.ValueOf(cfg.Tables[name]).Elem()))
	}
	putSome(root, "tables", tables)
	stores := mapping()
	names := make([]string, 0, len(cfg.Stores))
	for name := range cfg.Stores {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		put(stores, name, p.component(cfg.Stores[name], mapping()))
	}
	putSome(root, "stores", stores)
	putSome(root, "server", p.structure(reflect.ValueOf(cfg.Server)))
	putSome(root, "telemetry", p.structure(reflect.ValueOf(cfg.Telemetry)))
	aws := mapping()
	if cfg.AWS != nil {
		aws = p.structure(reflect.ValueOf(cfg.AWS))
	}
	keys := make([]string, 0, len(cfg.otherAWS))
	for key := range cfg.otherAWS {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		put(aws, key, maskRaw(key, plain(cfg.otherAWS[key].node)))
	}
	putSome(root, "aws", aws)
	tests := &yaml.Node{Kind: yaml.SequenceNode}
	for _, t := range cfg.rawTests {
		tests.Content = append(tests.Content, plain(t.node))
	}
	putSome(root, "tests", tests)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		panic("config: print: " + err.Error()) // nodes made of text always encode
	}
	return b.Bytes()
}

type printer struct{ noEnv bool }

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func put(m *yaml.Node, key string, v *yaml.Node) {
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, v)
}

func putSome(m *yaml.Node, key string, v *yaml.Node) {
	if len(v.Content) > 0 {
		put(m, key, v)
	}
}

// text is a scalar that loads as the same text again.
func (p printer) text(s string) *yaml.Node {
	if !p.noEnv {
		s = strings.ReplaceAll(s, "${", "$${")
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.HasPrefix(s, "$") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func number(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func (p printer) pipeline(x *Pipeline) *yaml.Node {
	m := mapping()
	put(m, "source", p.component(x.Source.Plugin, p.structure(reflect.ValueOf(x.Source))))
	steps := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range x.Steps {
		steps.Content = append(steps.Content, p.step(&x.Steps[i]))
	}
	put(m, "steps", steps)
	m.Content = append(m.Content, p.structure(reflect.ValueOf(*x)).Content...)
	return m
}

// component writes the plugin's key before those of its frame.
func (p printer) component(x Plugin, frame *yaml.Node) *yaml.Node {
	m := mapping()
	if x.Config != nil {
		put(m, x.Name, p.structure(reflect.ValueOf(x.Config)))
	}
	m.Content = append(m.Content, frame.Content...)
	return m
}

func (p printer) step(s *Step) *yaml.Node {
	frame := p.structure(reflect.ValueOf(*s))
	m := mapping()
	relay := s.Project != nil || s.Forward != nil
	var behind []*yaml.Node
	for i := 0; i+1 < len(frame.Content); i += 2 {
		switch key := frame.Content[i].Value; {
		case key == "name" || key == "when":
			m.Content = append(m.Content, frame.Content[i:i+2]...)
		case key == "retry" || relay || ((s.Handle != nil || s.Lookup != nil) && key == "limits"):
			behind = append(behind, frame.Content[i:i+2]...)
		}
	}
	switch {
	case s.Filter != nil:
		put(m, "filter", p.text(s.Filter.Source))
	case s.Match != nil:
		put(m, "match", p.pattern(*s.Match))
	case s.Map != nil:
		put(m, "map", p.structure(reflect.ValueOf(*s.Map)))
	case s.Validate != nil:
		put(m, "validate", p.structure(reflect.ValueOf(*s.Validate)))
	case s.Lookup != nil:
		put(m, "lookup", p.structure(reflect.ValueOf(*s.Lookup)))
	case s.Split != nil:
		put(m, "split", p.structure(reflect.ValueOf(*s.Split)))
	case s.Handle != nil:
		put(m, "handle", p.component(*s.Handle, mapping()))
	case s.Branch != nil:
		put(m, "branch", p.cases(s.Branch))
	case s.Append != nil:
		put(m, "append", p.structure(reflect.ValueOf(*s.Append)))
	case s.Project != nil:
		put(m, "project", p.structure(reflect.ValueOf(*s.Project)))
	case s.Forward != nil:
		put(m, "forward", p.component(s.Forward.Sink, p.structure(reflect.ValueOf(*s.Forward))))
	}
	m.Content = append(m.Content, behind...)
	return m
}

func (p printer) cases(cases []Case) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range cases {
		m := p.structure(reflect.ValueOf(cases[i]))
		steps := &yaml.Node{Kind: yaml.SequenceNode}
		for j := range cases[i].Steps {
			steps.Content = append(steps.Content, p.step(&cases[i].Steps[j]))
		}
		put(m, "steps", steps)
		list.Content = append(list.Content, m)
	}
	return list
}

// structure writes the fields of a struct that hold something, or have a default.
func (p printer) structure(v reflect.Value) *yaml.Node {
	m := mapping()
	info := structureOf(v.Type())
	for i := range info.fields {
		f := &info.fields[i]
		fv := v.FieldByIndex(f.index)
		if fv.IsZero() && !f.hasDef && !f.required {
			continue
		}
		n := p.value(fv)
		if n == nil || n.Kind != yaml.ScalarNode && len(n.Content) == 0 {
			continue
		}
		put(m, f.name, n)
	}
	return m
}

func (p printer) value(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case Expr:
		if x.IsZero() {
			return nil
		}
		return p.text(x.Source)
	case Text:
		return p.text(x.Source)
	case Pattern:
		if x.IsZero() {
			return nil
		}
		return p.pattern(x)
	case Tree:
		return p.tree(x)
	case Exprs:
		m := mapping()
		for _, e := range x {
			put(m, e.Name, p.text(e.Expr.Source))
		}
		return m
	case Secret:
		return p.text(masked)
	case Size:
		return number(x.String())
	case time.Duration:
		return number(x.String())
	case Plugin:
		return p.component(x, mapping())
	case []TableColumn:
		m := mapping()
		for _, c := range x {
			put(m, c.Name, p.text(c.Type))
		}
		return m
	case interface{ MarshalText() ([]byte, error) }:
		b, err := x.MarshalText()
		if err != nil {
			return nil
		}
		return p.text(string(b))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return p.value(v.Elem())
	case reflect.Struct:
		return p.structure(v)
	case reflect.Slice:
		s := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			if n := p.value(v.Index(i)); n != nil {
				s.Content = append(s.Content, n)
			}
		}
		return s
	case reflect.Map:
		m := mapping()
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			if n := p.value(v.MapIndex(k)); n != nil {
				put(m, k.String(), n)
			}
		}
		return m
	case reflect.String:
		return p.text(v.String())
	case reflect.Bool:
		return number(strconv.FormatBool(v.Bool()))
	case reflect.Float32, reflect.Float64:
		return number(strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return number(strconv.FormatUint(v.Uint(), 10))
	}
	return number(strconv.FormatInt(v.Int(), 10))
}

func (p printer) tree(t Tree) *yaml.Node {
	if t.Leaf != nil {
		return p.text(t.Leaf.Source)
	}
	m := mapping()
	for _, f := range t.Fields {
		put(m, f.Name, p.tree(f.Tree))
	}
	return m
}

// pattern writes a pattern as YAML, which JSON is.
func (p printer) pattern(x Pattern) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal(x.JSON, &n); err != nil || len(n.Content) == 0 {
		return p.text(string(x.JSON))
	}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			*n = *p.text(n.Value)
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(n.Content[0])
	return n.Content[0]
}

// plain is a copy of a node without anchors and aliases.
func plain(n *yaml.Node) *yaml.Node {
	n = deref(n)
	out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	for _, c := range n.Content {
		out.Content = append(out.Content, plain(c))
	}
	return out
}

// maskRaw masks what looks like a secret by its key, in parts that no struct describes.
func maskRaw(key string, n *yaml.Node) *yaml.Node {
	key = strings.ToLower(key)
	if n.Kind == yaml.ScalarNode {
		for _, word := range []string{"secret", "token", "password", "key", "credential"} {
			if strings.Contains(key, word) {
				return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: masked}
			}
		}
		return n
	}
	for i, c := range n.Content {
		name := key
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			name = n.Content[i-1].Value
		}
		n.Content[i] = maskRaw(name, c)
	}
	return n
}
