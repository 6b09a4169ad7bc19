package config

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// TestSpots finds the marker @ of each scalar at its line and column.
func TestSpots(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line, col  int
	}{
		{"plain", "a: bc @", 1, 7},
		{"plain of two lines", "a: b\n  c @", 2, 5},
		{"plain with a blank line", "a: b\n\n\n  c @", 4, 5},
		{"plain, blanks at the line's end", "a: b   \n  c @", 2, 5},
		{"plain with a comment behind", "a: b @ # @", 1, 6},
		{"single quotes", "a: 'b @'", 1, 7},
		{"single quotes, doubled", "a: 'b''''@'", 1, 10},
		{"single quotes of two lines", "a: 'b\n   c @'", 2, 6},
		{"single quotes with blank lines", "a: 'b\n\n\n   @'", 4, 4},
		{"double quotes", "a: \"b @\"", 1, 7},
		{"double quotes, escapes", `a: "\t\u00e9\x41\U0001F600\\\"@"`, 1, 31},
		{"double quotes, escaped break", "a: \"b\\\n  c @\"", 2, 5},
		{"double quotes, escaped break and blank line", "a: \"b\\\n\n  c @\"", 3, 5},
		{"double quotes, folded", "a: \"b  \n  c @\"", 2, 5},
		{"literal", "a: |\n  b\n  c @", 3, 5},
		{"literal, indented lines", "a: |\n  b\n    c @\n", 3, 7},
		{"literal, blank lines first", "a: |\n\n\n  b @\n", 4, 5},
		{"literal, blank lines between", "a: |\n  b\n\n\n  c @\n", 5, 5},
		{"literal, blanks in a blank line", "a: |\n  b\n     \n  c @\n", 4, 5},
		{"literal with an indentation indicator", "a: |2\n    b @\n", 2, 7},
		{"literal, kept", "a: |+\n  b @\n\n", 2, 5},
		{"literal, stripped", "a: |-\n  b @", 2, 5},
		{"literal with a comment", "a: | # @@\n  b @\n", 2, 5},
		{"folded", "a: >\n  b\n  c @\n", 3, 5},
		{"folded with a blank line", "a: >\n  b\n\n  c @\n", 4, 5},
		{"folded with two blank lines", "a: >\n  b\n\n\n  c @\n", 5, 5},
		{"folded with indented lines", "a: >-\n  b\n    c\n  d @\n", 4, 5},
		{"folded with indented lines and blanks", "a: >-\n  b\n\n    c\n\n  d @\n", 6, 5},
		{"in a flow map", "{a: b, c: d @}", 1, 13},
		{"behind an anchor", "a: &x b @", 1, 9},
		{"behind a tag", "a: !!str b @", 1, 12},
		{"behind an anchor in the next line", "a: &x\n  b @", 2, 5},
		{"wide characters", "a: 日本 @", 1, 7},
		{"a tab", "a:\tb\t@", 1, 6},
		{"CRLF", "a: |\r\n  b\r\n  c @\r\n", 3, 5},
		{"CR", "a: >\r  b\r  c @\r", 3, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(tt.text), &doc); err != nil {
				t.Fatal(err)
			}
			f := newSource("f", tt.text)
			found := false
			eachScalar(&doc, func(n *yaml.Node) {
				spots := f.spots(n)
				if spots == nil {
					t.Fatalf("no spots for %q", n.Value)
				}
				if i := strings.IndexByte(n.Value, '@'); i >= 0 {
					found = true
					if spots[i] != (spot{tt.line, tt.col}) {
						t.Errorf("got %v", spots[i])
					}
				}
			})
			if !found {
				t.Fatal("no marker")
			}
		})
	}
}

func eachScalar(n *yaml.Node, do func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!merge" {
		do(n)
	}
	for _, c := range n.Content {
		eachScalar(c, do)
	}
}

// TestSpotsOfRandomScalars holds for scalars of all styles that each letter of the value is the one that stands at its
// spot in the text.
func TestSpotsOfRandomScalars(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	checked := 0
	for range 8_000 {
		text := "k: " + randomScalar(r) + "\n"
		var doc yaml.Node
		if decodeOne(text, &doc) != nil {
			continue
		}
		f := newSource("f", text)
		eachScalar(&doc, func(n *yaml.Node) {
			spots := f.spots(n)
			if spots == nil {
				t.Fatalf("no spots for %q in %q", n.Value, text)
			}
			for i, c := range n.Value {
				if c < 'a' || c > 'z' && c < 0x80 {
					continue // blanks and breaks may stand for others
				}
				at := f.offset(spots[i].line, spots[i].col)
				if got, _ := utf8.DecodeRuneInString(text[at:]); got != c && got != '\\' {
					t.Fatalf("%q at %v is %q in %q", c, spots[i], got, text)
				}
				checked++
			}
		})
	}
	if checked < 8_000 {
		t.Errorf("only %d letters were checked", checked)
	}
}

func randomScalar(r *rand.Rand) string {
	words := []string{"a", "b", "cd", "é", "日", " ", "  ", "\n  ", "\n\n  ", "\n     ", "\n   \n  ", "\t", ":", "\\n", "\\u0061", "\\\n  ", "''"}
	var b strings.Builder
	for range 1 + r.IntN(8) {
		b.WriteString(words[r.IntN(len(words))])
	}
	s := b.String()
	switch r.IntN(5) {
	case 0:
		return "'" + s + "'"
	case 1:
		return `"` + s + `"`
	case 2:
		return []string{"|", "|-", "|+"}[r.IntN(3)] + "\n  " + s
	case 3:
		return []string{">", ">-", ">+"}[r.IntN(3)] + "\n  " + s
	}
	return s
}
