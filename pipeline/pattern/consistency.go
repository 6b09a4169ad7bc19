package pattern

import "sort"

// framed records which leaves inside frames satisfy which conds, and answers whether conds can be satisfied together.
//
// The service's rule: the fields of a pattern are tried in the order of their paths; each takes a leaf that is consistent with
// those taken before; a field that must be absent is so when no leaf of it is consistent with those taken before it. The event
// matches when some sequence of choices comes to its end.
type framed struct {
	hitOf  []int32 // by cond: 1 + index in lists
	leafOf []int32 // by field, for fields that may have to be absent
	lists  [][]int32
	used   int
	conds  []int32 // with a list, to be cleared
	fields []int32

	unsorted bool // some list is not in the order of the frames' numbers

	terms  []term
	chosen []int32
}

// term is a cond of the branch in question.
type term struct {
	field  int32
	hits   []int32 // frames of the leaves that satisfy it, in the event's order
	leaves []int32 // frames of all leaves of the field, -1 for one in no frame, where absent is set
	free   bool    // a leaf in no frame satisfies it
	absent bool    // its field may be absent
}

func (f *framed) reset(conds, fields int) {
	for _, id := range f.conds {
		f.hitOf[id] = 0
	}
	for _, id := range f.fields {
		f.leafOf[id] = 0
	}
	f.conds, f.fields, f.used, f.unsorted = f.conds[:0], f.fields[:0], 0, false
	f.hitOf = grown(f.hitOf, conds)
	f.leafOf = grown(f.leafOf, fields)
}

// any reports whether anything was recorded.
func (f *framed) any() bool { return f.used > 0 }

func (f *framed) add(of, dirty *[]int32, i, frame int32) {
	if (*of)[i] == 0 {
		if f.used == len(f.lists) {
			f.lists = append(f.lists, nil)
		}
		f.lists[f.used] = f.lists[f.used][:0]
		f.used++
		(*of)[i] = int32(f.used)
		*dirty = append(*dirty, i)
	}
	l := &f.lists[(*of)[i]-1]
	if n := len(*l); n > 0 {
		last := (*l)[n-1]
		if last == frame {
			return
		}
		f.unsorted = f.unsorted || frame < last
	}
	*l = append(*l, frame)
}

func (f *framed) list(of []int32, i int32) []int32 {
	if of[i] == 0 {
		return nil
	}
	return f.lists[of[i]-1]
}

func (f *framed) addHit(cond, frame int32)   { f.add(&f.hitOf, &f.conds, cond, frame) }
func (f *framed) addLeaf(field, frame int32) { f.add(&f.leafOf, &f.fields, field, frame) }
func (f *framed) hits(cond int32) []int32    { return f.list(f.hitOf, cond) }
func (f *framed) leaves(field int32) []int32 { return f.list(f.leafOf, field) }

// levels is a set of terms, by their place in the order; a place from 255 on stands for all those beyond.
type levels [4]uint64

func (l *levels) add(i int) {
	i = min(i, 255)
	l[i/64] |= 1 << (i % 64)
}

func (l *levels) has(i int) bool {
	i = min(i, 255)
	return l[i/64]>>(i%64)&1 != 0
}

func (l *levels) join(o levels) {
	for i := range l {
		l[i] |= o[i]
	}
}

// search looks for a consistent choice for f.terms.
func (f *framed) search(frames []frame) bool {
	f.chosen = f.chosen[:0]
	ok, _ := f.from(0, frames)
	return ok
}

