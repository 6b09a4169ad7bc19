package pattern

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/race"
)

// reference matches by the rules as they are written, with everything spelled out: all leaves of the event with the elements that
// they lie in, and every choice of a leaf for every field. It shares with the package what an atom accepts, and nothing else.
type reference struct {
	leaves map[string][]placed
	arrays int
}

type placed struct {
	leaf leaf
	in   map[int]int // element by array
}

func newReference(t testing.TB, event []byte) *reference {
	t.Helper()
	r := &reference{leaves: map[string][]placed{}}
	dec := json.NewDecoder(strings.NewReader(string(event)))
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil || tok != json.Delim('{') {
		t.Fatalf("event %s: %v, %v", event, tok, err)
	}
	r.object(t, dec, "", nil)
	return r
}

func (r *reference) object(t testing.TB, dec *json.Decoder, prefix string, in map[int]int) {
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		r.value(t, dec, prefix+name.(string), in)
	}
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
}

func (r *reference) value(t testing.TB, dec *json.Decoder, path string, in map[int]int) {
	tok, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	r.token(t, dec, tok, path, in)
}

func (r *reference) token(t testing.TB, dec *json.Decoder, tok json.Token, path string, in map[int]int) {
	var l leaf
	switch v := tok.(type) {
	case json.Delim:
		if v == '{' {
			r.object(t, dec, path+".", in)
			return
		}
		id := r.arrays
		r.arrays++
		for i := 0; dec.More(); i++ {
			tok, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			inside := in
			if _, nested := tok.(json.Delim); nested {
				inside = map[int]int{id: i}
				for k, v := range in {
					inside[k] = v
				}
			}
			r.token(t, dec, tok, path, inside)
		}
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		return
	case string:
		l.set(leafString, []byte(v))
	case json.Number:
		l.set(leafNumber, []byte(v))
	case bool:
		l.set(leafFalse, nil)
		if v {
			l.set(leafTrue, nil)
		}
	default:
		l.set(leafNull, nil)
	}
	r.leaves[path] = append(r.leaves[path], placed{l, in})
}

func (r *reference) match(p *Pattern) bool {
	for i := range p.branches {
		if r.choose(p, p.branches[i].conds, map[int]int{}) {
			return true
		}
	}
	return false
}

func (r *reference) choose(p *Pattern, conds []int32, so map[int]int) bool {
	if len(conds) == 0 {
		return true
	}
	c := &p.conds[conds[0]]
	there := false
	for _, l := range r.leaves[p.fields[c.field].path] {
		both, ok := merge(so, l.in)
		if !ok {
			continue
		}
		there = true
		for i := range c.atoms {
			if c.atoms[i].accepts(&l.leaf) && r.choose(p, conds[1:], both) {
				return true
			}
		}
	}
	return c.absent && !there && r.choose(p, conds[1:], so)
}

func merge(a, b map[int]int) (map[int]int, bool) {
	both := map[int]int{}
	for k, v := range a {
		both[k] = v
	}
	for k, v := range b {
		if w, ok := a[k]; ok && w != v {
			return nil, false
		}
		both[k] = v
	}
	return both, true
}

// generator makes small patterns and events over few names and values, so that they meet often.
type generator struct{ *rand.Rand }

func (g generator) name() string { return []string{"a", "b", "c", "a.b", "b.c"}[g.IntN(5)] }

func (g generator) scalar() string {
	return []string{`1`, `2`, `"x"`, `"y"`, `null`, `true`, `1.0`}[g.IntN(7)]
}

func (g generator) event(depth int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range g.IntN(4) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", g.name(), g.value(depth))
	}
	b.WriteByte('}')
	return b.String()
}

func (g generator) value(depth int) string {
	if depth == 0 {
		return g.scalar()
	}
	switch g.IntN(6) {
	case 0, 1:
		return g.event(depth - 1)
	case 2, 3, 4:
		var parts []string
		for range g.IntN(4) {
			parts = append(parts, g.value(depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return g.scalar()
}

func (g generator) pattern(depth int) string {
	var parts []string
	for range 1 + g.IntN(3) {
		switch {
		case depth > 0 && g.IntN(8) == 0:
			parts = append(parts, fmt.Sprintf(`"$or":[%s,%s]`, g.pattern(depth-1), g.pattern(depth-1)))
		case depth > 0 && g.IntN(2) == 0:
			parts = append(parts, fmt.Sprintf("%q:%s", g.name(), g.pattern(depth-1)))
		default:
			parts = append(parts, fmt.Sprintf("%q:%s", g.name(), g.list()))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (g generator) list() string {
	var parts []string
	for range 1 + g.IntN(2) {
		switch g.IntN(8) {
		case 0:
			parts = append(parts, `{"exists":false}`)
		case 1:
			parts = append(parts, `{"exists":true}`)
		case 2:
			parts = append(parts, `{"anything-but":"x"}`)
		case 3:
			parts = append(parts, `{"anything-but":[1,2]}`)
		case 4:
			parts = append(parts, `{"numeric":[">",1]}`)
		default:
			parts = append(parts, g.scalar())
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// TestAgainstReference compares Match, MatchFields and Set with the reference over random patterns and events full of arrays.
func TestAgainstReference(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	rounds := 1000
	if testing.Short() || race.Enabled {
		rounds = 50
	}
	matches := 0
	for range rounds {
		set := NewSet[int]()
		var patterns []*Pattern
		for len(patterns) < 12 {
			p, err := CompileString(g.pattern(2))
			if err != nil {
				t.Fatal(err)
			}
			set.AddPattern(p, len(patterns))
			patterns = append(patterns, p)
		}
		for range 12 {
			event := []byte(g.event(4))
			r := newReference(t, event)
			found, err := set.AppendMatches(nil, event)
			if err != nil {
				t.Fatal(err)
			}
			in := map[int]int{}
			for _, i := range found {
				in[i]++
			}
			for i, p := range patterns {
				want := r.match(p)
				got, err := p.Match(event)
				if err != nil || got != want {
					t.Fatalf("Match: %v, %v; want %v\npattern %s\nevent %s", got, err, want, p, event)
				}
				if in[i] > 1 || in[i] == 1 != want {
					t.Fatalf("Set found it %d times; want %v\npattern %s\nevent %s", in[i], want, p, event)
				}
				if want {
					matches++
				}
			}
		}
	}
	if matches < rounds {
		t.Errorf("only %d matches: the generator has lost its use", matches)
	}
}
