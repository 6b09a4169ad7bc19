package pattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Explanation says why an event matches a pattern or does not.
type Explanation struct {
	Match bool `json:"match"`
	// Reason is one line.
	Reason string `json:"reason"`
	// Fields has a verdict for each list of the pattern, in the order of its text.
	Fields []FieldVerdict `json:"fields"`
	// Alternatives counts the combinations that $or spells out; 1 without $or.
	Alternatives int `json:"alternatives"`
}

// FieldVerdict is what became of one list of the pattern.
type FieldVerdict struct {
	// Path is the field, its keys joined by dots.
	Path string `json:"path"`
	// Operator names what the list asks for: "exact", "prefix", "anything-but prefix" …; several are joined by " or ".
	Operator string `json:"operator"`
	// Pattern is the text of the list.
	Pattern string `json:"pattern"`
	// Values holds the field's values in the event, as JSON; more than one where it lies in arrays. At most 20 are kept.
	Values []json.RawMessage `json:"values"`
	// Match tells whether one of the values, or the field's absence, is what the list asks for.
	Match bool `json:"match"`
	// Why tells in words what is wrong; empty where nothing is.
	Why string `json:"why,omitempty"`
	// Alternatives lists the combinations, from 1, that need this list; nil where all do.
	Alternatives []int `json:"alternatives,omitempty"`
	// Pointer, Line and Column are the place of the list in the pattern.
	Pointer string `json:"pointer"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

const keptValues = 20

// Explain matches as Match does and tells of each field of the pattern its value in the event and the verdict. It is made for people
// and reads the whole event; use Match to decide.
func Explain(p *Pattern, event []byte) (Explanation, error) {
	matched, err := p.Match(event)
	if err != nil {
		return Explanation{}, err
	}
	w := witness{p: p, values: make([][]leaf, len(p.fields)), met: make([]bool, len(p.conds))}
	w.scan.reset(&w)
	if _, err := w.scan.root(event, p.root); err != nil && !matched {
		return Explanation{}, err
	}
	e := Explanation{Match: matched, Alternatives: len(p.branches)}
	order := p.textOrder()
	for _, id := range order {
		e.Fields = append(e.Fields, w.verdict(id, event))
	}
	e.Reason = w.reason(matched, e.Fields, order)
	return e, nil
}

// textOrder lists the conds as they stand in the text.
func (p *Pattern) textOrder() []int32 {
	order := make([]int32, len(p.conds))
	for i := range order {
		order[i] = int32(i)
	}
	for i := 1; i < len(order); i++ { // few, and nearly sorted
		for k := i; k > 0 && p.conds[order[k]].at < p.conds[order[k-1]].at; k-- {
			order[k], order[k-1] = order[k-1], order[k]
		}
	}
	return order
}

// witness is a sink that keeps all leaves.
type witness struct {
	p      *Pattern
	scan   scan
	values [][]leaf // by field
	met    []bool   // by cond
}

func (w *witness) leaf(field int32, s *scan) bool {
	kept := s.value
	kept.text = bytes.Clone(kept.text)
	w.values[field] = append(w.values[field], kept)
	for _, id := range w.p.fields[field].conds {
		for i := range w.p.conds[id].atoms {
			w.met[id] = w.met[id] || w.p.conds[id].atoms[i].accepts(&s.value)
		}
	}
	return false
}

func (w *witness) verdict(id int32, event []byte) FieldVerdict {
	c := &w.p.conds[id]
	values := w.values[c.field]
	at := newError([]byte(w.p.text), c.at, c.ptr, "")
	v := FieldVerdict{
		Path: w.p.fields[c.field].path, Operator: c.operators(), Pattern: w.p.listText(c), Values: []json.RawMessage{},
		Match: w.met[id] || c.absent && len(values) == 0, Alternatives: w.p.alternatives(id),
		Pointer: c.ptr, Line: at.Line, Column: at.Column,
	}
	for i := range min(len(values), keptValues) {
		v.Values = append(v.Values, values[i].json())
	}
	if !v.Match {
		v.Why = w.why(c, event)
	}
	return v
}

// alternatives lists the branches that need the cond, from 1; nil where all do.
func (p *Pattern) alternatives(id int32) (in []int) {
	for i := range p.branches {
		if p.branches[i].need[id/64]>>(id%64)&1 != 0 {
			in = append(in, i+1)
		}
	}
	if len(in) == len(p.branches) {
		return nil
	}
	return in
}

// operators names what a list asks for.
func (c *cond) operators() string {
	var names []string
	for i := range c.atoms {
		n := c.atoms[i].operator()
		if len(names) == 0 || names[len(names)-1] != n {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

func (a *atom) operator() string {
	switch a.op {
	case opPrefix:
		return "prefix"
	case opSuffix:
		return "suffix"
	case opPrefixFold:
		return "prefix equals-ignore-case"
	case opSuffixFold:
		return "suffix equals-ignore-case"
	case opFold:
		return "equals-ignore-case"
	case opGlob:
		return "wildcard"
	case opRange:
		return "numeric"
	case opCIDR:
		return "cidr"
	case opExists, opAbsent:
		return "exists"
	case opNot:
		return strings.TrimSpace("anything-but " + a.inner)
	}
	return "exact"
}

// json returns the leaf as JSON.
func (l *leaf) json() json.RawMessage {
	switch l.kind {
	case leafString:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if e.Encode(string(l.text)) == nil {
			return bytes.TrimSpace(b.Bytes())
		}
	case leafNumber:
		if json.Valid(l.text) {
			return l.text
		}
	case leafTrue:
		return json.RawMessage("true")
	case leafFalse:
		return json.RawMessage("false")
	}
	return json.RawMessage("null")
}

// why tells why a list is not met.
func (w *witness) why(c *cond, event []byte) string {
	f := &w.p.fields[c.field]
	values := w.values[c.field]
	wants := "the pattern wants " + w.p.listText(c)
	if len(values) == 0 {
		return w.missing(f, event) + "; " + wants
	}
	if c.only(opAbsent) {
		return fmt.Sprintf("%s is there (%s); the pattern wants it absent", f.path, shown(values))
	}
	text := fmt.Sprintf("%s is %s; %s", f.path, shown(values), wants)
	if hint := c.hint(values); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

func shown(values []leaf) string {
	var parts []string
	for i := range values {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("… (%d values)", len(values)))
			break
		}
		s := string(values[i].json())
		if len(s) > 100 {
			s = strings.ToValidUTF8(s[:97], "") + "…"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// hint names the slips that are made most often.
func (c *cond) hint(values []leaf) string {
	for i := range c.atoms {
		a := &c.atoms[i]
		for k := range values {
			v := &values[k]
			switch {
			case (a.op == opNumber || a.op == opNumberText || a.op == opRange) && v.kind == leafString:
				if _, ok := number(v.text); ok {
					return "the event has text, the pattern a number"
				}
			case (a.op == opString || a.op == opAddress) && v.kind != leafString && a.text == string(v.json()):
				return "in the event it is not text, in the pattern it is"
			case (a.op == opTrue || a.op == opFalse || a.op == opNull) && v.kind == leafString:
				if s := string(v.text); s == "true" || s == "false" || s == "null" {
					return "in the event it is text, in the pattern it is not"
				}
			case v.kind != leafString:
			case a.op == opString && fold(a.text).equal(v.text):
				return "they differ in letter case only; equals-ignore-case takes both"
			case a.op == opPrefix && fold(a.text).prefix(v.text) >= 0 || a.op == opSuffix && fold(a.text).suffix(v.text):
				return "they differ in letter case only; equals-ignore-case inside takes both"
			case a.op == opString && strings.TrimSpace(a.text) == strings.TrimSpace(string(v.text)):
				return "they differ in white space only"
			case a.op == opString && strings.Contains(a.text, "*"):
				return "a star is a plain character here; write {\"wildcard\": …}"
			}
		}
	}
	return ""
}

// missing tells what the event has in the place of a field without a leaf.
func (w *witness) missing(f *field, event []byte) string {
	dec := json.NewDecoder(bytes.NewReader(event))
	dec.UseNumber()
	var at any
	if dec.Decode(&at) != nil {
		return f.path + " is absent"
	}
	for i, name := range f.segments {
		object, ok := at.(map[string]any)
		if !ok {
			if _, list := at.([]any); list {
				return f.path + " is in no element of the array " + strings.Join(f.segments[:i], ".")
			}
			if text, isText := at.(string); isText && json.Valid([]byte(text)) {
				return strings.Join(f.segments[:i], ".") + " is JSON inside text, which is not looked into"
			}
			return strings.Join(f.segments[:i], ".") + " is a value and has no fields"
		}
		next, there := object[name]
		if !there {
			if rest := strings.Join(f.segments[i:], "."); object[rest] != nil {
				next, there = object[rest], true
			}
		}
		if !there {
			var names []string
			for k := range object {
				names = append(names, k)
			}
			if near := nearest(name, names); near != "" {
				return fmt.Sprintf("%s is absent (the event has %q)", f.path, strings.Join(append(f.segments[:i:i], near), "."))
			}
			if detail, _ := object["detail"].(map[string]any); i == 0 && detail[name] != nil {
				return fmt.Sprintf("%s is absent (the event has %q)", f.path, "detail."+name)
			}
			return f.path + " is absent"
		}
		at = next
	}
	switch v := at.(type) {
	case map[string]any:
		return f.path + " is an object, of which only the values inside can be matched"
	case []any:
		if len(v) == 0 {
			return f.path + " is an empty array, which counts as absent"
		}
		return f.path + " is an array without values of its own"
	}
	return f.path + " is absent"
}

// reason puts the whole in one line: of the branch that comes nearest.
func (w *witness) reason(matched bool, fields []FieldVerdict, order []int32) string {
	if matched {
		return "the event matches"
	}
	var nearest []string
	for i := range w.p.branches {
		var whys []string
		for k, id := range order {
			if w.p.branches[i].need[id/64]>>(id%64)&1 != 0 && !fields[k].Match {
				whys = append(whys, fields[k].Why)
			}
		}
		if len(whys) == 0 {
			return "each field matches, but not all within the same element of an array"
		}
		if nearest == nil || len(whys) < len(nearest) {
			nearest = whys
		}
	}
	text := nearest[0]
	if n := len(nearest) - 1; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	if len(w.p.branches) > 1 {
		text += fmt.Sprintf(" (in the nearest of %d alternatives)", len(w.p.branches))
	}
	return text
}
