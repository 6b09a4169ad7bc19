package pattern

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// maxDepth is how deeply the arrays and objects of an event may nest inside the fields that patterns name. EventBridge takes 1,000.
const maxDepth = 1000

// sink is told of the leaves at the fields that patterns name, in the event's order. It answers true when it has learnt enough.
type sink interface {
	leaf(field int32, s *scan) (enough bool)
}

// scan walks the raw JSON of an event along a tree of nodes and skips what no path leads to.
//
// An element of an array that is an object or an array itself is a frame. A leaf lies in the frames around it; two leaves are
// consistent unless they lie in different frames of one array.
type scan struct {
	b     []byte
	at    int
	to    sink
	value leaf // the present leaf
	text  []byte

	stack  []enclosing // frames around the present place
	frames []frame     // those that were asked for, in the event's order
	arrays int32
}

// enclosing is a frame that is open; id is its index in frames, -1 until it is asked for.
type enclosing struct{ array, index, id int32 }

type frame struct{ parent, array, index, depth int32 }

func (s *scan) reset(to sink) {
	s.to, s.arrays = to, 0
	s.stack, s.frames = s.stack[:0], s.frames[:0]
}

// frame returns the frame of the present leaf, -1 where it lies in none.
func (s *scan) frame() int32 {
	n := len(s.stack)
	if n == 0 {
		return -1
	}
	if id := s.stack[n-1].id; id >= 0 {
		return id
	}
	parent := int32(-1)
	for i := range s.stack {
		e := &s.stack[i]
		if e.id < 0 {
			e.id = int32(len(s.frames))
			s.frames = append(s.frames, frame{parent, e.array, e.index, int32(i)})
		}
		parent = e.id
	}
	return parent
}

// root walks an event, or another JSON object whose members are the event's.
func (s *scan) root(event []byte, n *node) (enough bool, err error) {
	s.b, s.at = event, 0
	if s.space() != '{' {
		return false, s.fault()
	}
	s.at++
	return s.object(n, 1)
}

func (s *scan) fault() error { return fmt.Errorf("%w (at byte %d)", ErrEvent, s.at) }

// space skips white space and returns the byte there, 0 at the end.
func (s *scan) space() byte {
	for ; s.at < len(s.b); s.at++ {
		if c := s.b[s.at]; c > ' ' {
			return c
		} else if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return 1 // no byte that JSON has here
		}
	}
	return 0
}

// object walks the members of an object from behind its brace.
func (s *scan) object(n *node, depth int) (enough bool, err error) {
	if depth > maxDepth {
		return false, s.fault()
	}
	c := s.space()
	for c != '}' {
		if c != '"' {
			return false, s.fault()
		}
		child, ok := s.key(n)
		if !ok || !s.colon() {
			return false, s.fault()
		}
		if child == nil {
			if !s.skip() {
				return false, s.fault()
			}
		} else if enough, err = s.member(child, depth); enough || err != nil {
			return enough, err
		}
		if s.at+1 < len(s.b) && s.b[s.at] == ',' && s.b[s.at+1] == '"' { // as most events have it
			s.at++
			continue
		}
		if c = s.space(); c == ',' {
			s.at++
			if c = s.space(); c != '"' {
				return false, s.fault()
			}
		} else if c != '}' {
			return false, s.fault()
		}
	}
	s.at++
	return false, nil
}

// colon passes over the colon behind a name.
func (s *scan) colon() bool {
	if s.at < len(s.b) && s.b[s.at] == ':' || s.space() == ':' {
		s.at++
		return true
	}
	return false
}

// key reads a member's name and returns the node behind it.
func (s *scan) key(n *node) (*node, bool) {
	from := s.at + 1
	end := quote(s.b, from)
	if end < 0 {
		return nil, false
	}
	if s.b[end] == '"' {
		s.at = end + 1
		return n.descend(s.b[from:end]), true
	}
	key, ok := s.str()
	if !ok {
		return nil, false
	}
	return n.descend(key), true
}

// member walks a value that a path leads to.
func (s *scan) member(n *node, depth int) (enough bool, err error) {
	switch c := s.space(); c {
	case '{':
		if n.leaf() {
			return false, s.skipped()
		}
		s.at++
		return s.object(n, depth+1)
	case '[':
		s.at++
		return s.array(n, depth+1)
	default:
		if n.field < 0 {
			return false, s.skipped()
		}
		if !s.scalar(c) {
			return false, s.fault()
		}
		return s.to.leaf(n.field, s), nil
	}
}

func (s *scan) skipped() error {
	if !s.skip() {
		return s.fault()
	}
	return nil
}

// array walks the elements of an array from behind its bracket.
func (s *scan) array(n *node, depth int) (enough bool, err error) {
	if depth > maxDepth {
		return false, s.fault()
	}
	id := s.arrays
	s.arrays++
	for i, c := int32(0), s.space(); c != ']'; i++ {
		if c == '{' || c == '[' {
			s.stack = append(s.stack, enclosing{id, i, -1})
			enough, err = s.member(n, depth)
			s.stack = s.stack[:len(s.stack)-1]
		} else {
			enough, err = s.member(n, depth)
		}
		if enough || err != nil {
			return enough, err
		}
		if c = s.space(); c == ',' {
			s.at++
			if c = s.space(); c == ']' {
				return false, s.fault()
			}
		} else if c != ']' {
			return false, s.fault()
		}
	}
	s.at++
	return false, nil
}

