package pattern_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
)

// seeds gives the fuzz targets the vectors that are there.
func seeds(f *testing.F, add func(v vector)) {
	for _, v := range operatorVectors(f) {
		add(v)
	}
	for _, text := range []string{
		`{"a":[{"anything-but":{"wildcard":["*a*","b"]}}],"$or":[{"b":[1]},{"c":{"d":[{"cidr":"::1/8"}]}}]}`,
		`{"a":[{"prefix":{"equals-ignore-case":"ß"}},{"suffix":{"equals-ignore-case":"Ⱥ"}}]}`,
		"{\"a\":[\"\\ud800\",\"\x80\"]}", `{"a":[1e400,-0.0,00]}`, `{"a":[{}]`, "",
	} {
		add(vector{Pattern: json.RawMessage(text), Event: json.RawMessage(`{"a":["x",{"b":[1,[2,{"c":null}]]}],"b.c":1}`)})
	}
}

// FuzzCompile: compiling never panics, errors lie within the text, and what compiles does so again from its own text and can be
// checked and explained.
func FuzzCompile(f *testing.F) {
	seeds(f, func(v vector) { f.Add([]byte(v.Pattern)) })
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := pattern.Compile(text)
		if err != nil {
			var e *pattern.Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text) || e.Line < 1 || e.Column < 1 || e.Reason == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is not JSON and compiles", text)
		}
		again, err := pattern.CompileString(p.String())
		if err != nil || !slices.Equal(again.Paths(), p.Paths()) {
			t.Fatalf("%q again: %v", text, err)
		}
		for _, w := range pattern.Check(p) {
			if w.Offset < 0 || w.Offset > len(text) {
				t.Fatalf("%q: %+v", text, w)
			}
		}
		pattern.Overlap(p, map[string]string{"source": "x"})
	})
}

// FuzzMatch: matching never panics, Explain agrees, and so do MatchFields and a set of one.
func FuzzMatch(f *testing.F) {
	seeds(f, func(v vector) { f.Add([]byte(v.Pattern), []byte(v.Event)) })
	f.Fuzz(func(t *testing.T, text, event []byte) {
		p, err := pattern.Compile(text)
		if err != nil {
			return
		}
		matched, err := p.Match(event)
		if err != nil && (matched || !errors.Is(err, pattern.ErrEvent) || json.Valid(event) && depth(event) < 1000 && bytes.TrimSpace(event)[0] == '{') {
			t.Fatalf("%s on %q: %v, %v", p, event, matched, err)
		}
		e, explainErr := pattern.Explain(p, event)
		if (err == nil) != (explainErr == nil) || e.Match != matched {
			t.Fatalf("%s on %q: Match %v, %v; Explain %v, %v", p, event, matched, err, e.Match, explainErr)
		}
		set := pattern.NewSet[int]()
		set.AddPattern(p, 1)
		if found, err := set.AppendMatches(nil, event); err == nil && len(found) == 1 != matched {
			t.Fatalf("%s on %q: Match %v; Set %v, %v", p, event, matched, found, err)
		}
		if f, ok := fieldsOf(event); ok && json.Valid(event) {
			whole := f.AppendJSON(nil)
			want, err1 := p.Match(whole)
			got, err2 := p.MatchFields(&f)
			if err1 != nil || err2 != nil || got != want {
				t.Fatalf("%s on %s: Match %v, %v; MatchFields %v, %v", p, whole, want, err1, got, err2)
			}
		}
	})
}

func depth(b []byte) (deepest int) {
	d := 0
	for _, c := range b {
		switch c {
		case '{', '[':
			d++
			deepest = max(deepest, d)
		case '}', ']':
			d--
		}
	}
	return deepest
}

// FuzzSet: a set finds what its patterns find alone, while some of them come and go.
func FuzzSet(f *testing.F) {
	seeds(f, func(v vector) {
		f.Add([]byte(v.Pattern), []byte(`{"a":["x"]}`), []byte(`{"a":[{"anything-but":1}]}`), []byte(v.Event), uint8(3))
	})
	f.Fuzz(func(t *testing.T, a, b, c, event []byte, drop uint8) {
		set := pattern.NewSet[int]()
		var alone []*pattern.Pattern
		for i, text := range [][]byte{a, b, c, b, a} {
			p, err := pattern.Compile(text)
			if err != nil {
				p, _ = pattern.CompileString(fmt.Sprintf(`{"a":[%d]}`, i))
			}
			id := set.AddPattern(p, len(alone))
			if drop>>i&1 != 0 {
				set.Remove(id)
				continue
			}
			alone = append(alone, p)
		}
		// The values are the places among those that stay, as each was added before the next was taken out.
		found, err := set.AppendMatches(nil, event)
		if err != nil {
			return
		}
		slices.Sort(found)
		var want []int
		for i, p := range alone {
			ok, err := p.Match(event)
			if err != nil {
				t.Fatalf("%s on %q: %v", p, event, err)
			}
			if ok {
				want = append(want, i)
			}
		}
		if !slices.Equal(found, want) {
			t.Fatalf("%q: set finds %v, alone %v\n%s", event, found, want, alone)
		}
	})
}

// FuzzOrder: neither the order of an event's fields nor its white space changes a verdict.
func FuzzOrder(f *testing.F) {
	seeds(f, func(v vector) { f.Add([]byte(v.Pattern), []byte(v.Event)) })
	f.Fuzz(func(t *testing.T, text, event []byte) {
		p, err := pattern.Compile(text)
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(event))
		dec.UseNumber()
		var tree map[string]any
		if dec.Decode(&tree) != nil || tree == nil || depth(event) >= 1000 {
			return
		}
		sum := fnv.New64()
		sum.Write(event)
		first := true
		var verdict bool
		var canonical []byte
		for seed := range uint64(4) {
			w := shuffler{rand.New(rand.NewPCG(sum.Sum64(), seed)), nil}
			w.value(tree)
			got, err := p.Match(w.out)
			if err != nil {
				t.Fatalf("%s on %q: %v", p, w.out, err)
			}
			if first {
				first, verdict, canonical = false, got, w.out
			} else if got != verdict {
				t.Fatalf("%s:\n%v on %s\n%v on %s", p, verdict, canonical, got, w.out)
			}
		}
	})
}

// shuffler writes a tree as JSON, the members of objects in any order and white space anywhere.
type shuffler struct {
	*rand.Rand
	out []byte
}

func (w *shuffler) space() {
	for w.IntN(3) == 0 {
		w.out = append(w.out, " \t\r\n"[w.IntN(4)])
	}
}

func (w *shuffler) value(v any) {
	w.space()
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for k := range v {
			names = append(names, k)
		}
		slices.Sort(names)
		w.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
		w.out = append(w.out, '{')
		for i, k := range names {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.value(k)
			w.out = append(w.out, ':')
			w.value(v[k])
		}
		w.space()
		w.out = append(w.out, '}')
	case []any:
		w.out = append(w.out, '[')
		for i := range v {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.value(v[i])
		}
		w.space()
		w.out = append(w.out, ']')
	default:
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // what was decoded can be encoded
		}
		w.out = append(w.out, b...)
	}
	w.space()
}
