package pattern

import "strings"

// Verdict is an answer on events of which only some fields are known.
type Verdict int8

// The verdicts, in the order of their certainty that an event matches.
const (
	No Verdict = iota
	Maybe
	Yes
)

// String returns no, maybe or yes.
func (v Verdict) String() string { return [...]string{"no", "maybe", "yes"}[v] }

// Overlap tells whether an event could match of which the texts of some fields are known, by path: "source", "detail-type",
// "detail.kind". Fields that known does not hold may have any value or be absent, but for those that every event of EventBridge has.
// A forward whose own events match its pipeline's source pattern feeds itself: that is so where the answer for what it writes is
// Yes, and possible where it is Maybe.
func Overlap(p *Pattern, known map[string]string) Verdict {
	best := No
	for i := range p.branches {
		v := Yes
		for _, id := range p.branches[i].conds {
			c := &p.conds[id]
			v = min(v, c.overlap(p.fields[c.field].path, known))
		}
		best = max(best, v)
	}
	return best
}

func (c *cond) overlap(path string, known map[string]string) Verdict {
	if text, ok := known[path]; ok {
		var l leaf
		l.set(leafString, []byte(text))
		for i := range c.atoms {
			if c.atoms[i].accepts(&l) {
				return Yes
			}
		}
		return No
	}
	for at := range len(path) { // a known text has no fields inside
		if path[at] != '.' {
			continue
		}
		if _, ok := known[path[:at]]; ok {
			return c.without()
		}
	}
	for k := range known { // an object with fields is no value
		if strings.HasPrefix(k, path+".") {
			return c.without()
		}
	}
	return c.maybe(path)
}

// without is the verdict where the field is absent.
func (c *cond) without() Verdict {
	if c.absent {
		return Yes
	}
	return No
}

// maybe is the verdict where nothing is known of the field but its name.
func (c *cond) maybe(path string) Verdict {
	if c.never(path) != "" {
		return No
	}
	if c.always(path) != "" && c.absent {
		return Yes
	}
	switch path {
	case "version", "id", "detail-type", "source", "account", "time", "region":
		for i := range c.atoms {
			a := &c.atoms[i]
			if a.op == opExists || (a.op == opPrefix || a.op == opSuffix) && a.text == "" || a.op == opGlob && a.text == "*" {
				return Yes
			}
		}
	}
	return Maybe
}
