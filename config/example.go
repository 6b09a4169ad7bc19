package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// exampleOf gives a whole pipeline file that shows a subject: written by hand for steps and frames, made from the tags of
// its struct for a plugin. What it gives loads without an error; "" where nothing that was tried does.
func exampleOf(s *Subject) string {
	if text, ok := examples[s.Kind+" "+s.Name]; ok {
		return text
	}
	switch s.Kind {
	case "frame":
		t, ok := settingsType(s.Name)
		if !ok {
			return ""
		}
		return makeExample(t, func(n *yaml.Node) *yaml.Node {
			root := single(s.Name, n)
			root.Content = append(root.Content, pipelineWith(baseSource(), sequence(appendStep())).Content...)
			return root
		})
	case "step":
		k := stepNamed(s.Name)
		if k.typ.Kind() != reflect.Struct || isScalar(k.typ) || k.typ == typePattern || k.typ == typePlugin {
			return ""
		}
		return makeExample(k.typ, func(n *yaml.Node) *yaml.Node {
			return pipelineWith(baseSource(), sequence(single(s.Name, n), appendStep()))
		})
	}
	r, ok := LookupPlugin(Kind(s.Kind), s.Name)
	if !ok {
		return ""
	}
	return makeExample(r.Config, func(n *yaml.Node) *yaml.Node { return around(r, n) })
}

// around puts a whole file around a plugin's settings.
func around(r Registration, n *yaml.Node) *yaml.Node {
	own := single(r.Name, n)
	switch r.Kind {
	case KindSource:
		if _, reads := reflect.Zero(r.Config).Interface().(LogReader); reads { // what it reads is in the log already
			project := single("table", word("orders"))
			put(project, "key", single("order_id", word("data.order_id")))
			put(project, "set", single("updated", word("time")))
			return pipelineWith(own, sequence(single("project", project)))
		}
		return pipelineWith(own, sequence(appendStep()))
	case KindSink:
		return pipelineWith(baseSource(), sequence(appendStep(), single("forward", own)))
	case KindHandler:
		return pipelineWith(baseSource(), sequence(single("handle", own), appendStep()))
	}
	root := single("stores", single("main", own))
	root.Content = append(root.Content, pipelineWith(baseSource(), sequence(appendStep())).Content...)
	return root
}

// maxTries bounds how many files are tried for one example.
const maxTries = 200

// makeExample writes a struct's required fields, and of those with an example as many as go together.
func makeExample(t reflect.Type, whole func(*yaml.Node) *yaml.Node) string {
	if own := ownExample(t); own != nil {
		return encode(whole(own))
	}
	var optional []string
	for _, f := range fieldDocs(nil, "", t, 0) {
		if f.Example != "" && !f.Required {
			optional = append(optional, f.Name)
		}
	}
	tries := 0
	try := func(with ...string) string {
		if tries++; tries > maxTries {
			return ""
		}
		text := encode(whole(exampleNode(t, "", with)))
		if _, ds := LoadBytes("example", []byte(text), Options{NoEnv: true}); len(ds) > 0 {
			return ""
		}
		return text
	}
	var with []string
	best := try()
	for i := 0; best == "" && i < len(optional); i++ {
		with = []string{optional[i]}
		best = try(with...)
	}
	for i := 0; best == "" && i < len(optional); i++ {
		for j := i + 1; best == "" && j < len(optional); j++ {
			with = []string{optional[i], optional[j]}
			best = try(with...)
		}
	}
	if best == "" {
		return ""
	}
	for _, name := range optional {
		if contains(with, name) {
			continue
		}
		if text := try(append(with[:len(with):len(with)], name)...); text != "" {
			best, with = text, append(with, name)
		}
	}
	return best
}

// ownExample is what a plugin's struct gives as its example: the example tag of a field named _, a map of YAML.
func ownExample(t reflect.Type) *yaml.Node {
	for i := range t.NumField() {
		f := t.Field(i)
		if text := f.Tag.Get("example"); f.Name == "_" && text != "" {
			var n yaml.Node
			if err := yaml.Unmarshal([]byte(text), &n); err != nil || len(n.Content) != 1 {
				panic(fmt.Sprintf("config: the example of %s is no YAML: %v", t, err)) // a mistake in the build
			}
			return n.Content[0]
		}
	}
	return nil
}

// exampleNode is a struct as a file would have it: its required fields, and the optional ones named by with.
func exampleNode(t reflect.Type, prefix string, with []string) *yaml.Node {
	m := mapping()
	info := structureOf(t)
	for i := range info.fields {
		f := &info.fields[i]
		name := prefix + f.name
		wanted, deeper := f.required, false
		for _, w := range with {
			wanted = wanted || w == name
			deeper = deeper || strings.HasPrefix(w, name+".")
		}
		inner, key := within(f.typ)
		switch {
		case wanted && f.example != "":
			put(m, f.name, literalNode(f, f.example))
		case (wanted || deeper) && inner != nil && key == "":
			put(m, f.name, exampleNode(inner, name+".", with))
		case wanted:
			put(m, f.name, literalNode(f, guess(f)))
		}
	}
	return m
}