// scalar reads the scalar that begins with c into s.value.
func (s *scan) scalar(c byte) bool {
	switch c {
	case '"':
		text, ok := s.str()
		s.value.set(leafString, text)
		return ok
	case 't':
		return s.word("true", leafTrue)
	case 'f':
		return s.word("false", leafFalse)
	case 'n':
		return s.word("null", leafNull)
	}
	from := s.at
	for s.at < len(s.b) && numeral[s.b[s.at]] {
		s.at++
	}
	s.value.set(leafNumber, s.b[from:s.at])
	return s.at > from && (c == '-' || c >= '0' && c <= '9')
}

var numeral = func() (t [256]bool) {
	for _, c := range "0123456789+-.eE" {
		t[c] = true
	}
	return t
}()

func (s *scan) word(w string, k leafKind) bool {
	if len(s.b)-s.at < len(w) || string(s.b[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	s.value.set(k, nil)
	return true
}

// str reads the string at s.at and returns its decoded text: a part of the event, or of s.text where it has escapes.
func (s *scan) str() ([]byte, bool) {
	from := s.at + 1
	end := quote(s.b, from)
	if end < 0 {
		return nil, false
	}
	if s.b[end] == '"' {
		s.at = end + 1
		return s.b[from:end], true
	}
	s.text = s.text[:0]
	for s.b[end] == '\\' {
		s.text = append(s.text, s.b[from:end]...)
		var n int
		if s.text, n = appendEscape(s.text, s.b[end:]); n == 0 {
			return nil, false
		}
		from = end + n
		if end = quote(s.b, from); end < 0 {
			return nil, false
		}
	}
	s.text = append(s.text, s.b[from:end]...)
	s.at = end + 1
	return s.text, true
}

const (
	ones  = 0x0101010101010101
	tops  = 0x8080808080808080
	quot  = '"' * ones
	slash = '\\' * ones
)

// quote returns the place of the first quote or backslash from at on, -1 where there is none. It looks at eight bytes at a time
// (Mycroft's test for a zero byte, of which only the lowest hit is certain).
func quote(b []byte, at int) int {
	for ; at+8 <= len(b); at += 8 {
		w := binary.LittleEndian.Uint64(b[at:])
		q, s := w^quot, w^slash
		if m := ((q-ones)&^q | (s-ones)&^s) & tops; m != 0 {
			return at + bits.TrailingZeros64(m)/8
		}
	}
	for ; at < len(b); at++ {
		if b[at] == '"' || b[at] == '\\' {
			return at
		}
	}
	return -1
}

// skip passes over one value. Inside it, only strings and the balance of brackets are looked at.
func (s *scan) skip() bool {
	if s.at < len(s.b) && s.b[s.at] == '"' {
		if end := quote(s.b, s.at+1); end >= 0 && s.b[end] == '"' {
			s.at = end + 1
			return true
		}
	}
	switch c := s.space(); c {
	case '"':
		s.at = skipString(s.b, s.at+1)
		return s.at >= 0 || s.lost()
	case '{', '[':
		s.at = skipContainer(s.b, s.at)
		return s.at >= 0 || s.lost()
	case 't', 'f', 'n', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.scalar(c)
	}
	return false
}

func (s *scan) lost() bool {
	s.at = len(s.b)
	return false
}

// skipString returns the place behind the string whose text begins at at, -1 where it does not end.
func skipString(b []byte, at int) int {
	for {
		end := quote(b, at)
		if end < 0 {
			return -1
		}
		if b[end] == '"' {
			return end + 1
		}
		at = end + 2
	}
}

// skipContainer returns the place behind the object or array that opens at at, -1 where it does not end. Only quotes and the
// brackets of its own kind count. Eight bytes at a time: a flag in each byte's top bit says that it is a quote, a running parity of
// these flags which bytes lie in strings, and a bracket counts where that is even (the way of simdjson, Langdale and Lemire 2019,
// within a machine word).
func skipContainer(b []byte, at int) int {
	opener, closer := b[at], b[at]+2 // [ and ], { and } are two apart
	opening, closing := uint64(opener)*ones, uint64(closer)*ones
	const stretch = 256 // bytes that are searched for a backslash at once, so that short containers stay cheap in long events
	depth := 0
	inside := uint64(0) // all ones while in a string
	for at < len(b) {
		plain := min(at+stretch, len(b)) // up to here there is no backslash
		i := bytes.IndexByte(b[at:plain], '\\')
		if i >= 0 {
			plain = at + i
		}
		for at+8 <= plain {
			w := binary.LittleEndian.Uint64(b[at : at+8 : at+8])
			q, o, c := w^quot, w^opening, w^closing
			q = ^(q&^tops + ^uint64(tops) | q) & tops
			p := (q>>7*ones)<<7 ^ inside // the product holds, in each byte, the number of quotes up to it
			inside = uint64(int64(p) >> 63)
			at += 8
			if ((o-ones)&^o|(c-ones)&^c)&tops&^p == 0 {
				continue
			}
			o = ^(o&^tops + ^uint64(tops) | o) & tops &^ p
			c = ^(c&^tops + ^uint64(tops) | c) & tops &^ p
			if closes := bits.OnesCount64(c); closes < depth || closes == 0 {
				depth += bits.OnesCount64(o) - closes
				continue
			}
			for both := o | c; both != 0; both &= both - 1 {
				flag := both & -both
				if o&flag != 0 {
					depth++
				} else if depth--; depth == 0 {
					return at - 8 + bits.TrailingZeros64(flag)/8 + 1
				}
			}
		}
		for ; at < plain; at++ {
			switch c := b[at]; {
			case c == '"':
				inside = ^inside
			case inside != 0:
			case c == opener:
				depth++
			case c == closer:
				if depth--; depth == 0 {
					return at + 1
				}
			}
		}
		if i >= 0 {
			at += 2
		}
	}
	return -1
}
