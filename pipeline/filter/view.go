package filter

import (
	"unsafe"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// budget is what one evaluation may do: bytes made, elements visited times the size of what looks at them. It is used
// up after a tenth of a second, more or less.
const budget = 1 << 23

// elementCost is what an element of a new list is charged: the bytes that it takes.
const elementCost = int(unsafe.Sizeof(value{}))

// View is an event as the expressions of one Scope see it. Nothing is extracted until an expression asks; then one
// pass over the payload fills all paths of the scope. A View is for one goroutine at a time and meant to be used again
// and again; what its programs give as texts and bytes does not outlive the event's memory unless they say so.
type View struct {
	scope *Scope
	event *event.Recorded
	item  []byte
	index int
	row   func(column string) (any, bool)

	have   uint8 // which tries are extracted
	slots  []string
	vars   []value
	frames []frame

	stream string // stream's name, once asked for
	work   int
	err    error
}

// frame is the element that a predicate has in hand.
type frame struct {
	elem  value
	index int
	acc   value
}

// NewView gives a view; Reset points it at an event.
func (s *Scope) NewView() *View {
	v := &View{scope: s, event: &event.Recorded{}}
	v.grow()
	return v
}

func (v *View) grow() {
	v.slots = make([]string, v.scope.slots)
	v.vars = make([]value, v.scope.vars)
}

// Reset points the view at an event, which must not change while the view is in use, and forgets row and item.
func (v *View) Reset(e *event.Recorded) {
	v.event = e
	v.have = 0
	v.row, v.item, v.index = nil, nil, 0
	v.stream = ""
	if len(v.slots) != v.scope.slots || len(v.vars) != v.scope.vars {
		v.grow()
	}
}

// SetRow gives the row that expressions see: a function from a column's name to its value (nil, bool, string, int,
// int64, float64, time.Time, *apd.Decimal or json.RawMessage). Where there is no row, pass nil: row is nil then.
func (v *View) SetRow(column func(name string) (any, bool)) { v.row = column }

// SetItem gives the item that expressions see, as raw JSON, and its index from 0.
func (v *View) SetItem(raw []byte, i int) {
	v.item, v.index = raw, i
	v.have &^= 1 << inItem
}

// raw gives the bytes of a path's value, "" where it is missing.
func (v *View) raw(root, slot int) string {
	if v.have&(1<<root) == 0 {
		v.extract(root)
	}
	return v.slots[slot]
}

func (v *View) extract(root int) {
	v.have |= 1 << root
	n := &v.scope.tries[root]
	v.clear(n)
	var b []byte
	switch root {
	case inData:
		b = v.event.Data
	case inMetadata:
		b = v.event.Metadata
	case inItem:
		b = v.item
	}
	if i := rawjson.SkipSpace(b, 0); i < len(b) {
		v.fill(n, b, i)
	}
}

func (v *View) clear(n *trie) {
	if n.slot >= 0 {
		v.slots[n.slot] = ""
	}
	for i := range n.edges {
		v.clear(n.edges[i].to)
	}
}

// fill notes the value that starts at b[i] and what is wanted within it. It gives the index behind it, or -1 where
// the bytes are not JSON after all; what was found by then stays.
func (v *View) fill(n *trie, b []byte, i int) int {
	end := 0
	switch {
	case len(n.edges) == 0 || i >= len(b):
		end = rawjson.Skip(b, i)
	case b[i] == '{':
		end = v.fillObject(n, b, i)
	case b[i] == '[':
		end = v.fillArray(n, b, i)
	default:
		end = rawjson.Skip(b, i)
	}
	if n.slot >= 0 && end >= 0 {
		v.slots[n.slot] = view(b[i:end])
	}
	return end
}

func (v *View) fillObject(n *trie, b []byte, i int) int {
	i++
	for first := true; ; first = false {
		if i = pass(b, i); i >= len(b) {
			return -1
		}
		if b[i] == '}' {
			return i + 1
		}
		if !first {
			if b[i] != ',' {
				return -1
			}
			if i = pass(b, i+1); i >= len(b) {
				return -1
			}
		}
		if b[i] != '"' {
			return -1
		}
		end, esc := rawjson.SkipString(b, i)
		if end < 0 {
			return -1
		}
		key := view(b[i+1 : end-1])
		if esc {
			key = rawjson.Text(b[i:end])
		}
		if i = pass(b, end); i >= len(b) || b[i] != ':' {
			return -1
		}
		i = pass(b, i+1)
		var to *trie
		for j := range n.edges {
			if e := &n.edges[j]; e.key == key && e.index < 0 {
				to = e.to
				break
			}
		}
		if to == nil {
			i = rawjson.Skip(b, i)
		} else {
			if len(to.edges) > 0 {
				v.clear(to) // of an earlier member with the same key nothing counts
			}
			i = v.fill(to, b, i)
		}
		if i < 0 {
			return -1
		}
	}
}

func (v *View) fillArray(n *trie, b []byte, i int) int {
	i++
	for k := 0; ; k++ {
		if i = pass(b, i); i >= len(b) {
			return -1
		}
		if b[i] == ']' {
			return i + 1
		}
		if k > 0 {
			if b[i] != ',' {
				return -1
			}
			if i = pass(b, i+1); i >= len(b) {
				return -1
			}
		}
		if to := n.child(step{index: k}); to != nil {
			i = v.fill(to, b, i)
		} else {
			i = rawjson.Skip(b, i)
		}
		if i < 0 {
			return -1
		}
	}
}

// pass is SkipSpace for compact JSON, where there mostly is none.
func pass(b []byte, i int) int {
	if i < len(b) && b[i] <= ' ' {
		return rawjson.SkipSpace(b, i)
	}
	return i
}

// charge books work; false says that the budget is used up, and the view then has the error.
func (v *View) charge(s *site, n int) bool {
	if v.work -= n; v.work >= 0 {
		return true
	}
	v.work = 0
	v.err = &CostError{site: s}
	return false
}

// chargeWhole books what writing a value out takes. A list may hold the same text many times over, so that it is far
// larger on paper than in memory.
func (v *View) chargeWhole(s *site, a value) bool {
	return v.charge(s, v.work-weigh(a, v.work))
}

// weigh gives what is left of a number of bytes after a value is written, below zero as soon as it does not fit.
func weigh(a value, left int) int {
	left -= 4 + len(a.s)
	switch a.k {
	case kList:
		for _, e := range a.list() {
			if left < 0 {
				break
			}
			left = weigh(e, left)
		}
	case kMap:
		o := a.object()
		for i, e := range o.vals {
			if left -= len(o.keys[i]); left < 0 {
				break
			}
			left = weigh(e, left)
		}
	}
	return left
}

func (v *View) fault(s *site, got ...kind) value {
	e := &TypeError{site: s, n: len(got)}
	copy(e.got[:], got)
	v.err = e
	return faultValue
}

func (v *View) faultWhy(s *site, why string) value {
	v.err = &TypeError{site: s, why: why}
	return faultValue
}

func (v *View) begin() {
	v.work, v.err = budget, nil
	v.frames = v.frames[:0]
}
