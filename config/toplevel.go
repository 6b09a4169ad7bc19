package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// topKeys are the keys of a file, with what stands under each.
var topKeys = []struct {
	name, doc string
	list      bool
	// names: its members are things with names; a name may stand in one file only. Without it, the members are
	// settings, and each of them may stand in one file only.
	names bool
}{
	{name: "version", doc: "version of this language; 1"},
	{name: "pipelines", doc: "the pipelines by name", names: true},
	{name: "tables", doc: "tables that projections write, by name", names: true},
	{name: "stores", doc: "event stores by name; main is the default", names: true},
	{name: "databases", doc: "databases by name that tables may lie in, besides those of the stores", names: true},
	{name: "fragments", doc: "lists of steps by name, put in by `- use: NAME`", names: true},
	{name: "defaults", doc: "what every pipeline starts from"},
	{name: "server", doc: "the daemon's listener"},
	{name: "telemetry", doc: "logs, metrics and traces"},
	{name: "aws", doc: "settings of all AWS plugins; what one says itself wins"},
	{name: "tests", doc: "tests of the pipelines", list: true},
}

func topNames() []string {
	out := make([]string, len(topKeys))
	for i := range topKeys {
		out[i] = topKeys[i].name
	}
	return out
}

// foreignKeys are top-level keys of other tools' files, with what leat has for them.
var foreignKeys = map[string]string{
	"input":               "what events come from is a pipeline's source: `pipelines: NAME: source:`",
	"inputs":              "what events come from is a pipeline's source: `pipelines: NAME: source:`",
	"sources":             "each pipeline has its source: `pipelines: NAME: source:`",
	"output":              "what events go to is a forward among a pipeline's steps: `- forward: { … }`",
	"outputs":             "what events go to is a forward among a pipeline's steps: `- forward: { … }`",
	"sinks":               "what events go to is a forward among a pipeline's steps: `- forward: { … }`",
	"transforms":          "what happens to events are a pipeline's steps: `pipelines: NAME: steps:`",
	"processors":          "what happens to events are a pipeline's steps: `pipelines: NAME: steps:`",
	"processor_resources": "steps that several pipelines share are `fragments: NAME: [ … ]`, put in by `- use: NAME`",
	"logger":              "logs are set by `telemetry: { logs: { … } }`",
	"tracer":              "traces are set by `telemetry: { traces: { … } }`",
	"http":                "the listener is set by `server: { listen: … }`",
	"api":                 "the listener is set by `server: { listen: … }`",
}

// topLevel sorts the members of a file's root under their keys.
func (l *loader) topLevel(f *source, root *yaml.Node) {
	c := scope{l: l, f: f, roots: filter.Event, limit: everything}
	if root.Kind != yaml.MappingNode {
		c.fail(root, CodeWrongType, "a pipeline file is a map, got "+describe(root), "it starts with `pipelines:`")
		return
	}
	entries, _ := c.entries(root)
	for _, e := range entries {
		name := e.key.Value
		if strings.HasPrefix(name, "x-") {
			continue
		}
		in := c.in(name)
		known := -1
		for i := range topKeys {
			if topKeys[i].name == name {
				known = i
			}
		}
		switch {
		case known < 0:
			hint := didYouMean(name, topNames())
			if contains([]string{"source", "steps", "retry", "poison", "limits", "outbox", "store"}, name) {
				hint = fmt.Sprintf("%s belongs to a pipeline: write it under `pipelines: NAME:`", name)
			}
			if foreign := foreignKeys[name]; foreign != "" {
				hint = foreign
			}
			if hint == "" {
				hint = "keys: " + strings.Join(topNames(), ", ") + "; x-… is ignored"
			}
			in.path = &path{name: name}
			in.fail(e.key, CodeUnknownField, fmt.Sprintf("a pipeline file has no key %q", name), hint)
		case name == "version":
			if n := deref(e.val); n.Kind != yaml.ScalarNode || n.Value != "1" {
				in.fail(n, CodeBadValue, "this leat reads version 1 of the language, the file says "+describe(n), "write version: 1")
			}
		case topKeys[known].list:
			n := deref(e.val)
			if isNull(n) {
				continue
			}
			items, ok := in.list(n)
			if !ok {
				continue
			}
			for i, item := range items {
				if item := deref(item); item.Kind != yaml.MappingNode {
					in.item(i).wrongType(item, "a map")
				}
				l.top[name] = append(l.top[name], entry{f: f, val: item})
			}
		default:
			if n := deref(e.val); n.Kind == yaml.SequenceNode && topKeys[known].names {
				in.fail(n, CodeWrongType, name+" wants a map, got a list", "write the names as keys, without the -")
				continue
			}
			members, ok := in.entries(e.val)
			if !ok {
				continue
			}
			l.gather(in, name, members, topKeys[known].names)
		}
	}
}

