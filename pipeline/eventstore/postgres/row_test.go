package postgres

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", "é", "a\x00b", "\xff\xfe", "\x1a", "\x1a00", "\x1a\x00", "\xe9\x1a", "日本語\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := escape(s)
		if !utf8.ValidString(e) || strings.IndexByte(e, 0) >= 0 {
			t.Errorf("%q is escaped as %q, which PostgreSQL does not take", s, e)
		}
		if back := unescape(e); back != s {
			t.Errorf("%q comes back as %q", s, back)
		}
	})
}
