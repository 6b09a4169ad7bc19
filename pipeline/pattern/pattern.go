package pattern

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pattern is a compiled event pattern. It does not change and is safe for concurrent use.
type Pattern struct {
	text     string
	fields   []field  // sorted by path
	conds    []cond   // sorted by field
	branches []branch // any of them matches the event
	root     *node
	envelope [envelopeNames]*node // children of root that Fields holds
	words    int                  // of a bit set over conds
	decided  []uint64             // conds that the envelope of Fields alone satisfies
	absents  []int32              // conds that hold where their field is absent
	shadowed []shadow
}

// field is a path that the pattern names.
type field struct {
	path     string
	segments []string
	conds    []int32
	absent   bool // one of conds asks for its absence
}

// cond is one list of a pattern: the field's leaf is one of atoms.
type cond struct {
	field  int32
	atoms  []atom
	absent bool // holds where the field is absent
	at     int  // offset of the list in the text
	end    int
	ptr    string
}

// branch is one way to match: all its conds at once.
type branch struct {
	conds   []int32 // sorted, so by path
	need    []uint64
	absents bool // one of conds may hold by absence
}

// shadow is a list that another list for the same field replaced.
type shadow struct {
	path        string
	at, winner  int
	ptr, winPtr string
}

// String returns the text that was compiled.
func (p *Pattern) String() string { return p.text }

// Paths returns the paths that the pattern names, keys joined by dots, sorted.
func (p *Pattern) Paths() []string {
	paths := make([]string, len(p.fields))
	for i := range p.fields {
		paths[i] = p.fields[i].path
	}
	return paths
}

// finish numbers fields and conds in the order of their paths and turns the branches into bit sets.
func (c *compiler) finish(branches []conj) *Pattern {
	p := &Pattern{text: string(c.lex.text)}
	used := make([]bool, len(c.conds))
	for _, b := range branches {
		for _, id := range b {
			used[id] = true
		}
	}
	order := make([]int32, 0, len(c.conds))
	for id := range c.conds {
		if used[id] {
			order = append(order, int32(id))
			continue
		}
		lost, won := c.conds[id], c.conds[c.shadows[int32(id)]]
		p.shadowed = append(p.shadowed, shadow{lost.path, lost.at, won.at, lost.ptr, won.ptr})
	}
	slices.SortStableFunc(order, func(a, b int32) int { return comparePaths(c.conds[a].path, c.conds[b].path) })
	number := make([]int32, len(c.conds))
	for _, old := range order {
		d := c.conds[old]
		if n := len(p.fields); n == 0 || p.fields[n-1].path != d.path {
			p.fields = append(p.fields, field{path: d.path, segments: strings.Split(d.path, ".")})
		}
		f := &p.fields[len(p.fields)-1]
		d.field = int32(len(p.fields) - 1)
		number[old] = int32(len(p.conds))
		f.conds = append(f.conds, number[old])
		if d.absent {
			f.absent = true
			p.absents = append(p.absents, number[old])
		}
		p.conds = append(p.conds, d.cond)
	}
	p.words = (len(p.conds) + 63) / 64
	seen := map[string]bool{}
	for _, b := range branches {
		br := branch{conds: make([]int32, 0, len(b)), need: make([]uint64, p.words)}
		for _, id := range b {
			n := number[id]
			br.conds = append(br.conds, n)
			br.need[n/64] |= 1 << (n % 64)
			br.absents = br.absents || p.conds[n].absent
		}
		slices.Sort(br.conds)
		if len(branches) > 1 {
			key := fmt.Sprint(br.conds)
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		p.branches = append(p.branches, br)
	}
	p.root = newNode()
	for i := range p.fields {
		p.root.insert(p.fields[i].segments).field = int32(i)
	}
	p.decided = make([]uint64, p.words)
	for i, name := range envelope {
		n := p.root.child([]byte(name))
		p.envelope[i] = n
		if n == nil || n.field < 0 || i == envelopeDetail {
			continue
		}
		for _, id := range p.fields[n.field].conds {
			if !p.conds[id].absent {
				p.decided[id/64] |= 1 << (id % 64)
			}
		}
	}
	return p
}

// comparePaths orders paths as Java orders strings, by UTF-16 units. The order decides in which sequence fields of one array
// element are tried, which shows where a field must be absent.
func comparePaths(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		// The order of UTF-8 bytes differs only between surrogates (4-byte sequences) and U+E000–U+FFFF (3 bytes, from 0xee on).
		x, y := a[i], b[i]
		if x >= 0xf0 && y >= 0xee && y < 0xf0 {
			return -1
		}
		if y >= 0xf0 && x >= 0xee && x < 0xf0 {
			return 1
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// listText returns the text of a cond's list.
func (p *Pattern) listText(c *cond) string {
	return string(bytes.TrimSpace([]byte(p.text[c.at:c.end])))
}
