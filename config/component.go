package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// A component is a map with exactly one plugin key; beside it stand the keys of its frame.

// component decodes a component whose frame is the struct v (which may have no fields), and gives its plugin.
func (c scope) component(n *yaml.Node, kind Kind, v reflect.Value, what string) (Plugin, bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		c.wrongComponent(n, kind, what)
		return Plugin{}, false
	}
	entries, ok := c.entries(n)
	if !ok {
		return Plugin{}, false
	}
	info := structureOf(v.Type())
	var plugins, unknown []entry
	for _, e := range entries {
		if info.byName[e.key.Value] != nil {
			continue
		}
		if _, ok := LookupPlugin(kind, e.key.Value); ok {
			plugins = append(plugins, e)
		} else {
			unknown = append(unknown, e)
		}
	}
	var p Plugin
	good := true
	switch {
	case len(plugins) > 1:
		second := plugins[1]
		c.fail(second.key, CodeTwoPlugins, fmt.Sprintf("%s names two %ss, %s and %s: it takes one", what, kind, plugins[0].key.Value, second.key.Value), "")
		good = false
	case len(plugins) == 0 && len(unknown) == 0:
		c.fail(n, CodeNoPlugin, fmt.Sprintf("%s names no plugin", what), suggestOr("", pluginNames(kind), fmt.Sprintf("%ss in this build: ", kind)))
		good = false
	case len(plugins) == 0:
		good = false
		rest := unknown[:0:0]
		named := false
		for _, e := range unknown {
			if named || nearest(e.key.Value, info.names()) != "" && nearest(e.key.Value, pluginNames(kind)) == "" {
				rest = append(rest, e)
				continue
			}
			named = true
			c.unknownPlugin(e, kind)
		}
		unknown = rest
		if !named {
			c.fail(n, CodeNoPlugin, fmt.Sprintf("%s names no plugin", what), suggestOr("", pluginNames(kind), fmt.Sprintf("%ss in this build: ", kind)))
		}
	}
	skip := map[string]bool{}
	for _, e := range plugins {
		skip[e.key.Value] = true
	}
	if len(plugins) == 0 {
		for _, e := range entries {
			skip[e.key.Value] = true
		}
		for _, e := range unknown {
			delete(skip, e.key.Value)
		}
		for _, name := range info.names() {
			delete(skip, name)
		}
	}
	if len(plugins) > 0 {
		var decoded bool
		p, decoded = c.decodePlugin(plugins[0], kind, info)
		good = good && decoded
	}
	frame := object{
		scope: c, what: what, node: n, v: v,
		other:  func(e entry) bool { return skip[e.key.Value] },
		others: pluginNames(kind),
		explain: func(name string) string {
			if kind == KindSink && what == "forward" && structureOf(reflect.TypeFor[Step]()).byName[name] != nil {
				return fmt.Sprintf("%s stands beside forward, not inside it", name)
			}
			if len(plugins) == 0 {
				return ""
			}
			own := plugins[0].key.Value
			if r, ok := LookupPlugin(kind, own); ok && structureOf(r.Config).byName[name] != nil {
				return fmt.Sprintf("%s belongs inside %s: indent it", name, own)
			}
			return ""
		},
	}
	return p, frame.decode(entries) && good
}

// decodePlugin decodes a plugin key's value into the struct that the plugin registered.
func (c scope) decodePlugin(e entry, kind Kind, frame *structure) (Plugin, bool) {
	name := e.key.Value
	r, ok := LookupPlugin(kind, name)
	if !ok {
		c.unknownPlugin(e, kind)
		return Plugin{}, false
	}
	c.f = e.f
	p := Plugin{Kind: kind, Name: name, Pos: c.pos(e.key)}
	v := reflect.New(r.Config).Elem()
	c.l.defaults(v)
	c.l.start(v)
	inner := c.in(name)
	n := deref(e.val)
	what := fmt.Sprintf("%s %s", kind, name)
	info := structureOf(r.Config)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		hint := ""
		for i := range info.fields {
			if f := &info.fields[i]; f.required && isScalar(f.typ) || f.required && f.typ.Kind() == reflect.Slice {
				hint = fmt.Sprintf("write %s: { %s: %s }", name, f.name, shorten(n.Value))
				break
			}
		}
		inner.fail(n, CodeWrongType, fmt.Sprintf("%s wants a map, got %s", what, describe(n)), hint)
		return p, false
	}
	entries, ok := inner.entries(n)
	if !ok {
		return p, false
	}
	o := object{scope: inner, what: what, node: e.key, v: v, explain: func(field string) string {
		if frame != nil && frame.byName[field] != nil {
			return fmt.Sprintf("%s stands beside %s, not inside it", field, name)
		}
		if kind == KindSink && contains([]string{"detail_type", "detail-type"}, field) {
			return fmt.Sprintf("it is the event's type: write `type: …` beside %s", name)
		}
		return ""
	}}
	good := o.decode(entries)
	p.Config = v.Interface()
	return p, good
}

// plugin decodes a component without a frame.
func (c scope) plugin(n *yaml.Node, kind Kind) (Plugin, bool) {
	var none struct{}
	return c.component(n, kind, reflect.ValueOf(&none).Elem(), c.name())
}

func pluginNames(kind Kind) []string {
	var out []string
	for _, r := range Plugins(kind) {
		out = append(out, r.Name)
	}
	return out
}

func (c scope) unknownPlugin(e entry, kind Kind) {
	name := e.key.Value
	c.f = e.f
	hint := didYouMean(name, pluginNames(kind))
	for _, other := range []Kind{KindSource, KindSink, KindHandler, KindStore, KindDatabase} {
		if _, ok := LookupPlugin(other, name); ok && other != kind && hint == "" {
			hint = fmt.Sprintf("%s is a %s, not a %s; ", name, other, kind)
		}
	}
	if hint == "" || strings.HasSuffix(hint, "; ") {
		if list := pluginNames(kind); len(list) > 0 {
			hint += suggestOr("", list, fmt.Sprintf("%ss in this build: ", kind))
		}
	}
	d := c.l.at(c.f, e.key, &path{up: c.path, name: name}, CodeUnknownPlugin, fmt.Sprintf("no %s is called %q", kind, name), strings.TrimSuffix(hint, "; "))
	d.Related = append(d.Related, c.uses...)
}

func (c scope) wrongComponent(n *yaml.Node, kind Kind, what string) {
	hint := ""
	name := nearest(n.Value, pluginNames(kind))
	if name != "" {
		hint = fmt.Sprintf("write { %s: { … } }", name)
	} else {
		hint = suggestOr("", pluginNames(kind), fmt.Sprintf("%ss in this build: ", kind))
	}
	c.fail(n, CodeWrongType, fmt.Sprintf("%s wants a map with the %s's name as its key, got %s", what, kind, describe(n)), hint)
}
