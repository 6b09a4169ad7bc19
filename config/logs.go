package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// LogReader is what configs of sources implement that read the log of an event store.
type LogReader interface{ ReadsLog() LogSelection }

// LogSelection is what such a source reads. Empty lists select everything.
type LogSelection struct {
	Store                       string // "": the pipeline's own
	StreamTypes, Types, Origins []string
	// From and Until are places: start, now, a position, a time. Until "" with Follow: without end; without: up to
	// where the log ends at the start.
	From, Until string
	Follow      bool
}

// LogSelection gives what the pipeline's source reads of a log; false where it is none that does.
func (p *Pipeline) LogSelection() (LogSelection, bool) {
	r, ok := p.Source.Plugin.Config.(LogReader)
	if !ok {
		return LogSelection{}, false
	}
	s := r.ReadsLog()
	if s.Store == "" {
		s.Store = p.Store
	}
	return s, true
}

// checkLog checks what can be said of a source that reads a log once it is decoded.
func (c scope) checkLog(n *yaml.Node, p *Pipeline) {
	sel, ok := p.LogSelection()
	if !ok {
		return
	}
	c.l.usedStores[sel.Store] = true
	plugin, found := c.member(n, p.Source.Plugin.Name)
	if !found {
		return
	}
	c.l.logs = append(c.l.logs, logUse{p, sel, c.in(p.Source.Plugin.Name), plugin.key})
	if m, ok := c.in(p.Source.Plugin.Name).member(plugin.val, "store"); ok && !strings.Contains(sel.Store, "${") {
		if _, there := c.l.cfg.Stores[sel.Store]; !there && sel.Store != "main" && !contains(c.l.storeNames, sel.Store) {
			c.in(p.Source.Plugin.Name).in("store").fail(deref(m.val), CodeUnknownName, fmt.Sprintf("no store is called %q", sel.Store), suggestOr(sel.Store, append(c.l.storeNames, "main"), "stores: "))
		}
	}
	for _, name := range []string{"envelope", "event"} {
		if m, ok := c.member(n, name); ok && deref(m.val).Value != "auto" {
			c.in(name).fail(m.key, CodeConflict, fmt.Sprintf("%s says how a body becomes an event, and the log holds events already", name), "take it away; a `map` step changes events")
		}
	}
}

// logUse is a pipeline that reads a log, and where the file says so.
type logUse struct {
	p   *Pipeline
	sel LogSelection
	at  scope
	key *yaml.Node
}

// logLoops looks for pipelines that read what they write themselves, alone or by way of others.
func (l *loader) logLoops() {
	for i := range l.logs {
		u := &l.logs[i]
		if writes(u.p, u.p, &u.sel) {
			fix := "name the `origins`, `streams` or `types` that are to be read"
			if endless(u.p) {
				u.at.fail(u.key, CodeLoop, "this pipeline reads what it writes itself, without end", fix)
			} else {
				u.at.warn(u.key, CodeLoop, "this pipeline may read what it writes itself", fix)
			}
			continue
		}
		if way := l.wayBack(u, u, nil); way != nil {
			u.at.warn(u.key, CodeLoop, "this pipeline may read what becomes of what it writes, by way of "+strings.Join(way, ", "), "name the `origins`, `streams` or `types` that are to be read")
		}
	}
}

// wayBack gives the pipelines by which what u writes may come to target; nil where there is no such way.
func (l *loader) wayBack(u, target *logUse, seen []string) []string {
	for i := range l.logs {
		next := &l.logs[i]
		if next == u || contains(seen, next.p.Name) || !writes(u.p, next.p, &next.sel) {
			continue
		}
		if next == target {
			return seen
		}
		if way := l.wayBack(next, target, append(seen[:len(seen):len(seen)], next.p.Name)); len(way) > 0 {
			return way
		}
	}
	return nil
}

// writes reports whether what p appends may be among what a source of reader selects. What is not known before events
// come is taken for possible.
func writes(p, reader *Pipeline, sel *LogSelection) bool {
	if p.Store != sel.Store {
		return false
	}
	if p.Outbox {
		return (len(sel.Origins) == 0 || contains(sel.Origins, p.Name)) && (len(sel.StreamTypes) == 0 || contains(sel.StreamTypes, "$outbox."+p.Name))
	}
	last := -1
	for i := range p.Steps {
		for _, s := range AllSteps(p.Steps[i : i+1]) {
			if s.Append != nil {
				last = i
			}
		}
	}
	for _, s := range AllSteps(p.Steps) {
		a := s.Append
		if a == nil {
			continue
		}
		// The last one has the pipeline's name as its origin, others and those in branches the step's name behind it.
		alone := last >= 0 && s == &p.Steps[last]
		ours := len(sel.Origins) == 0
		for _, o := range sel.Origins {
			ours = ours || (o == p.Name && (alone || p.Steps[last].Branch != nil)) || (!alone && strings.HasPrefix(o, p.Name+"/"))
		}
		typ, _, _ := strings.Cut(a.Stream.Source, "/")
		if !ours || excluded(typ, sel.StreamTypes) || (!a.Type.IsZero() && excluded(a.Type.Source, sel.Types)) {
			continue
		}
		return true
	}
	return false
}

// excluded reports whether a text without expressions is none of those selected.
func excluded(text string, selected []string) bool {
	return len(selected) > 0 && !strings.Contains(text, "{{") && !contains(selected, text)
}

// endless reports whether nothing in a pipeline could keep an event from the first append.
func endless(p *Pipeline) bool {
	for i := range p.Steps {
		s := &p.Steps[i]
		switch {
		case s.Append != nil:
			return s.When.IsZero()
		case s.Map == nil && s.Project == nil && s.Forward == nil:
			return false
		}
	}
	return p.Outbox
}
