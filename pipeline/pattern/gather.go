package pattern

import "slices"

// gatherer is the scratch memory of one match of a Set. It is the sink of its own scan. Its tables keep their content from match to
// match; an entry counts only when it bears the number of the present match.
type gatherer struct {
	x    *index
	scan scan
	framed

	epoch  uint32 // number of the match
	serial uint32 // number of the leaf, over all matches

	met      []uint32    // by condition: the match in which a leaf outside every frame met it
	negs     []negState  // by negative
	paths    []pathState // by path
	matched  []uint32    // by slot: the match in which it was given out
	globs    []uint32    // by glob: the leaf with which it was tried
	fired    []int32     // conditions met, frames included, without an anything-but
	touched  []int32     // paths with a leaf
	excluded []int32     // negatives that a leaf excluded
	known    int         // conditions that a leaf outside frames met
	places   []int32
	lower    []byte
	out      []int32

	inFrame bool
	place   int32 // frame of the present leaf
}

type negState struct {
	epoch, serial uint32
	count         int32 // leaves outside frames that it excludes
}

type pathState struct {
	epoch  uint32
	free   int32 // leaves outside frames
	framed bool  // it has leaves inside frames too
}

func (g *gatherer) begin(x *index) {
	g.x = x
	if g.epoch == 1<<32-1 {
		clear(g.met)
		clear(g.negs)
		clear(g.paths)
		clear(g.matched)
		g.epoch = 0
	}
	g.epoch++
	g.met = grown(g.met, len(x.conds.all))
	g.negs = grown(g.negs, len(x.negs.all))
	g.paths = grown(g.paths, len(x.paths.all))
	g.matched = grown(g.matched, len(x.slots))
	g.globs = grown(g.globs, len(x.globs.all))
	g.fired, g.touched, g.excluded, g.out = g.fired[:0], g.touched[:0], g.excluded[:0], g.out[:0]
	g.known = 0
	g.scan.reset(g)
	g.framed.reset(len(x.conds.all), len(x.paths.all))
}

func grown[T any](s []T, n int) []T {
	if n > len(s) {
		s = slices.Grow(s, n-len(s))
		s = s[:cap(s)]
	}
	return s
}

func (g *gatherer) release() {
	g.x, g.scan.b, g.scan.value.text = nil, nil, nil
}

// gather returns the slots of the patterns that match. The slice is good until the next call.
func (g *gatherer) gather(x *index, event []byte, f *Fields) ([]int32, error) {
	g.begin(x)
	var err error
	if f == nil {
		_, err = g.scan.root(event, x.root)
	} else {
		var enough bool
		if enough, err = g.scan.envelope(f, &x.envelope, x.root); err == nil && !enough && g.undecided() {
			_, err = g.scan.detail(f, x.envelope[envelopeDetail])
		}
	}
	if err != nil {
		return nil, err
	}
	g.collect()
	return g.out, nil
}

// leaf implements sink.
func (g *gatherer) leaf(path int32, s *scan) bool {
	f, state := &g.x.paths.all[path], &g.paths[path]
	if state.epoch != g.epoch {
		*state = pathState{epoch: g.epoch}
		g.touched = append(g.touched, path)
	}
	g.inFrame = len(s.stack) > 0
	if g.serial++; g.serial == 0 {
		g.serial = 1
		clear(g.globs)
		for i := range g.negs {
			g.negs[i].serial = 0
		}
	}
	if g.inFrame {
		state.framed = true
		g.place = s.frame()
	} else {
		state.free++
		g.place = -1
	}
	if f.absents > 0 {
		g.addLeaf(path, g.place)
	}
	g.refs(f.every)
	f.values.find(&s.value, g)
	if g.inFrame {
		for _, n := range f.negs {
			if g.negs[n].serial != g.serial {
				g.addHit(g.x.negs.all[n].cond, g.place)
			}
		}
	}
	return g.x.others == 0 && g.known == g.x.plain // then nothing more can be learnt
}

func (g *gatherer) refs(refs []int32) {
	for _, r := range refs {
		g.ref(r)
	}
}

// ref notes that the present leaf is what an atom asks for.
func (g *gatherer) ref(ref int32) {
	if ref < 0 {
		g.exclude(^ref)
		return
	}
	if g.inFrame {
		if len(g.hits(ref)) == 0 && g.met[ref] != g.epoch {
			g.fired = append(g.fired, ref)
		}
		g.addHit(ref, g.place)
		return
	}
	if g.met[ref] == g.epoch {
		return
	}
	g.met[ref] = g.epoch
	g.known++
	if len(g.hits(ref)) == 0 {
		g.fired = append(g.fired, ref)
	}
}

func (g *gatherer) exclude(neg int32) {
	n := &g.negs[neg]
	if n.serial == g.serial {
		return
	}
	n.serial = g.serial
	if g.inFrame {
		return
	}
	if n.epoch != g.epoch {
		n.epoch, n.count = g.epoch, 0
		g.excluded = append(g.excluded, neg)
	}
	n.count++
}