// gather adds the members of one file, and refuses those that another file has too.
func (l *loader) gather(c scope, key string, members []entry, names bool) {
	for _, m := range members {
		var first *entry
		for i := range l.top[key] {
			if l.top[key][i].key.Value == m.key.Value {
				first = &l.top[key][i]
			}
		}
		if first == nil {
			l.top[key] = append(l.top[key], m)
			continue
		}
		what := fmt.Sprintf("%s.%s is set", key, m.key.Value)
		if names {
			what = fmt.Sprintf("the %s %q is defined", strings.TrimSuffix(key, "s"), m.key.Value)
		}
		c.in(m.key.Value).fail(m.key, CodeDuplicateName, what+" in two files", "")
		d := &l.diags[len(l.diags)-1]
		d.Related = append(d.Related, Related{first.f.name, first.key.Line, first.f.column(first.key.Line, first.key.Column), "first here"})
	}
}

// section decodes the members that the files have under a key into a struct.
func (l *loader) section(key string, v reflect.Value) {
	l.defaults(v)
	members := l.top[key]
	if len(members) == 0 {
		return
	}
	c := scope{l: l, f: members[0].f, path: &path{name: key}, roots: filter.Event, limit: everything}
	object{scope: c, what: key, node: members[0].key, v: v}.decode(members)
}

// decodeAll decodes what was gathered from all files.
func (l *loader) decodeAll() {
	l.section("server", reflect.ValueOf(&l.cfg.Server).Elem())
	l.section("telemetry", reflect.ValueOf(&l.cfg.Telemetry).Elem())
	l.settings("aws")
	root := scope{l: l, roots: filter.Event, limit: everything}
	for _, e := range l.top["databases"] {
		c := root.in("databases").in(e.key.Value)
		c.f = e.f
		l.databaseNames = append(l.databaseNames, e.key.Value)
		if p, ok := c.plugin(e.val, KindDatabase); ok {
			l.cfg.Databases[e.key.Value] = p
		}
	}
	for _, e := range l.top["tables"] {
		c := root.in("tables")
		c.f = e.f
		l.cfg.Tables[e.key.Value] = c.table(e)
	}
	for _, e := range l.top["stores"] {
		c := root.in("stores").in(e.key.Value)
		c.f = e.f
		l.storeNames = append(l.storeNames, e.key.Value)
		if p, ok := c.plugin(e.val, KindStore); ok {
			l.cfg.Stores[e.key.Value] = p
		}
	}
	l.mainStore()
	for _, e := range l.top["fragments"] {
		c := root.in("fragments").in(e.key.Value)
		c.f = e.f
		if n := deref(e.val); n.Kind != yaml.SequenceNode {
			c.wrongType(n, "a list of steps")
			continue
		}
		l.fragments[e.key.Value] = e
		l.fragmentNames = append(l.fragmentNames, e.key.Value)
	}
	var base Defaults
	l.section("defaults", reflect.ValueOf(&base).Elem())
	for _, e := range l.top["defaults"] {
		if e.key.Value == "store" {
			c := root.in("defaults")
			c.f = e.f
			l.storeUse(c, &Pipeline{Store: base.Store}, &e)
		}
	}
	if len(l.top["pipelines"]) == 0 && len(l.top["stores"]) == 0 && !l.diags.HasErrors() {
		l.whole(l.files[0].name, CodeMissingField, "no pipeline is defined", "a pipeline file starts with `pipelines:`; one with `stores:` alone runs an event store")
	}
	for _, e := range l.top["pipelines"] {
		l.decodePipeline(e, base)
	}
	for _, e := range l.top["tests"] {
		l.cfg.rawTests = append(l.cfg.rawTests, Raw{node: e.val, f: e.f})
	}
	l.decodeTests()
	l.checkLookups()
	l.noteReading()
	l.keyless()
	l.logLoops()
	l.checkMounts()
	l.unused()
}

