package steps

import (
	"fmt"
	"slices"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/schemas"
)

// Tree is the steps of a pipeline in their places. What is compiled of them shares their handlers and lookups.
type Tree struct {
	// Log: what the targets take was read from a log, the pipeline's own or, where it Follows, that of its source.
	Log bool
	// Follows: the pipeline appends nothing and its source is a log, which the targets read by themselves: nothing is taken in.
	Follows bool

	pipeline string
	all      []*node
	intake   []*node // up to the last append; without a log above the first target
	ways     []way
	roots    filter.Roots // of the intake
	ownLog   bool         // the source reads the log that is appended to
	retry    *config.Retry
	wrong    func(step string, err error)
	handles  []*handleStep
	lookups  []*lookupMemo
	sets     map[string]*schemas.Set // by folder
}

// New puts a pipeline's steps in their places: list is what runs for c. Wrong is told of a value of the wrong type under a
// condition, which made it false; many goroutines may call it.
func New(c *config.Pipeline, list []config.Step, wrong func(step string, err error)) *Tree {
	t := &Tree{pipeline: c.Name, all: nodesOf(list), roots: filter.Event, retry: &c.Retry, wrong: wrong}
	t.Log = lastIn(t.all) >= 0
	if sel, ok := c.LogSelection(); ok {
		t.Follows, t.Log, t.ownLog = !t.Log, true, sel.Store == c.Store
		t.roots |= filter.Log
	}
	switch {
	case t.Follows:
		t.ways = []way{{rest: t.all}}
	case t.Log:
		t.findWays(t.all, nil, false, false)
		t.intake = upToLast(t.all)
	default:
		cut := firstTarget(t.all)
		t.intake = t.all[:cut]
		t.ways = []way{{rest: t.all[cut:]}}
	}
	return t
}

// Targets gives the steps that write to targets, in the order of the file.
func (t *Tree) Targets() []*config.Step {
	var out []*config.Step
	walk(t.all, func(n *node) {
		if n.target() {
			out = append(out, n.s)
		}
	})
	return out
}

// Waiting gives the steps of the intake that wait for others: handlers and lookups.
func (t *Tree) Waiting() []*config.Step {
	var out []*config.Step
	walk(t.intake, func(n *node) {
		if n.s.Handle != nil || n.s.Lookup != nil {
			out = append(out, n.s)
		}
	})
	return out
}

// FirstTarget gives the index of the first step that is a target, or has one in a case; the list's length where none is.
func FirstTarget(list []config.Step) int { return firstTarget(nodesOf(list)) }

// node is a step in its place, with the name that it has in its pipeline.
type node struct {
	s     *config.Step
	name  string
	cases []nodeCase // of a branch

	// Of an append: whether it is the last on its way, and what its events have as their origin.
	last   bool
	origin string
}

type nodeCase struct {
	c     *config.Case
	steps []*node
}

// way is what lies behind a last append: the steps that relays take its events through.
type way struct {
	// origin is what the append gives its events; "" where there is no log.
	origin string
	rest   []*node
}

// nodesOf gives the steps with their names: a step's own, else its kind, counted from the second on.
func nodesOf(steps []config.Step) []*node {
	seen := map[string]int{}
	var make func(steps []config.Step) []*node
	make = func(steps []config.Step) []*node {
		var out []*node
		for i := range steps {
			n := &node{s: &steps[i], name: steps[i].Name}
			if n.name == "" {
				n.name = config.KindOf(n.s)
				if seen[n.name]++; seen[n.name] > 1 {
					n.name = fmt.Sprintf("%s#%d", n.name, seen[n.name])
				}
			}
			for j := range n.s.Branch {
				c := &n.s.Branch[j]
				n.cases = append(n.cases, nodeCase{c, make(c.Steps)})
			}
			out = append(out, n)
		}
		return out
	}
	return make(steps)
}

// target reports whether a step writes to what a relay is for.
func (n *node) target() bool { return n.s.Project != nil || n.s.Forward != nil }

