package pattern

import (
	"cmp"
	"math"
	"slices"
)

// values is an index from the leaves of one path to those of its atoms that accept them. An atom is known by a ref: the number of
// its condition, or, where it stands in an anything-but, the complement of the negative's number.
type values struct {
	texts        map[string][]int32  // exact strings
	folds        map[string][]int32  // equals-ignore-case, ASCII
	numbers      map[float64][]int32 // exact numbers
	numberTexts  map[string][]int32  // numbers that no double holds
	literals     *[3][]int32         // true, false, null
	addresses    map[address][]int32
	prefixes     affixes
	suffixes     affixes
	prefixFolds  affixes
	suffixFolds  affixes
	ranges       spans
	blocks4      spans
	blocks6      spans
	grams        *grams
	others       []other // tried one by one: ignore-case texts beyond ASCII, wildcards with short parts only
	usesNumbers  bool
	usesStrings  bool
	usesFolds    bool
	usesAddress  bool
	stringsCount int
}

type other struct {
	atom *atom
	ref  int32
}

// affixes holds the beginnings, or the ends, that strings are asked for.
type affixes struct {
	refs    map[string][]int32
	lengths []length // ascending
}

type length struct{ bytes, count int }

func (a *affixes) add(s string, ref int32) {
	if a.refs == nil {
		a.refs = map[string][]int32{}
	}
	a.refs[s] = append(a.refs[s], ref)
	at, found := slices.BinarySearchFunc(a.lengths, len(s), func(l length, n int) int { return cmp.Compare(l.bytes, n) })
	if !found {
		a.lengths = slices.Insert(a.lengths, at, length{bytes: len(s)})
	}
	a.lengths[at].count++
}

func (a *affixes) remove(s string, ref int32) {
	drop(a.refs, s, ref)
	for i := range a.lengths {
		if l := &a.lengths[i]; l.bytes == len(s) {
			if l.count--; l.count == 0 {
				a.lengths = slices.Delete(a.lengths, i, i+1)
			}
			return
		}
	}
}

func drop[K comparable](m map[K][]int32, key K, ref int32) {
	if rest := without(m[key], ref); len(rest) > 0 {
		m[key] = rest
	} else {
		delete(m, key)
	}
}

func put[K comparable](m *map[K][]int32, key K, ref int32) {
	if *m == nil {
		*m = map[K][]int32{}
	}
	(*m)[key] = append((*m)[key], ref)
}

func (v *values) add(a *atom, ref int32, x *index) {
	switch a.op {
	case opString:
		put(&v.texts, a.text, ref)
	case opAddress:
		put(&v.addresses, a.low, ref)
	case opNumber:
		put(&v.numbers, a.num, ref)
	case opNumberText:
		put(&v.numberTexts, a.text, ref)
	case opTrue, opFalse, opNull:
		if v.literals == nil {
			v.literals = new([3][]int32)
		}
		l := &v.literals[a.op-opTrue]
		*l = append(*l, ref)
	case opPrefix:
		v.prefixes.add(a.text, ref)
	case opSuffix:
		v.suffixes.add(a.text, ref)
	case opRange:
		low, high := a.limits.keys()
		v.ranges.add(span{low, high, ref})
	case opCIDR:
		v.blocks(a.low).add(span{a.low.key(), a.high.key(), ref})
	case opFold, opPrefixFold, opSuffixFold:
		switch {
		case a.fold.chars != nil:
			v.others = append(v.others, other{a, ref})
		case a.op == opFold:
			put(&v.folds, a.fold.ascii, ref)
		case a.op == opPrefixFold:
			v.prefixFolds.add(a.fold.ascii, ref)
		default:
			v.suffixFolds.add(a.fold.ascii, ref)
		}
	case opGlob:
		if v.grams == nil {
			v.grams = &grams{refs: map[uint32][]gramRef{}}
		}
		if !v.grams.add(a.glob, ref, x) {
			v.others = append(v.others, other{a, ref})
		}
	}
	v.count(a, 1)
}

