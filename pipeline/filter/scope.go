package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// Roots says which names expressions may use: a set of bits.
type Roots uint8

// The sets of names.
const (
	Event Roots = 1 << iota // id source type subject time data metadata
	Log                     // stream revision position
	Row                     // row: the columns of the row in hand
	Item                    // item and index: what `each` or `split` has in hand
)

// ParseRoots reads the words of a struct tag: event, log, row, item, with commas between them. None at all is Event.
func ParseRoots(s string) (Roots, error) {
	if s == "" {
		return Event, nil
	}
	var r Roots
	for _, word := range strings.Split(s, ",") {
		i := index([]string{"event", "log", "row", "item"}, strings.TrimSpace(word))
		if i < 0 {
			return 0, fmt.Errorf("filter: expressions cannot see %q", word)
		}
		r |= 1 << i
	}
	return r, nil
}

// Want is what an expression must give.
type Want uint8

// The wants. An expression whose type only the event decides passes Compile for all of them.
const (
	Any Want = iota
	Bool
	Number
	Time // a time, or text that reads as one
	Text // anything that a template can show
	List
)

var wantNames = []string{"any", "bool", "number", "time", "text", "list"}

// String gives the word of a struct tag.
func (w Want) String() string { return wantNames[w] }

// ParseWant reads the word of a struct tag; none is Any.
func ParseWant(s string) (Want, error) {
	if s == "" {
		return Any, nil
	}
	if i := index(wantNames, s); i >= 0 {
		return Want(i), nil
	}
	return 0, fmt.Errorf("filter: an expression cannot give %q", s)
}

func index(words []string, w string) int {
	for i := range words {
		if words[i] == w {
			return i
		}
	}
	return -1
}

// Scope gathers the expressions that see the same events, so that one pass over the payload extracts what all of them
// read. Compile them all before the first View is used; after that a Scope may be shared by any number of goroutines,
// each with a View of its own.
type Scope struct {
	roots Roots
	tries [trieRoots]trie
	slots int
	vars  int // variables that a View must have room for
}

// The parts of an event that hold JSON; each is walked at most once for an event.
const (
	inData = iota
	inMetadata
	inItem
	trieRoots
)

// NewScope gives an empty scope whose expressions see the names of the roots.
func NewScope(roots Roots) *Scope {
	s := &Scope{roots: roots}
	for i := range s.tries {
		s.tries[i].slot = -1
	}
	return s
}

// step is one step of a path: a key, or an index from 0.
type step struct {
	key   string
	index int // -1 for a key
}

// trie holds the paths that are extracted together.
type trie struct {
	slot  int // where the value goes, -1: it is only on the way
	edges []edge
}

type edge struct {
	step
	to *trie
}

func (n *trie) child(s step) *trie {
	for i := range n.edges {
		if n.edges[i].step == s {
			return n.edges[i].to
		}
	}
	return nil
}

// slot gives the place of a path's value in each View, the same one for the same path.
func (s *Scope) slot(root int, path []step) int {
	n := &s.tries[root]
	for _, st := range path {
		next := n.child(st)
		if next == nil {
			next = &trie{slot: -1}
			n.edges = append(n.edges, edge{st, next})
		}
		n = next
	}
	if n.slot < 0 {
		n.slot = s.slots
		s.slots++
	}
	return n.slot
}

// formatPath writes a path as an expression would.
func formatPath(root string, path []step) string {
	var b strings.Builder
	b.WriteString(root)
	for _, s := range path {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case isName(s.key):
			b.WriteString("." + s.key)
		default:
			b.WriteString("[" + strconv.Quote(s.key) + "]")
		}
	}
	return b.String()
}

// isName reports whether a key can stand behind a dot.
func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r == '$' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
