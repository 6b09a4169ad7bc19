package pattern

import "strings"

// index is what the patterns of a Set have in common, arranged for matching: a tree of the paths that they name, for each path an
// index of values, and for each list of values (a condition) the rules that need it. A rule is one branch of one pattern; it is
// looked at only when the condition through which it is reached, the one thought to hold most rarely, was met.
type index struct {
	root     *node
	envelope [envelopeNames]*node

	paths  table[pathIndex]
	byPath map[string]int32
	conds  table[condition]
	negs   table[negative]
	rules  table[rule]
	slots  []slotRules // by slot

	plain   int     // conditions that a leaf outside frames meets for good
	others  int     // conditions that need the whole event: with an anything-but, or with an absence
	absents []int32 // rules reached in every event, as they may match by absence alone
	beyond  int     // rules reached by another condition than one on the envelope
	globs   table[struct{}]
}

// slotRules are the rules of one pattern.
type slotRules struct {
	rules []int32
	sole  int32 // 1 + the condition that is all the pattern asks for, where it has no rules
}

// pathIndex is what is known of one path.
type pathIndex struct {
	path     string
	uses     int
	envelope bool // it is a scalar of the envelope
	values   values
	byText   map[string]int32 // conditions, by their text
	absents  int              // conditions that may hold by absence
	every    []int32          // conditions that any leaf meets
	negs     []int32          // all anything-but atoms
	rules    []int32          // rules reached when there is any leaf, by a condition with an anything-but
	negSlots []int32          // patterns that ask for nothing but one anything-but
	negOf    []int32          // its negative, parallel to negSlots
}

// condition is one list of values for a path.
type condition struct {
	path   int32
	text   string
	atoms  []atom
	uses   int
	negs   []int32
	absent bool
	rules  []int32 // reached by it
	soles  []int32 // patterns that ask for nothing else
}

// negative is an anything-but atom of a condition: any leaf meets it unless something excludes it.
type negative struct {
	cond  int32
	soles []int32 // its places in the path's negSlots
}

// rule is one branch of a pattern.
type rule struct {
	slot   int32
	via    int32 // the condition that reaches it, -1 for none
	place  int32 // in the list that holds it
	multi  bool  // the pattern has other branches
	absent bool
	conds  []int32
}

// table hands out numbered places and takes them back.
type table[T any] struct {
	all    []T
	unused []int32
}

func (t *table[T]) take() int32 {
	if n := len(t.unused); n > 0 {
		id := t.unused[n-1]
		t.unused = t.unused[:n-1]
		return id
	}
	var zero T
	t.all = append(t.all, zero)
	return int32(len(t.all) - 1)
}

func (t *table[T]) drop(id int32) {
	var zero T
	t.all[id] = zero
	t.unused = append(t.unused, id)
}

func newIndex() *index {
	return &index{root: newNode(), byPath: map[string]int32{}}
}

func (x *index) add(p *Pattern, slot int32) {
	for int(slot) >= len(x.slots) {
		x.slots = append(x.slots, slotRules{})
	}
	ids := make([]int32, len(p.conds))
	for i := range p.conds {
		ids[i] = x.condition(p, &p.conds[i])
	}
	s := &x.slots[slot]
	if len(p.branches) == 1 && len(p.branches[0].conds) == 1 {
		if id := ids[p.branches[0].conds[0]]; x.addSole(slot, id) {
			s.sole = id + 1
			return
		}
	}
	for i := range p.branches {
		b := &p.branches[i]
		r := rule{slot: slot, via: -1, multi: len(p.branches) > 1, absent: b.absents, conds: make([]int32, len(b.conds))}
		for k, id := range b.conds {
			r.conds[k] = ids[id]
			x.conds.all[ids[id]].uses++
		}
		s.rules = append(s.rules, x.reach(r))
	}
}

func (x *index) remove(slot int32) {
	s := x.slots[slot]
	x.slots[slot] = slotRules{}
	if s.sole > 0 {
		x.removeSole(slot, s.sole-1)
		return
	}
	for _, id := range s.rules {
		r := x.rules.all[id]
		list := x.list(r.via)
		last := len(*list) - 1
		moved := (*list)[last]
		(*list)[r.place] = moved
		x.rules.all[moved].place = r.place
		*list = (*list)[:last]
		if r.via < 0 || !x.paths.all[x.conds.all[r.via].path].envelope {
			x.beyond--
		}
		for _, c := range r.conds {
			x.release(c)
		}
		x.rules.drop(id)
	}
}

// reach puts a rule where it will be looked at.
func (x *index) reach(r rule) int32 {
	best := 0
	for _, id := range r.conds {
		if w := x.weight(id); w > 0 && (r.via < 0 || w < best) {
			r.via, best = id, w
		}
	}
	if r.via < 0 || !x.paths.all[x.conds.all[r.via].path].envelope {
		x.beyond++
	}
	list := x.list(r.via)
	r.place = int32(len(*list))
	id := x.rules.take()
	x.rules.all[id] = r
	*list = append(*list, id)
	return id
}

// list returns the rules reached by a condition.
func (x *index) list(cond int32) *[]int32 {
	if cond < 0 {
		return &x.absents
	}
	c := &x.conds.all[cond]
	if len(c.negs) > 0 {
		return &x.paths.all[c.path].rules
	}
	return &c.rules
}

