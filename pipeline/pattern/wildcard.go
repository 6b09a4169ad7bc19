package pattern

import (
	"fmt"
	"strings"
	"unsafe"
)

// glob is the text of a wildcard operator, taken apart at its stars. It begins and ends with a literal, which may be empty.
type glob struct {
	parts []string // at least one; a star stands between two
}

// parseGlob reads the text of a wildcard: * is any run of bytes, \* and \\ are literal. Positions in its messages count from the
// opening quote, as the service's do.
func parseGlob(s string) (*glob, string) {
	g := &glob{}
	if strings.IndexByte(s, '\\') < 0 {
		if at := strings.Index(s, "**"); at >= 0 {
			return nil, fmt.Sprintf("Consecutive wildcard characters at pos %d", at+1)
		}
		g.parts = strings.Split(s, "*")
		return g, ""
	}
	var part []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '*':
			if i+1 < len(s) && s[i+1] == '*' {
				return nil, fmt.Sprintf("Consecutive wildcard characters at pos %d", i+1)
			}
			g.parts, part = append(g.parts, string(part)), part[:0]
		case c == '\\':
			if i+1 == len(s) || s[i+1] != '*' && s[i+1] != '\\' {
				return nil, fmt.Sprintf("Invalid escape character at pos %d", i+1)
			}
			i++
			part = append(part, s[i])
		default:
			part = append(part, c)
		}
	}
	g.parts = append(g.parts, string(part))
	return g, ""
}

// match compares greedily from the left: the earliest place of each inner part leaves most room for the next.
func (g *glob) match(s []byte) bool {
	first := g.parts[0]
	if len(s) < len(first) || string(s[:len(first)]) != first {
		return false
	}
	if len(g.parts) == 1 {
		return len(s) == len(first)
	}
	s = s[len(first):]
	last := g.parts[len(g.parts)-1]
	if len(s) < len(last) || string(s[len(s)-len(last):]) != last {
		return false
	}
	s = s[:len(s)-len(last)]
	text := unsafe.String(unsafe.SliceData(s), len(s))
	for _, part := range g.parts[1 : len(g.parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// The service refuses a rule when some value could stand in too many places of its wildcards at once. maxComplexity is the
// highest score that it accepts as far as is known (7 was seen accepted and 11 refused, and its library advises 10).
const (
	maxComplexity  = 10
	nearComplexity = 8
)

// complexity is the largest number of beginnings of the field's wildcards, each cut after a character or a star, that one value
// can match together: the score of the service's library. It walks the sets of places reachable by any input, bit-parallel, and
// stops at the limit.
func complexity(globs []*glob) int {
	if most := complexityBound(globs); most < nearComplexity {
		return most
	}
	total := 0
	for _, g := range globs {
		total += len(g.parts) + 1 // the stars and both quotes
		for _, p := range g.parts {
			total += len(p)
		}
	}
	words := (total + 64) / 64
	takes := map[byte][]uint64{} // place p is reached by byte c from place p-1
	var bytesUsed []byte
	loops := make([]uint64, words) // place p follows a star: any byte stays there
	stars := make([]uint64, words) // place p is a star's: reached from p-1 without a byte
	start := make([]uint64, words)
	set := func(w []uint64, p int) { w[p/64] |= 1 << (p % 64) }
	literal := func(c byte, p int) {
		w := takes[c]
		if w == nil {
			w = make([]uint64, words)
			takes[c] = w
			bytesUsed = append(bytesUsed, c)
		}
		set(w, p)
	}
	p := 0
	for _, g := range globs {
		set(start, p) // place p: the opening quote was read
		p++
		for i, part := range g.parts {
			if i > 0 {
				set(loops, p)
				set(stars, p)
				p++
			}
			for j := range len(part) {
				literal(part[j], p)
				p++
			}
		}
		literal('"', p) // the closing quote ends the value; no byte of it repeats after that
		p++
	}
	step := func(from, to []uint64, take []uint64) (n int) {
		carry := uint64(0)
		for w := range to {
			shifted := from[w]<<1 | carry
			carry = from[w] >> 63
			to[w] = from[w] & loops[w]
			if take != nil {
				to[w] |= shifted & take[w]
			}
		}
		return closeStars(to, stars)
	}
	seen := map[string]bool{}
	key := func(s []uint64) string {
		var b strings.Builder
		for _, w := range s {
			for k := 0; k < 64; k += 8 {
				b.WriteByte(byte(w >> k))
			}
		}
		return b.String()
	}
	best := closeStars(start, stars)
	queue := [][]uint64{start}
	seen[key(start)] = true
	for len(queue) > 0 && best <= maxComplexity && len(seen) < 4096 {
		s := queue[0]
		queue = queue[1:]
		for _, c := range bytesUsed {
			next := make([]uint64, words)
			best = max(best, step(s, next, takes[c]))
			if k := key(next); !seen[k] {
				seen[k] = true
				queue = append(queue, next)
			}
		}
	}
	return best
}

// complexityBound is a bound on the complexity that is quick to find: of the part before the first star one place can be reached at a
// time, of a part behind a star as many as its beginnings are ends of one another, and each star once.
func complexityBound(globs []*glob) (most int) {
	for _, g := range globs {
		most++
		for _, part := range g.parts[1:] {
			most += 1 + overlapping(part)
		}
	}
	return most
}

// overlapping returns how many beginnings of the text can end at one place of an input: the longest chain of borders (Knuth, Morris
// and Pratt's failure function), the whole beginning included.
func overlapping(s string) (most int) {
	if len(s) == 0 {
		return 0
	}
	border, chain := make([]int, len(s)+1), make([]int, len(s)+1)
	chain[1], most = 1, 1
	for i, k := 1, 0; i < len(s); i++ {
		for k > 0 && s[i] != s[k] {
			k = border[k]
		}
		if s[i] == s[k] {
			k++
		}
		border[i+1] = k
		chain[i+1] = 1 + chain[k]
		most = max(most, chain[i+1])
	}
	return most
}

// closeStars adds the places reached without a byte and counts all. No two stars are neighbours, so one round is enough.
func closeStars(s, stars []uint64) (n int) {
	carry := uint64(0)
	for w := range s {
		shifted := s[w]<<1 | carry
		carry = s[w] >> 63
		s[w] |= shifted & stars[w]
		for x := s[w]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}