// keyless looks for tables that no step gives a key.
func (l *loader) keyless() {
	for _, name := range l.writerNames {
		if w := l.writers[name]; w.key == "" && w.whole {
			l.add(Diagnostic{File: w.at.File, f: w.f, Line: w.at.Line, Col: w.at.Col, EndCol: w.at.Col + len([]rune(name)), Path: w.path.String(), Code: CodeMissingField, Severity: Error,
				Message: fmt.Sprintf("no step into the table %s has a key, so nothing can tell its rows apart", name), Hint: "one step at least needs `key: { column: expression }`"})
		}
	}
}

// mainStore puts in the store that is there without being written: SQLite, with its defaults.
func (l *loader) mainStore() {
	if contains(l.storeNames, "main") || len(l.top["pipelines"]) == 0 && len(l.storeNames) > 0 {
		return // an event store without pipelines has the stores that its files name
	}
	r, ok := LookupPlugin(KindStore, "sqlite")
	if !ok {
		return
	}
	v := reflect.New(r.Config).Elem()
	l.defaults(v)
	l.cfg.Stores["main"] = Plugin{Kind: KindStore, Name: "sqlite", Config: v.Interface()}
}

// unused warns of definitions that nothing refers to; fragments among them are checked too.
func (l *loader) unused() {
	root := scope{l: l, roots: filter.Event | filter.Log, limit: everything}
	for _, e := range l.top["fragments"] {
		if l.usedFragments[e.key.Value] || l.fragments[e.key.Value].key == nil {
			continue
		}
		c := root.in("fragments").in(e.key.Value)
		c.f = e.f
		c.warn(e.key, CodeUnused, fmt.Sprintf("the fragment %q is not used", e.key.Value), "")
		p := newPipelineScope(&Pipeline{})
		p.handled = true
		writers, names := l.writers, l.writerNames
		l.writers = map[string]*writer{}
		p.list(c.expand(e.val, []string{e.key.Value}), place{loose: true})
		l.writers, l.writerNames = writers, names
	}
	for _, e := range l.top["tables"] {
		if !l.usedTables[e.key.Value] {
			c := root.in("tables").in(e.key.Value)
			c.f = e.f
			c.warn(e.key, CodeUnused, fmt.Sprintf("no projection writes the table %q", e.key.Value), "")
		}
	}
	for _, e := range l.top["databases"] {
		if !l.usedDatabases[e.key.Value] {
			c := root.in("databases").in(e.key.Value)
			c.f = e.f
			c.warn(e.key, CodeUnused, fmt.Sprintf("no table lies in the database %q", e.key.Value), "write `in: "+e.key.Value+"` in a table's definition under tables")
		}
	}
	for _, e := range l.top["stores"] {
		if !l.usedStores[e.key.Value] && len(l.top["pipelines"]) > 0 {
			c := root.in("stores").in(e.key.Value)
			c.f = e.f
			c.warn(e.key, CodeUnused, fmt.Sprintf("no pipeline uses the store %q", e.key.Value), "")
		}
	}
}
