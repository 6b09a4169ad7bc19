package project

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

// What an error tells of a value ends in a store, which may take valid UTF-8 alone.
func TestShortIsText(t *testing.T) {
	for _, x := range []any{"many", strings.Repeat("é", 100), "x" + strings.Repeat("é", 100), strings.Repeat("𐐨", 50), "a\xff", math.Inf(1), math.NaN(), map[string]any{"a": 1.5}, make(chan int)} {
		got := short(x)
		if got == "" || !utf8.ValidString(got) || len(got) > 60 || strings.Contains(got, "float64") {
			t.Errorf("short(%.10v) = %q", x, got)
		}
	}
}