// walk calls visit for every step, in the order of the file.
func walk(list []*node, visit func(*node)) {
	for _, n := range list {
		visit(n)
		for i := range n.cases {
			walk(n.cases[i].steps, visit)
		}
	}
}

func (n *node) has(is func(*node) bool) bool {
	found := false
	walk([]*node{n}, func(n *node) { found = found || is(n) })
	return found
}

// lastIn gives the index of the last step of a list that appends, or has a case that does; -1 where none does.
func lastIn(list []*node) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].has(func(n *node) bool { return n.s.Append != nil }) {
			return i
		}
	}
	return -1
}

// firstTarget gives the index of the first step of a list that is a target, or has one in a case; its length where none is.
func firstTarget(list []*node) int {
	for i, n := range list {
		if n.has((*node).target) {
			return i
		}
	}
	return len(list)
}

// findWays finds the last append on each way through the steps, and what lies behind it. After is what follows the list.
// An append in a case with steps behind it there has an origin of its own, by which those steps know their events.
func (t *Tree) findWays(list, after []*node, inCase, own bool) {
	last := lastIn(list)
	for i, n := range list {
		if i == last {
			continue
		}
		walk([]*node{n}, func(n *node) { n.origin = t.pipeline + "/" + n.name })
	}
	if last < 0 {
		return
	}
	n, behind := list[last], list[last+1:]
	own = own || (inCase && len(behind) > 0)
	rest := slices.Concat(behind, after)
	if n.s.Append == nil {
		for i := range n.cases {
			t.findWays(n.cases[i].steps, rest, true, own)
		}
		return
	}
	n.last, n.origin = true, t.pipeline
	if own {
		n.origin += "/" + n.name
	}
	if !slices.ContainsFunc(t.ways, func(w way) bool { return w.origin == n.origin }) {
		t.ways = append(t.ways, way{n.origin, rest})
	}
}

// upToLast gives the steps up to the last append on each way: those of the intake.
func upToLast(list []*node) []*node {
	last := lastIn(list)
	if last < 0 {
		return list
	}
	out := slices.Clone(list[:last+1])
	if n := *out[last]; n.cases != nil {
		n.cases = slices.Clone(n.cases)
		for i := range n.cases {
			n.cases[i].steps = upToLast(n.cases[i].steps)
		}
		out[last] = &n
	}
	return out
}

// prune leaves what leads to the kept targets: without the other targets, and without steps behind which none of them comes.
// Later says that one comes behind the list.
func prune(list []*node, keep map[*config.Step]int, later bool) (out []*node, some bool) {
	for i := len(list) - 1; i >= 0; i-- {
		n := list[i]
		switch _, kept := keep[n.s]; {
		case kept:
			some = true
		case n.target():
			continue
		case n.cases != nil:
			pruned := *n
			pruned.cases = slices.Clone(n.cases)
			inside := false
			for j := range pruned.cases {
				steps, has := prune(n.cases[j].steps, keep, later || some)
				pruned.cases[j].steps = steps
				inside = inside || has
			}
			if !inside && !some && !later {
				continue
			}
			some = some || inside
			n = &pruned
		case !some && !later:
			continue
		}
		out = append(out, n)
	}
	slices.Reverse(out)
	return out, some
}

// plain gives what the step means, without what may change under a relay.
func (n *node) plain() config.Step {
	s := *n.s
	s.Retry, s.Name, s.Was, s.From, s.Limits, s.Batch = nil, "", "", "", config.StepLimits{}, config.StepBatch{}
	s.Shards = 0
	if s.Validate != nil { // schemas grow; what was let through before is not asked again
		v := *s.Validate
		v.Sum = ""
		s.Validate = &v
	}
	if n.cases != nil {
		s.Branch = make([]config.Case, len(n.cases))
		for i := range n.cases {
			c := *n.cases[i].c
			c.Steps = nil
			for _, inner := range n.cases[i].steps {
				c.Steps = append(c.Steps, inner.plain())
			}
			s.Branch[i] = c
		}
	}
	return s
}