// weight estimates the work of reaching one more rule by a condition: how often it holds, times the rules it reaches already. It is
// 0 where the condition can hold without a leaf.
func (x *index) weight(id int32) int {
	c := &x.conds.all[id]
	if c.absent {
		return 0
	}
	often := 1
	for i := range c.atoms {
		switch c.atoms[i].op {
		case opString, opAddress, opNumber, opNumberText, opFold:
		case opTrue, opFalse, opNull:
			often = max(often, 8)
		case opExists, opNot:
			often = max(often, 64)
		default:
			often = max(often, 4)
		}
	}
	if !x.paths.all[c.path].envelope {
		often *= 2 // while all rules are reached by the envelope, detail may go unread
	}
	load := len(*x.list(id)) + len(c.soles)
	return often * (1 + load)
}

// condition returns the number of the pattern's condition, made where it was not there. It has no use yet.
func (x *index) condition(p *Pattern, c *cond) int32 {
	path := x.path(p, c.field)
	text := p.text[c.at:c.end]
	if id, ok := x.paths.all[path].byText[text]; ok {
		return id
	}
	id := x.conds.take()
	n := &x.conds.all[id]
	*n = condition{path: path, text: strings.Clone(text), atoms: c.atoms, absent: c.absent}
	f := &x.paths.all[path]
	f.uses++
	if f.byText == nil {
		f.byText = map[string]int32{}
	}
	f.byText[n.text] = id
	if n.absent {
		f.absents++
	}
	for i := range n.atoms {
		a := &n.atoms[i]
		switch a.op {
		case opAbsent:
		case opExists:
			f.every = append(f.every, id)
		case opNot:
			neg := x.negs.take()
			x.negs.all[neg] = negative{cond: id}
			n.negs = append(n.negs, neg)
			f.negs = append(f.negs, neg)
			for k := range a.not {
				f.values.add(&a.not[k], ^neg, x)
			}
		default:
			f.values.add(a, id, x)
		}
	}
	*x.tally(n)++
	return id
}

func (x *index) tally(c *condition) *int {
	if c.absent || len(c.negs) > 0 {
		return &x.others
	}
	return &x.plain
}

// release takes back one use of a condition; the last one removes it.
func (x *index) release(id int32) {
	c := &x.conds.all[id]
	if c.uses--; c.uses > 0 {
		return
	}
	f := &x.paths.all[c.path]
	if c.absent {
		f.absents--
	}
	*x.tally(c)--
	negs := c.negs
	for i := range c.atoms {
		a := &c.atoms[i]
		switch a.op {
		case opAbsent:
		case opExists:
			f.every = without(f.every, id)
		case opNot:
			neg := negs[0]
			negs = negs[1:]
			for k := range a.not {
				f.values.remove(&a.not[k], ^neg, x)
			}
			f.negs = without(f.negs, neg)
			x.negs.drop(neg)
		default:
			f.values.remove(a, id, x)
		}
	}
	delete(f.byText, c.text)
	path := c.path
	x.conds.drop(id)
	if f.uses--; f.uses == 0 {
		delete(x.byPath, f.path)
		x.root.remove(strings.Split(f.path, "."))
		x.paths.drop(path)
		x.resolve()
	}
}

// without returns the list less one occurrence of id; the order may change.
func without(list []int32, id int32) []int32 {
	for i, v := range list {
		if v == id {
			last := len(list) - 1
			list[i] = list[last]
			return list[:last]
		}
	}
	return list
}

func (x *index) path(p *Pattern, n int32) int32 {
	f := &p.fields[n]
	if id, ok := x.byPath[f.path]; ok {
		return id
	}
	id := x.paths.take()
	path := strings.Clone(f.path)
	at := x.root.insert(strings.Split(path, "."))
	at.field = id
	x.paths.all[id] = pathIndex{path: path}
	x.byPath[path] = id
	x.resolve()
	for i, e := range envelope {
		if path == e && i != envelopeDetail {
			x.paths.all[id].envelope = true
		}
	}
	return id
}

func (x *index) resolve() {
	for i, name := range envelope {
		x.envelope[i] = x.root.child([]byte(name))
	}
}

// addSole notes a pattern that asks for one condition only. It reports false where the condition needs a rule.
func (x *index) addSole(slot, id int32) bool {
	c := &x.conds.all[id]
	if c.absent || len(c.negs) > 0 && len(c.atoms) > 1 {
		return false
	}
	c.uses++
	f := &x.paths.all[c.path]
	if !f.envelope {
		x.beyond++
	}
	if len(c.negs) == 0 {
		c.soles = append(c.soles, slot)
		return true
	}
	n := &x.negs.all[c.negs[0]]
	n.soles = append(n.soles, int32(len(f.negSlots)))
	f.negSlots, f.negOf = append(f.negSlots, slot), append(f.negOf, c.negs[0])
	return true
}

func (x *index) removeSole(slot, id int32) {
	c := &x.conds.all[id]
	f := &x.paths.all[c.path]
	if !f.envelope {
		x.beyond--
	}
	if len(c.negs) == 0 {
		c.soles = without(c.soles, slot)
		x.release(id)
		return
	}
	n := &x.negs.all[c.negs[0]]
	for _, place := range n.soles {
		if f.negSlots[place] != slot {
			continue
		}
		n.soles = without(n.soles, place)
		last := int32(len(f.negSlots) - 1)
		if place != last {
			f.negSlots[place], f.negOf[place] = f.negSlots[last], f.negOf[last]
			moved := &x.negs.all[f.negOf[place]]
			for i := range moved.soles {
				if moved.soles[i] == last {
					moved.soles[i] = place
				}
			}
		}
		f.negSlots, f.negOf = f.negSlots[:last], f.negOf[:last]
		break
	}
	x.release(id)
}
