package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// snippetWidth is how many characters of a line a snippet shows.
const snippetWidth = 140

// pad gives the blank that stands under a line's characters before col: tabs stay tabs and wide characters take two
// places, so that the caret is under its text whatever the terminal's tab stops are.
func pad(line string, col int) string {
	var b strings.Builder
	i := 1
	for _, r := range line {
		if i >= col {
			break
		}
		switch {
		case r == '\t':
			b.WriteByte('\t')
		default:
			b.WriteString(strings.Repeat(" ", width(r)))
		}
		i++
	}
	for ; i < col; i++ {
		b.WriteByte(' ')
	}
	return b.String()
}

// carets gives the marks under the characters from col up to end; at least one.
func carets(line string, col, end int) string {
	n, i := 0, 1
	for _, r := range line {
		if i >= end {
			break
		}
		if i >= col {
			n += max(width(r), 1)
		}
		i++
	}
	return strings.Repeat("^", max(n, 1))
}

// width gives the columns that a terminal uses for a character: two for the wide blocks of East Asian text and for
// emoji, none for marks that combine with the character before.
func width(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// cut shortens a long line to what stands around [col, end), and gives the columns in the shortened line.
func cut(line string, col, end int) (string, int, int) {
	n := utf8.RuneCountInString(line)
	if n <= snippetWidth {
		return line, col, end
	}
	runes := []rune(line)
	from := max(0, min(col-1-snippetWidth/3, n-snippetWidth))
	to := min(n, from+snippetWidth)
	s := string(runes[from:to])
	if from > 0 {
		s = "…" + s
		col, end = col-from+1, end-from+1
	}
	if to < n {
		s += "…"
	}
	return s, col, min(end, to-from+2)
}
