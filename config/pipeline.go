package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// pipelineScope is what the steps of one pipeline share while they are decoded.
type pipelineScope struct {
	pipeline *Pipeline
}

// placed is a step in its place, after fragments were put in.
type placed struct {
	scope
	n *yaml.Node
}

// expand puts the fragments into a list of steps.
func (c scope) expand(n *yaml.Node, open []string) []placed {
	items, ok := c.list(n)
	if !ok {
		return nil
	}
	var out []placed
	for i, item := range items {
		at := c.item(i)
		n := deref(item)
		use, ok := at.member(n, "use")
		if n.Kind != yaml.MappingNode || !ok {
			out = append(out, placed{at, n})
			continue
		}
		if members, _ := at.quiet(n); len(members) > 1 {
			for _, m := range members {
				if m.key.Value != "use" {
					at.in(m.key.Value).fail(m.key, CodeConflict, fmt.Sprintf("%s cannot stand beside use, which puts a whole list of steps here", m.key.Value), "")
					break
				}
			}
		}
		in := at.in("use")
		name, ok := in.scalar(deref(use.val), "the name of a fragment", asText)
		if !ok {
			continue
		}
		frag, ok := c.l.fragments[name.s]
		if !ok {
			in.fail(deref(use.val), CodeUnknownName, fmt.Sprintf("no fragment is called %q", name.s), suggestOr(name.s, c.l.fragmentNames, "fragments: "))
			continue
		}
		c.l.usedFragments[name.s] = true
		if contains(open, name.s) {
			in.fail(deref(use.val), CodeRecursion, fmt.Sprintf("the fragment %s contains itself: %s", name.s, strings.Join(append(open, name.s), " → ")), "")
			continue
		}
		inner := c
		inner.f = frag.f
		inner.path = &path{up: &path{name: "fragments"}, name: name.s}
		node := deref(use.val)
		inner.uses = append(append([]Related(nil), c.uses...), Related{at.f.name, node.Line, at.f.column(node.Line, node.Column), "used here"})
		out = append(out, inner.expand(frag.val, append(append([]string(nil), open...), name.s))...)
	}
	return out
}

