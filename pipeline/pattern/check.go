package pattern

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Warning is something about a valid pattern that its author hardly meant.
type Warning struct {
	// Code names the kind: never_matches, unknown_field, shadowed, always_true, near_complexity, long_pattern.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Pointer, Offset, Line and Column are the place, as in Error.
	Pointer string `json:"pointer"`
	Offset  int    `json:"offset"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

func (p *Pattern) warn(code, pointer string, offset int, message string) Warning {
	at := newError([]byte(p.text), offset, pointer, "")
	return Warning{code, message, pointer, offset, at.Line, at.Column}
}

// Check reports what is valid but hardly meant: lists that no EventBridge event can match, or that any event matches, a list replaced
// by another for the same field, and wildcards and lengths near the service's limits. Warnings come in the order of the text.
func Check(p *Pattern) (ws []Warning) {
	for _, s := range p.shadowed {
		ws = append(ws, p.warn("shadowed", s.ptr, s.at, fmt.Sprintf(
			"the list for %s has no effect: a later one at %s replaces it", s.path, s.winPtr)))
	}
	for i := range p.conds {
		c := &p.conds[i]
		path := p.fields[c.field].path
		if why := c.unknown(path); why != "" {
			ws = append(ws, p.warn("unknown_field", c.ptr, c.at, why))
		} else if why := c.never(path); why != "" {
			ws = append(ws, p.warn("never_matches", c.ptr, c.at, why))
		}
		if why := c.always(path); why != "" {
			ws = append(ws, p.warn("always_true", c.ptr, c.at, why))
		}
		var globs []*glob
		for k := range c.atoms {
			if c.atoms[k].op == opGlob {
				globs = append(globs, c.atoms[k].glob)
			}
		}
		if n := complexity(globs); n >= nearComplexity {
			ws = append(ws, p.warn("near_complexity", c.ptr, c.at, fmt.Sprintf(
				"the wildcards for %s score %d; EventBridge refuses a rule as too complex above %d: use fewer stars, or fewer repeated characters behind a star",
				path, n, maxComplexity)))
		}
	}
	if n := p.length(); n > DefaultLength {
		ws = append(ws, p.warn("long_pattern", "", 0, fmt.Sprintf(
			"the pattern has %d characters; EventBridge takes %d unless the account's quota was raised", n, DefaultLength)))
	}
	slices.SortStableFunc(ws, func(a, b Warning) int { return a.Offset - b.Offset })
	return ws
}

// length is the pattern's length in characters without insignificant white space.
func (p *Pattern) length() int {
	l := lexer{text: []byte(p.text)}
	for l.next() != tokEnd {
	}
	return utf8.RuneCountInString(p.text) - l.spaces
}

// topLevel are the fields that EventBridge's events have.
var topLevel = []string{"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail", "replay-name", "ingestion-time"}

// elsewhere are the names that CloudEvents and leat's expressions have for fields of EventBridge's events.
var elsewhere = map[string]string{"data": "detail", "type": "detail-type", "detailType": "detail-type"}

// unknown says why the list asks for a field that events do not have; it is empty where they may.
func (c *cond) unknown(path string) string {
	top, _, _ := strings.Cut(path, ".")
	if c.absent || slices.Contains(topLevel, top) {
		return ""
	}
	why := fmt.Sprintf("events have no field %q beside detail", top)
	if meant := elsewhere[top]; meant != "" {
		return why + fmt.Sprintf("; did you mean %q?", meant)
	}
	if near := nearest(top, topLevel); near != "" {
		return why + fmt.Sprintf("; did you mean %q?", near)
	}
	return why + fmt.Sprintf("; did you mean \"detail\": {%q: …}?", top)
}

// never says why no event of EventBridge's shape can match the list; it is empty where one can.
func (c *cond) never(path string) string {
	top, below, nested := strings.Cut(path, ".")
	present := !c.absent // some leaf must be there
	envelope := top != "detail" && slices.Contains(topLevel, top)
	switch {
	case top == "detail" && !nested:
		if present {
			return "detail is an object, and only the values inside it can be matched"
		}
	case envelope && nested && present:
		return fmt.Sprintf("%s is text and has no field %q", top, below)
	case envelope && !nested && !optional(top) && c.only(opAbsent):
		return fmt.Sprintf("every event has the field %s", top)
	case envelope && !nested && present && c.only(opNumber, opNumberText, opRange, opTrue, opFalse, opNull):
		return fmt.Sprintf("%s is always text", top)
	}
	for i := range c.atoms {
		a := &c.atoms[i]
		if a.op != opRange {
			return ""
		}
		if low, high := a.limits.keys(); !high.less(low) {
			return ""
		}
	}
	return "no number lies between the bounds"
}

// optional reports whether events may lack the top-level field.
func optional(top string) bool {
	return top == "replay-name" || top == "ingestion-time" || top == "resources"
}

func (c *cond) only(ops ...op) bool {
	for i := range c.atoms {
		if !slices.Contains(ops, c.atoms[i].op) {
			return false
		}
	}
	return true
}

// always says why the list holds for every event; it is empty where it does not.
func (c *cond) always(path string) string {
	if path == "detail" && c.absent {
		return "detail is an object and never a value of its own, so that it counts as absent"
	}
	exists := false
	var nots []*atom
	for i := range c.atoms {
		switch a := &c.atoms[i]; a.op {
		case opExists:
			exists = true
		case opNot:
			nots = append(nots, a)
		}
	}
	if exists && c.absent {
		return "the field may be there or not"
	}
	if exists && len(c.atoms) > 1 {
		return "exists: true makes the other values of the list idle"
	}
	for i, a := range nots {
		for _, b := range nots[i+1:] {
			if disjoint(a, b) {
				return "two anything-but in one list are alternatives: what the one excludes the other lets pass; write one anything-but with both values"
			}
		}
	}
	return ""
}

// disjoint reports that no value is excluded by both, as far as that is plain: their values are exact, or prefixes, and none fits
// another.
func disjoint(a, b *atom) bool {
	if a.inner != b.inner || a.inner != "" && a.inner != "prefix" {
		return false
	}
	for i := range a.not {
		for k := range b.not {
			x, y := &a.not[i], &b.not[k]
			if x.op == opNumber && y.op == opNumber && x.num == y.num || x.op == y.op && x.op == opString && x.text == y.text ||
				x.op == opPrefix && (strings.HasPrefix(x.text, y.text) || strings.HasPrefix(y.text, x.text)) {
				return false
			}
		}
	}
	return true
}

// nearest returns the name that differs from s in letter case, dashes and underscores, or in at most two letters; "" for none.
func nearest(s string, names []string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s))
	}
	for _, n := range names {
		if plain(n) == plain(s) {
			return n
		}
	}
	best, least := "", 3
	for _, n := range names {
		if d := distance(s, n); d < least && d < len(n)-1 {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace between two names (Levenshtein, by rows).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
