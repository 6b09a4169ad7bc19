package config

import (
	"fmt"
	"sort"
	"strings"
)

// Nearest gives the known name that somebody who wrote name may have meant, "" where none is near.
func Nearest(name string, known []string) string { return nearest(name, known) }

// didYouMean gives the hint for a name that is none of those known, "" where none is near.
func didYouMean(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// suggestOr is didYouMean, or the list of what is known.
func suggestOr(name string, known []string, intro string) string {
	if s := didYouMean(name, known); s != "" {
		return s
	}
	if len(known) == 0 {
		return ""
	}
	list := append([]string(nil), known...)
	sort.Strings(list)
	more := ""
	if len(list) > 12 {
		list, more = list[:12], ", …"
	}
	return intro + strings.Join(list, ", ") + more
}

// nearest gives the known name with the least distance to name, if that is small against its length; the same letters
// in other case or with other separators are nearest of all.
func nearest(name string, known []string) string {
	best, least := "", 1+max(1, len(name)/3)
	flat := flatten(name)
	for _, k := range known {
		d := distance(name, k)
		if flatten(k) == flat {
			d = 0
		} else if d >= len(name) {
			continue // nothing of the name is left
		}
		if d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	return best
}

func flatten(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance counts the edits between two words: a character put in, taken away, changed, or swapped with its
// neighbour (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	before, last, now := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		now[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			now[j] = min(now[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(y)]
}