// decodePipeline decodes one entry of pipelines.
func (l *loader) decodePipeline(e entry, base Defaults) {
	clear(l.scopes) // they gather what their expressions read
	p := &Pipeline{Name: e.key.Value, Retry: base.Retry, Poison: base.Poison, Store: base.Store, Limits: base.Limits, Drain: base.Drain}
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
	p.Source.Plugin, _ = c.component(e.val, KindSource, v, "source")
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
	last := -1
	var lastKey placed
	for i, s := range list {
		if m, ok := s.member(s.n, "append"); ok {
			last, lastKey = i, placed{s.scope, m.key}
		}
	}
	// An outbox's append stands before the first step that reads the log.
	cut := last
	if last < 0 && p.Outbox {
		cut = len(list)
		for i := len(list) - 1; i >= 0; i-- {
			if k := list[i].kindOf(list[i].n); k != nil && k.relay {
				cut = i - 1
			}
		}
	}
	fromLog := p.Source.Plugin.Name == "event_log"
	if outbox != nil && p.Outbox && last >= 0 {
		c.l.at(outbox.f, outbox.key, &path{up: c.path.up, name: "outbox"}, CodeConflict, "outbox records each event by itself: with an append below it the event would be recorded twice", "take outbox away: the append is the outbox").
			Related = []Related{{lastKey.f.name, lastKey.n.Line, lastKey.f.column(lastKey.n.Line, lastKey.n.Column), "the append"}}
	}
	shared := &pipelineScope{pipeline: p}
	names := map[string]Related{}
	forwards := map[string]*Step{}
	relays := map[string]relayHead{}
	for i, s := range list {
		at := s.scope
		at.roots = filter.Event
		if i > cut && (last >= 0 || p.Outbox) || fromLog {
			at.roots |= filter.Log
		}
		step, ok := shared.step(at, s.n)
		p.Steps = append(p.Steps, step)
		l.stepName(at, s.n, &step, names)
		kind := at.kindOf(s.n)
		if kind == nil {
			continue
		}
		if key, found := at.member(s.n, kind.name); found && kind.relay {
			in := at.in(kind.name)
			switch {
			case i < last:
				in.fail(key.key, CodeOrder, fmt.Sprintf("%s stands above the last append: it reads the log, which that append writes", kind.name), "move it below the append")
				d := &l.diags[len(l.diags)-1]
				d.Related = append(d.Related, Related{lastKey.f.name, lastKey.n.Line, lastKey.f.column(lastKey.n.Line, lastKey.n.Column), "the last append"})
			case last < 0 && kind.name == "project" && !p.Outbox && !fromLog:
				in.fail(key.key, CodeNeedsLog, "project reads the log, and nothing in this pipeline writes it", "put an append above it, or `outbox: true` beside steps")
			}
		}
		if ok && step.Forward != nil && step.Name == "" {
			at.checkTarget(s.n, p.Steps, len(p.Steps)-1, forwards)
		}
		if ok {
			at.checkRelay(s.n, &step, relays)
		}
	}
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

// relayHead is the first step of a relay.
type relayHead struct {
	step *Step
	at   Related
}

// checkRelay looks for settings that a later step of a relay cannot have, as the relay takes them from its first.
func (c scope) checkRelay(n *yaml.Node, s *Step, relays map[string]relayHead) {
	identity := ""
	switch {
	case s.Project != nil:
		identity = "project " + s.Project.Table
	case s.Forward != nil && s.Name == "":
		identity = s.Forward.Sink.Name
		if t, ok := s.Forward.Sink.Config.(targeted); ok {
			identity += " " + t.Target()
		}
	default:
		return
	}
	first, again := relays[identity]
	if !again {
		relays[identity] = relayHead{s, Related{c.f.name, n.Line, c.f.column(n.Line, n.Column), "the relay's first step"}}
		return
	}
	members, _ := c.quiet(n)
	for _, m := range members {
		if contains([]string{"from", "was", "batch", "limits", "retry"}, m.key.Value) {
			c.in(m.key.Value).warn(m.key, CodeUnused, fmt.Sprintf("%s has no effect here: steps to one target are one relay, which takes it from the first of them", m.key.Value), "")
			d := &c.l.diags[len(c.l.diags)-1]
			d.Related = append(d.Related, first.at)
		}
	}
	if s.Project != nil && s.Project.Inline != first.step.Project.Inline {
		if m, ok := c.member(n, "project"); ok {
			c.in("project").fail(m.key, CodeConflict, fmt.Sprintf("all steps into the table %s are inline, or none", s.Project.Table), "")
			d := &c.l.diags[len(c.l.diags)-1]
			d.Related = append(d.Related, first.at)
		}
	}
}

// targeted is what config structs of sinks implement to say what they write to (sinks.Target).
type targeted interface{ Target() string }

// checkTarget looks for two forwards without a name whose sinks differ, but not in what names their relay.
func (c scope) checkTarget(n *yaml.Node, all []Step, i int, seen map[string]*Step) {
	s := &all[i]
	identity := s.Forward.Sink.Name
	if t, ok := s.Forward.Sink.Config.(targeted); ok {
		identity += " " + t.Target()
	}
	first := seen[identity]
	if first == nil {
		copied := *s
		seen[identity] = &copied
		return
	}
	if reflect.DeepEqual(stripped(first.Forward.Sink.Config), stripped(s.Forward.Sink.Config)) {
		return
	}
	m, _ := c.member(n, "forward")
	at := first.Forward.Sink.Pos
	c.in("forward").fail(m.key, CodeDuplicateName, fmt.Sprintf("two forwards of the pipeline have the identity %q, but not the same settings", identity), "give each a name: `- name: to-somewhere`")
	d := &c.l.diags[len(c.l.diags)-1]
	d.Related = append(d.Related, Related{at.File, at.Line, at.Col, "the other one"})
}

// stripped is a config without its places, so that two of them can be compared.
func stripped(cfg any) any {
	v := reflect.New(reflect.TypeOf(cfg)).Elem()
	v.Set(reflect.ValueOf(cfg))
	strip(v)
	return v.Interface()
}

func strip(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.CanSet() && f.Type() == typePos {
				f.SetZero()
			} else if f.CanSet() {
				strip(f)
			}
		}
	}
}