// from tries the terms from k on. Where it fails it also returns the earlier terms whose choice is to blame, so that a choice
// that made no difference is not tried another way (conflict-directed backjumping, Prosser 1993).
func (f *framed) from(k int, frames []frame) (bool, levels) {
	var blame levels
	if k == len(f.terms) {
		return true, blame
	}
	t := &f.terms[k]
	try := func(choice int32) (done, ok bool) {
		f.chosen = append(f.chosen[:k], choice)
		ok, why := f.from(k+1, frames)
		if !ok && !why.has(k) {
			blame = why // whatever is chosen here, it fails
			return true, false
		}
		blame.join(why)
		return ok, ok
	}
	if t.free {
		if done, ok := try(-1); done {
			return ok, blame
		}
	}
	for i := 0; i < len(t.hits); {
		at, level := f.conflict(t.hits[i], k, frames)
		if level >= 0 {
			blame.add(level)
			i = f.leap(t.hits, i, at, f.chosen[level], frames)
			continue
		}
		if done, ok := try(t.hits[i]); done {
			return ok, blame
		}
		i++
	}
	if !t.absent {
		return false, blame
	}
	for i := 0; i < len(t.leaves); {
		leaf := t.leaves[i]
		if leaf < 0 {
			return false, blame // it is there whatever was chosen
		}
		at, level := f.conflict(leaf, k, frames)
		if level < 0 {
			for j := range k { // where another element was chosen, this leaf would not count
				if f.related(f.terms[j].hits, leaf, frames) {
					blame.add(j)
				}
			}
			return false, blame
		}
		i = f.leap(t.leaves, i, at, f.chosen[level], frames)
	}
	_, ok := try(-1)
	return ok, blame
}

// conflict returns the first of the k chosen frames that x is not consistent with, and the frame around x that differs from its own;
// the level is -1 where there is none.
func (f *framed) conflict(x int32, k int, frames []frame) (at int32, level int) {
	for i, y := range f.chosen[:k] {
		if y < 0 || y == x {
			continue
		}
		if at := diverge(x, y, frames); at >= 0 {
			return at, i
		}
	}
	return -1, -1
}

// related reports whether some of the hits lies in an array in which x lies too. What lies in one array has neighbouring numbers, so
// that the hits next to x are enough to look at; and frames that share an array share the outermost one.
func (f *framed) related(hits []int32, x int32, frames []frame) bool {
	if f.unsorted {
		return true
	}
	i := sort.Search(len(hits), func(i int) bool { return hits[i] >= x })
	array := outermost(x, frames)
	return i < len(hits) && outermost(hits[i], frames) == array || i > 0 && outermost(hits[i-1], frames) == array
}

func outermost(x int32, frames []frame) (array int32) {
	for frames[x].parent >= 0 {
		x = frames[x].parent
	}
	return frames[x].array
}

// diverge returns x, or the frame around x, that lies in the same array as y, or a frame around y, but is another element; -1 where
// there is none.
func diverge(x, y int32, frames []frame) int32 {
	for frames[x].depth > frames[y].depth {
		x = frames[x].parent
	}
	for frames[y].depth > frames[x].depth {
		y = frames[y].parent
	}
	found := int32(-1)
	for x != y {
		if frames[x].array == frames[y].array {
			found = x
		}
		x, y = frames[x].parent, frames[y].parent
		if x < 0 || y < 0 {
			break
		}
	}
	return found
}

// leap returns the place behind i of the next frame in list that may be consistent with the chosen frame y, given that the frame at
// i is not: at, which is it or is around it, and y lie in two elements of one array. With it, pairing the leaves of a long array
// takes n·log n steps instead of n².
//
// Frames are numbered in the event's order, so what lies in one frame, and what lies in one array, has neighbouring numbers.
func (f *framed) leap(list []int32, i int, at, y int32, frames []frame) int {
	if f.unsorted {
		return i + 1
	}
	for frames[y].depth > frames[at].depth {
		y = frames[y].parent
	}
	rest := list[i+1:]
	if y > at { // the element that holds y is still to come
		return i + 1 + sort.Search(len(rest), func(k int) bool { return rest[k] >= y })
	}
	array, depth := frames[at].array, frames[at].depth
	return i + 1 + sort.Search(len(rest), func(k int) bool {
		x := rest[k]
		for frames[x].depth > depth {
			x = frames[x].parent
		}
		return frames[x].depth < depth || frames[x].array != array
	})
}