func (v *values) remove(a *atom, ref int32, x *index) {
	switch a.op {
	case opString:
		drop(v.texts, a.text, ref)
	case opAddress:
		drop(v.addresses, a.low, ref)
	case opNumber:
		drop(v.numbers, a.num, ref)
	case opNumberText:
		drop(v.numberTexts, a.text, ref)
	case opTrue, opFalse, opNull:
		l := &v.literals[a.op-opTrue]
		*l = without(*l, ref)
	case opPrefix:
		v.prefixes.remove(a.text, ref)
	case opSuffix:
		v.suffixes.remove(a.text, ref)
	case opRange:
		low, high := a.limits.keys()
		v.ranges.remove(span{low, high, ref})
	case opCIDR:
		v.blocks(a.low).remove(span{a.low.key(), a.high.key(), ref})
	case opFold, opPrefixFold, opSuffixFold:
		switch {
		case a.fold.chars != nil:
			v.removeOther(a, ref)
		case a.op == opFold:
			drop(v.folds, a.fold.ascii, ref)
		case a.op == opPrefixFold:
			v.prefixFolds.remove(a.fold.ascii, ref)
		default:
			v.suffixFolds.remove(a.fold.ascii, ref)
		}
	case opGlob:
		if !v.grams.remove(a.glob, ref, x) {
			v.removeOther(a, ref)
		}
	}
	v.count(a, -1)
}

func (v *values) removeOther(a *atom, ref int32) {
	v.others = slices.DeleteFunc(v.others, func(o other) bool { return o.atom == a && o.ref == ref })
}

// count keeps what a leaf must be prepared for.
func (v *values) count(a *atom, n int) {
	switch a.op {
	case opNumber, opNumberText, opRange, opTrue, opFalse, opNull:
	default:
		v.stringsCount += n
	}
	v.usesStrings = v.stringsCount > 0
	v.usesNumbers = len(v.numbers) > 0 || len(v.ranges.blocks) > 0
	v.usesFolds = len(v.folds) > 0 || len(v.prefixFolds.lengths) > 0 || len(v.suffixFolds.lengths) > 0
	v.usesAddress = len(v.addresses) > 0 || len(v.blocks4.blocks) > 0 || len(v.blocks6.blocks) > 0
}

func (v *values) blocks(a address) *spans {
	if a.six {
		return &v.blocks6
	}
	return &v.blocks4
}

// find tells g of all atoms that accept the leaf; one may come more than once.
func (v *values) find(l *leaf, g *gatherer) {
	switch l.kind {
	case leafString:
		if v.usesStrings {
			v.findString(l, g)
		}
	case leafNumber:
		if v.usesNumbers {
			if n, ok := l.number(); ok {
				g.refs(v.numbers[n])
				v.ranges.find(floatKey(n), g)
			}
		}
		if v.numberTexts != nil {
			g.refs(v.numberTexts[string(l.text)])
		}
	default:
		if v.literals != nil {
			g.refs(v.literals[l.kind-leafTrue])
		}
	}
}

func (v *values) findString(l *leaf, g *gatherer) {
	s := l.text
	if v.texts != nil {
		g.refs(v.texts[string(s)])
	}
	for _, n := range v.prefixes.lengths {
		if n.bytes > len(s) {
			break
		}
		g.refs(v.prefixes.refs[string(s[:n.bytes])])
	}
	for _, n := range v.suffixes.lengths {
		if n.bytes > len(s) {
			break
		}
		g.refs(v.suffixes.refs[string(s[len(s)-n.bytes:])])
	}
	if v.usesFolds {
		g.lower = g.lower[:0]
		for _, c := range s {
			g.lower = append(g.lower, lowerASCII(c))
		}
		low := g.lower
		g.refs(v.folds[string(low)])
		for _, n := range v.prefixFolds.lengths {
			if n.bytes > len(low) {
				break
			}
			g.refs(v.prefixFolds.refs[string(low[:n.bytes])])
		}
		for _, n := range v.suffixFolds.lengths {
			if n.bytes > len(low) {
				break
			}
			g.refs(v.suffixFolds.refs[string(low[len(low)-n.bytes:])])
		}
	}
	if v.usesAddress {
		if ip, ok := l.address(); ok {
			g.refs(v.addresses[ip])
			v.blocks(ip).find(ip.key(), g)
		}
	}
	if v.grams != nil {
		v.grams.find(s, g)
	}
	for i := range v.others {
		if v.others[i].atom.accepts(l) {
			g.ref(v.others[i].ref)
		}
	}
}

// key is a number or an address as an unsigned integer of the same order.
type key struct{ hi, lo uint64 }

func (k key) less(o key) bool { return k.hi < o.hi || k.hi == o.hi && k.lo < o.lo }

func (a address) key() key { return key{a.hi, a.lo} }

func floatKey(f float64) key {
	if f == 0 {
		f = 0 // -0
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return key{lo: ^b}
	}
	return key{lo: b | 1<<63}
}

// keys returns the range's bounds, both inside it. Events hold doubles only, so an open bound is the next double.
func (r *limits) keys() (low, high key) {
	l, h := r.low, r.high
	if r.openLow {
		l = math.Nextafter(l, math.Inf(1))
	}
	if r.openHigh {
		h = math.Nextafter(h, math.Inf(-1))
	}
	return floatKey(l), floatKey(h)
}
