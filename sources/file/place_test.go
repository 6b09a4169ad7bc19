package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func TestResumeGivesTheRestForEveryPrefix(t *testing.T) {
	for _, tt := range []struct {
		name, rest string
		lines      int
		unfinished bool
	}{{"small", "", 5, false}, {"large", "", 120, false}, {"large, its last line without a newline", "", 120, true}, {"packed", ".gz", 120, false}} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in"+tt.rest)
			text, lines := numbered(1, tt.lines)
			if tt.unfinished {
				text = strings.TrimSuffix(text, "\n")
			}
			if tt.rest != "" {
				text = packed(t, text)
			}
			write(t, path, text)
			for k := 1; k <= len(lines); k++ {
				p, c := newPlaces(), Config{Path: []string{path}}
				first := p.some(t, k, c)
				same(t, "before", lines[:k], first)
				same(t, "after", lines[k:], p.all(t, c))
				same(t, "once more", nil, p.all(t, c))
				if t.Failed() {
					t.Fatalf("prefix %d", k)
				}
			}
		})
	}
}

// TestGrowthBelowTheHead holds that a small file goes on where it was left while it grows line by line to beyond the
// part that tells files apart.
func TestGrowthBelowTheHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	p, c := newPlaces(), Config{Path: []string{path}}
	for i := 1; i <= 60; i++ {
		text, lines := numbered(i, i)
		add(t, path, text)
		same(t, "growth", lines, p.all(t, c))
		if t.Failed() {
			t.Fatalf("line %d", i)
		}
	}
}

func TestGrowthBehindALineWithoutNewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	p, c := newPlaces(), Config{Path: []string{path}}
	write(t, path, `{"n":1}`)
	same(t, "first", []string{`{"n":1}`}, p.all(t, c))
	add(t, path, "\r\n"+`{"n":2}`)
	same(t, "second", []string{`{"n":2}`}, p.all(t, c))
	add(t, path, "\n")
	same(t, "third", nil, p.all(t, c))
}

func TestRenamedAndCopiedFilesGoOn(t *testing.T) {
	for _, n := range []int{5, 100} {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		text, lines := numbered(1, n)
		write(t, a, text)
		p := newPlaces()
		same(t, "first", lines[:3], p.some(t, 3, Config{Path: []string{a}}))
		if err := os.Rename(a, b); err != nil {
			t.Fatal(err)
		}
		same(t, "renamed", lines[3:], p.all(t, Config{Path: []string{b}}))
		more, rest := numbered(n+1, n+5)
		write(t, a, text+more) // a copy, grown
		if err := os.Remove(b); err != nil {
			t.Fatal(err)
		}
		same(t, "copied", rest, p.all(t, Config{Path: []string{a}}))
	}
}

// TestFilesThatBeginAlike holds that files with one head keep places of their own, over restarts.
func TestFilesThatBeginAlike(t *testing.T) {
	head, headLines := numbered(1, 100)
	for _, tt := range []struct {
		name  string
		head  string
		lines []string
	}{{"one line", "{\"start\":true}\n", []string{`{"start":true}`}}, {"more than the head", head, headLines}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var want []string
			for i, name := range []string{"a", "b", "c"} {
				text, lines := numbered(1000*(i+1), 1000*(i+1)+80)
				write(t, filepath.Join(dir, name), tt.head+text)
				want = append(append(want, tt.lines...), lines...)
			}
			p, c := newPlaces(), Config{Path: []string{filepath.Join(dir, "*")}}
			var got []string
			for {
				lines := p.some(t, 37, c)
				if len(lines) == 0 {
					break
				}
				got = append(got, lines...)
			}
			same(t, "all", want, got)
			var rest []string
			for i, name := range []string{"a", "b", "c"} {
				text, lines := numbered(1000*(i+1)+81, 1000*(i+1)+90)
				add(t, filepath.Join(dir, name), text)
				rest = append(rest, lines...)
			}
			same(t, "grown", rest, p.all(t, c))
		})
	}
}

