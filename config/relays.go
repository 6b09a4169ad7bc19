package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

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
		if contains([]string{"from", "was", "batch", "shards", "limits", "retry"}, m.key.Value) {
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

// checkWas looks for two relays that say they are the same former one: only one can go on where it was.
func (c scope) checkWas(n *yaml.Node, s *Step, seen map[string]Related) {
	m, ok := c.member(n, "was")
	if !ok || strings.Contains(s.Was, "${") {
		return
	}
	at := deref(m.val)
	if s.Was == s.Name {
		c.in("was").warn(at, CodeUnused, "was is the name that the relay has now", "take it away, or write the name that it had")
		return
	}
	if first, twice := seen[s.Was]; twice {
		c.in("was").fail(at, CodeDuplicateName, fmt.Sprintf("two relays of the pipeline say that they were %q: only one can go on where it stood", s.Was), "")
		d := &c.l.diags[len(c.l.diags)-1]
		d.Related = append(d.Related, first)
		return
	}
	seen[s.Was] = Related{c.f.name, at.Line, c.f.column(at.Line, at.Column), "first here"}
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
