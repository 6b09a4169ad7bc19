package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// decodePipeline decodes one entry of pipelines.
func (l *loader) decodePipeline(e entry, base Defaults) {
	clear(l.scopes) // they gather what their expressions read
	p := &Pipeline{Name: e.key.Value, Retry: base.Retry, Poison: base.Poison, Store: base.Store, Limits: base.Limits, Drain: base.Drain, Lease: base.Lease}
	l.cfg.Pipelines = append(l.cfg.Pipelines, p)
	c := scope{l: l, f: e.f, path: &path{up: &path{name: "pipelines"}, name: p.Name}, roots: filter.Event, limit: everything}
	p.Pos = c.pos(e.key)
	if !isWord(p.Name) {
		c.fail(e.key, CodeBadValue, fmt.Sprintf("%q is no name for a pipeline", p.Name), "letters, digits, - _ and .")
	}
	entries, ok := c.entries(e.val)
	if !ok {
		return
	}
	var sourceEntry, stepsEntry, storeEntry, outboxEntry *entry
	frame := object{
		scope: c, what: "pipeline " + p.Name, node: e.key, v: reflect.ValueOf(p).Elem(), others: []string{"source", "steps"},
		other: func(m entry) bool {
			switch m.key.Value {
			case "source":
				sourceEntry = &m
			case "steps":
				stepsEntry = &m
			default:
				return false
			}
			return true
		},
		explain: func(name string) string {
			switch {
			case stepNamed(name) != nil:
				return fmt.Sprintf("%s is a step: write it as `- %s: …` under steps", name, name)
			case isPlugin(KindSource, name):
				return fmt.Sprintf("%s is a source: write it under source", name)
			case contains([]string{"order_by", "envelope"}, name):
				return name + " belongs to the source: write it under source"
			}
			return ""
		},
	}
	frame.decode(entries)
	for i := range entries {
		switch entries[i].key.Value {
		case "store":
			storeEntry = &entries[i]
		case "outbox":
			outboxEntry = &entries[i]
		}
	}
	l.storeUse(c, p, storeEntry)

	mistyped := map[string]bool{}
	for _, m := range entries {
		mistyped[nearest(m.key.Value, []string{"source", "steps"})] = true
	}
	if sourceEntry == nil && mistyped["source"] {
		// said already
	} else if sourceEntry == nil {
		c.fail(e.key, CodeMissingField, fmt.Sprintf("pipeline %s needs a source", p.Name), suggestOr("", pluginNames(KindSource), "sources in this build: "))
	} else {
		l.decodeSource(c.in("source"), *sourceEntry, p)
	}
	if stepsEntry == nil && mistyped["steps"] {
		return
	}
	if stepsEntry == nil || isNull(deref(stepsEntry.val)) {
		c.fail(e.key, CodeMissingField, fmt.Sprintf("pipeline %s needs steps", p.Name), "steps: "+strings.Join(stepNames(), ", "))
		return
	}
	l.decodeSteps(c.in("steps"), *stepsEntry, p, outboxEntry)
}

// storeUse checks that the store of a pipeline is there.
func (l *loader) storeUse(c scope, p *Pipeline, e *entry) {
	l.usedStores[p.Store] = true
	if e == nil || strings.Contains(p.Store, "${") {
		return
	}
	if _, ok := l.cfg.Stores[p.Store]; !ok && p.Store != "main" && p.Store != "" && !contains(l.storeNames, p.Store) {
		c.in("store").fail(deref(e.val), CodeUnknownName, fmt.Sprintf("no store is called %q", p.Store), suggestOr(p.Store, append(l.storeNames, "main"), "stores: "))
	}
}

func (l *loader) decodeSource(c scope, e entry, p *Pipeline) {
	c.f = e.f
	v := reflect.ValueOf(&p.Source).Elem()
	l.defaults(v)
	p.Source.Pos = c.pos(e.key)
	n := deref(e.val)
	if n.Kind == yaml.SequenceNode {
		c.fail(n, CodeWrongType, "source wants a map, got a list: a pipeline has one source", "take the - away; for several sources write several pipelines")
		return
	}
	var whole bool
	if p.Source.Plugin, whole = c.component(e.val, KindSource, v, "source"); whole {
		c.checkLog(e.val, p)
	}
	if m, ok := c.member(e.val, "event"); ok && p.Source.Envelope != "auto" && p.Source.Envelope != "json" && !p.Source.Event.IsZero() {
		c.in("event").fail(m.key, CodeConflict, fmt.Sprintf("event makes an event of a plain body, and envelope: %s says that the bodies are events already", p.Source.Envelope), "write envelope: json, or leave event out")
	}
}

// IsZero reports whether nothing is set.
func (m EventMap) IsZero() bool { return m == EventMap{} }

// decodeSteps decodes a pipeline's steps, and checks what holds among them.
func (l *loader) decodeSteps(c scope, e entry, p *Pipeline, outbox *entry) {
	c.f = e.f
	list := c.expand(e.val, nil)
	if n := deref(e.val); n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		c.fail(e.key, CodeMissingField, fmt.Sprintf("pipeline %s has no steps", p.Name), "steps: "+strings.Join(stepNames(), ", "))
		return
	}
	shared := newPipelineScope(p)
	for _, s := range list {
		if key, ok := s.appends(); ok {
			shared.lastAppend = &key
		}
	}
	if outbox != nil && p.Outbox && shared.lastAppend != nil {
		at := shared.lastAppend
		c.l.at(outbox.f, outbox.key, &path{up: c.path.up, name: "outbox"}, CodeConflict, "outbox records each event by itself: with an append below it the event would be recorded twice", "take outbox away: the append is the outbox").
			Related = []Related{at.related("the append")}
	}
	p.Steps = shared.list(list, place{})
}

// kindOf gives the kind of step that a map says, nil where it says none or several.
func (c scope) kindOf(n *yaml.Node) *stepKind {
	var found *stepKind
	members, _ := c.quiet(n)
	for _, m := range members {
		if k := stepNamed(m.key.Value); k != nil {
			if found != nil {
				return nil
			}
			found = k
		}
	}
	return found
}

// stepName checks that a step's name is a name, and unique in its pipeline.
func (l *loader) stepName(c scope, n *yaml.Node, s *Step, names map[string]Related) {
	if s.Name == "" {
		return
	}
	m, ok := c.member(n, "name")
	if !ok {
		return
	}
	at := deref(m.val)
	in := c.in("name")
	if strings.Contains(s.Name, "${") {
		return
	}
	if !isWord(s.Name) {
		in.fail(at, CodeBadValue, fmt.Sprintf("%q is no name for a step", s.Name), "letters, digits, - _ and .")
		return
	}
	here := Related{c.f.name, at.Line, c.f.column(at.Line, at.Column), "first here"}
	if first, twice := names[s.Name]; twice {
		in.fail(at, CodeDuplicateName, fmt.Sprintf("two steps of the pipeline are called %q", s.Name), "a name is the step's identity in state, metrics and poison")
		d := &l.diags[len(l.diags)-1]
		d.Related = append(d.Related, first)
		return
	}
	names[s.Name] = here
}
