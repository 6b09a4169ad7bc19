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

func TestBehindPrefix(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\U0010ffff": "b", "\U0010ffff": "", "": "", "x\ud7ff": "x\ue000", "é": "ê", "a\x7f": "a\u0080"} {
		got := behindPrefix(prefix)
		if got != want {
			t.Errorf("behind %q lies %q, want %q", prefix, got, want)
		}
		for _, s := range []string{prefix, prefix + "\U0010ffff\U0010ffff", prefix + "z"} {
			if got != "" && s >= got {
				t.Errorf("%q starts with %q and is not before %q", s, prefix, got)
			}
		}
	}
}