func TestAnotherFileUnderTheSameName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	p, c := newPlaces(), Config{Path: []string{path}}
	for _, from := range []int{1, 5000} {
		text, lines := numbered(from, from+100)
		write(t, path, text)
		same(t, "read", lines, p.all(t, c))
	}
}

// TestAnotherFileThatBeginsAlike has a file in the place of another one that differs in its head alone, or behind it
// alone.
func TestAnotherFileThatBeginsAlike(t *testing.T) {
	text, _ := numbered(1, 100)
	for name, n := range map[string]int{"in the head": 3, "behind the head": 60} {
		path := filepath.Join(t.TempDir(), "in")
		write(t, path, text)
		p, c := newPlaces(), Config{Path: []string{path}}
		p.some(t, 60, c)
		other, lines := numbered(1, 100)
		mark := strings.Replace(lines[n-1], "pad", "PAD", 1)
		other = strings.Replace(other, lines[n-1], mark, 1)
		lines[n-1] = mark
		write(t, path, other)
		same(t, name, lines, p.all(t, c))
	}
}

func TestATruncatedFileStartsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	p, c := newPlaces(), Config{Path: []string{path}}
	text, lines := numbered(1, 100)
	write(t, path, text)
	same(t, "first", lines, p.all(t, c))
	if err := os.Truncate(path, int64(len(text)/2)); err != nil {
		t.Fatal(err)
	}
	got := p.all(t, c)
	same(t, "again", lines[:50], got[:50])
	if !strings.Contains(p.logs.String(), "shorter than what was read of it before") {
		t.Errorf("nothing said: %s", &p.logs)
	}
	same(t, "and then", nil, p.all(t, c))
}

func TestAPackedFileGoesOnWhereThePlainOneWas(t *testing.T) {
	dir := t.TempDir()
	text, lines := numbered(1, 100)
	plain, gz := filepath.Join(dir, "in"), filepath.Join(dir, "in.1.gz")
	write(t, plain, text)
	p := newPlaces()
	same(t, "plain", lines[:60], p.some(t, 60, Config{Path: []string{plain}}))
	write(t, gz, packed(t, text))
	same(t, "packed", lines[60:], p.all(t, Config{Path: []string{gz}}))
}

func TestPlaceText(t *testing.T) {
	p := place{1200, 3, 4, 0xabc, "00ff"}
	if got, ok := parsePlace(p.String()); !ok || got != p {
		t.Errorf("%s became %+v, %t", p, got, ok)
	}
	for _, bad := range []string{"", "1:2:3:4", "12:3:4:zz:", "1:2:3:0:", "12:-3:4:0:", "12:3:4:0", "12:3:4:0 :", "9999:3:4000:0:a", "12:3:4:0:a", "1200:3:4:0:"} {
		if p, ok := parsePlace(bad); ok {
			t.Errorf("%q became %+v", bad, p)
		}
	}
}

// TestPlacesOutliveTheirBatch holds that a place can be asked for when its batch is settled, that places of one file
// have one key, and that each of them is good to go on from.
func TestPlacesOutliveTheirBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	text, lines := numbered(1, 100)
	write(t, path, text)
	p, c := newPlaces(), Config{Path: []string{path}}
	s := p.open(t, c, func(e *sources.Env) { e.MaxEvents = 7 })
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	n, keys := 0, map[string]bool{}
	for m := range msgs {
		b := event.FromMessage(m)
		last := len(b.Events) - 1
		before := b.Cursor(last)
		for i := range b.Events {
			b.Settle(i, event.Committed, nil)
		}
		if after := b.Cursor(last); after != before {
			t.Errorf("the place %v became %v", before, after)
		}
		for i := range last + 1 {
			n++
			at := b.Cursor(i)
			keys[at.Key] = true
			again := newPlaces()
			again.commit(at)
			same(t, "the rest", lines[n:], again.all(t, c))
		}
	}
	if n != len(lines) || len(keys) != 1 {
		t.Errorf("%d events under %d keys", n, len(keys))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