// globTried reports whether a glob was tried with the present leaf already, and notes that it is now.
func (g *gatherer) globTried(id int32) bool {
	tried := g.globs[id] == g.serial
	g.globs[id] = g.serial
	return tried
}

// collect looks at the rules that the met conditions reach.
func (g *gatherer) collect() {
	for _, id := range g.fired {
		c := &g.x.conds.all[id]
		if len(c.negs) > 0 {
			continue // its rules are reached by the path
		}
		g.out = append(g.out, c.soles...)
		g.try(c.rules)
	}
	for _, path := range g.touched {
		f := &g.x.paths.all[path]
		if len(f.negSlots) > 0 {
			g.collectNegatives(path, f)
		}
		g.try(f.rules)
	}
	g.try(g.x.absents)
}

// collectNegatives gives out the patterns that ask for one anything-but only: all but the excluded.
func (g *gatherer) collectNegatives(path int32, f *pathIndex) {
	if g.paths[path].framed {
		for i, slot := range f.negSlots {
			if neg := f.negOf[i]; g.negMet(neg, path) || len(g.hits(g.x.negs.all[neg].cond)) > 0 {
				g.out = append(g.out, slot)
			}
		}
		return
	}
	g.places = g.places[:0]
	for _, neg := range g.excluded {
		n := &g.x.negs.all[neg]
		if len(n.soles) > 0 && g.x.conds.all[n.cond].path == path && !g.negMet(neg, path) {
			g.places = append(g.places, n.soles...)
		}
	}
	slices.Sort(g.places)
	from := int32(0)
	for _, place := range g.places {
		g.out = append(g.out, f.negSlots[from:place]...)
		from = place + 1
	}
	g.out = append(g.out, f.negSlots[from:]...)
}

// negMet reports whether some leaf outside frames is not excluded.
func (g *gatherer) negMet(neg, path int32) bool {
	p, n := &g.paths[path], &g.negs[neg]
	if p.epoch != g.epoch || p.free == 0 {
		return false
	}
	return n.epoch != g.epoch || n.count < p.free
}

func (g *gatherer) try(rules []int32) {
	for _, id := range rules {
		r := &g.x.rules.all[id]
		if r.multi && g.matched[r.slot] == g.epoch || !g.satisfied(r) {
			continue
		}
		if r.multi {
			g.matched[r.slot] = g.epoch
		}
		g.out = append(g.out, r.slot)
	}
}

// satisfied reports whether all conditions of a rule are met, in consistent frames.
func (g *gatherer) satisfied(r *rule) bool {
	search := false
	for _, id := range r.conds {
		free, possible := g.holds(id)
		if free {
			continue
		}
		if !possible {
			return false
		}
		search = true
	}
	if !search {
		return true
	}
	g.terms = g.terms[:0]
	for _, id := range r.conds {
		c := &g.x.conds.all[id]
		free, _ := g.holds(id)
		if free && (!r.absent || c.absent && g.paths[c.path].epoch != g.epoch) {
			continue
		}
		t := term{field: c.path, hits: g.hits(id), free: free, absent: c.absent}
		if c.absent {
			t.leaves = g.leaves(c.path)
		}
		g.terms = append(g.terms, t)
	}
	return g.search(g.scan.frames)
}

// holds reports whether a condition is met outside every frame, or by absence from the whole event; else whether it may be in frames.
func (g *gatherer) holds(id int32) (free, possible bool) {
	if g.met[id] == g.epoch {
		return true, true
	}
	c := &g.x.conds.all[id]
	for _, n := range c.negs {
		if g.negMet(n, c.path) {
			return true, true
		}
	}
	if c.absent {
		if g.paths[c.path].epoch != g.epoch {
			return true, true
		}
		return false, true // absent beside the frames chosen, perhaps
	}
	return false, len(g.hits(id)) > 0
}

// undecided reports whether detail can still make something match.
func (g *gatherer) undecided() bool {
	if g.x.beyond > 0 {
		return true
	}
	for _, id := range g.fired {
		if g.open(g.x.conds.all[id].rules) {
			return true
		}
	}
	for _, path := range g.touched {
		if g.open(g.x.paths.all[path].rules) {
			return true
		}
	}
	return false
}

// open reports whether some rule has its envelope's conditions met and others beside.
func (g *gatherer) open(rules []int32) bool {
rules:
	for _, id := range rules {
		beyond := false
		for _, c := range g.x.rules.all[id].conds {
			if !g.x.paths.all[g.x.conds.all[c].path].envelope {
				beyond = true
			} else if free, possible := g.holds(c); !free && !possible {
				continue rules
			}
		}
		if beyond {
			return true
		}
	}
	return false
}