// guess is a value for a required field whose tags give no example.
func guess(f *field) string {
	switch {
	case len(f.enum) > 0:
		return f.enum[0]
	case f.typ == typeSecret:
		return "${" + strings.ToUpper(f.name) + "}"
	case f.typ == typeDuration:
		return "10s"
	case f.typ == typeExpr:
		return "data." + f.name
	case f.min != "":
		return f.min
	}
	switch f.typ.Kind() {
	case reflect.Slice:
		return "[" + guess(&field{name: f.name, typ: f.typ.Elem()}) + "]"
	case reflect.Bool:
		return "true"
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Float64:
		return "1"
	}
	return "my-" + f.name
}

// literalNode is a tag's text as a value: lists and maps are written in it as YAML.
func literalNode(f *field, text string) *yaml.Node {
	if !isScalar(f.typ) {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(text), &n); err == nil && len(n.Content) == 1 {
			return n.Content[0]
		}
	}
	if f.typ == typeDuration || f.typ == typeSize || f.typ.Kind() != reflect.String && f.typ.Kind() != reflect.Struct {
		return number(text)
	}
	return word(text)
}

func single(key string, v *yaml.Node) *yaml.Node {
	m := mapping()
	put(m, key, v)
	return m
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func word(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "{}") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func appendStep() *yaml.Node {
	return single("append", single("stream", word("order/{{ data.order_id }}")))
}

func pipelineWith(source, steps *yaml.Node) *yaml.Node {
	p := single("source", source)
	put(p, "steps", steps)
	return single("pipelines", single("example", p))
}

// baseSource is the source of examples of other things: a file, else what this build has.
func baseSource() *yaml.Node {
	all := Plugins(KindSource)
	if r, ok := LookupPlugin(KindSource, "file"); ok {
		all = append([]Registration{r}, all...)
	}
	for _, r := range all {
		if text := makeExample(r.Config, func(n *yaml.Node) *yaml.Node {
			return pipelineWith(single(r.Name, n), sequence(appendStep()))
		}); text != "" {
			if own := ownExample(r.Config); own != nil {
				return single(r.Name, own)
			}
			return single(r.Name, exampleNode(r.Config, "", nil))
		}
	}
	return mapping()
}

func encode(n *yaml.Node) string {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		panic(fmt.Sprintf("config: example: %v", err)) // nodes made of text always encode
	}
	return b.String()
}

// Starter gives a plugin's key with what it needs at least, as YAML, for a file that somebody begins: it loads as it
// stands, without any variable set. Secrets come from the environment, with a stand-in as their default.
func Starter(kind Kind, name string) (string, error) {
	r, ok := LookupPlugin(kind, name)
	if !ok {
		_, err := Describe(string(kind), name)
		if err == nil {
			err = fmt.Errorf("no %s is called %q", kind, name)
		}
		return "", err
	}
	var tried Diagnostics
	for _, n := range []*yaml.Node{exampleNode(r.Config, "", nil), ownExample(r.Config), exampleParts(r)} {
		if n == nil {
			continue
		}
		outside(n, r.Config, r.Name)
		text := encode(single(r.Name, n))
		if _, tried = LoadBytes("starter", []byte(encode(around(r, n))), Options{Env: func(string) (string, bool) { return "", false }}); !tried.HasErrors() {
			return text, nil
		}
	}
	return "", fmt.Errorf("%s %s cannot be begun without knowing more of it (see leat describe %s %s): %w", kind, name, kind, name, tried.Err())
}

// exampleParts is what makeExample found to go together.
func exampleParts(r Registration) *yaml.Node {
	var found *yaml.Node
	makeExample(r.Config, func(n *yaml.Node) *yaml.Node {
		if found == nil {
			found = n
		}
		root := around(r, n)
		if _, ds := LoadBytes("example", []byte(encode(root)), Options{NoEnv: true}); len(ds) == 0 {
			found = n
		}
		return root
	})
	return found
}

// outside makes secrets come from the environment: ${SINK_FIELD:-stand-in}.
func outside(n *yaml.Node, t reflect.Type, prefix string) {
	info := structureOf(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := info.byName[n.Content[i].Value]
		if f == nil {
			continue
		}
		name := prefix + "_" + f.name
		v := n.Content[i+1]
		if f.typ == typeSecret {
			stand := f.example
			if stand == "" {
				stand = "change-me"
			}
			*v = *word("${" + strings.ToUpper(name) + ":-" + stand + "}")
			continue
		}
		if f.typ.Kind() == reflect.Slice && f.typ.Elem() == typeSecret {
			*v = *sequence(word("${" + strings.ToUpper(name) + ":-change-me}"))
			v.Style = yaml.FlowStyle
			continue
		}
		if inner, key := within(f.typ); inner != nil && key == "" {
			outside(v, inner, name)
		}
	}
}
