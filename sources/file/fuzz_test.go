package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/sources"
)

// FuzzSplit compares the splitter with one of a few lines, whatever the bytes, the reads and the limits are.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("1\n\r\n 2\r\n\n3"), uint8(3), uint8(2), uint8(5), uint8(9), true)
	f.Add([]byte("\xef\xbb\xbfa\n"+string(make([]byte, 50))+"\n\n"), uint8(1), uint8(1), uint8(10), uint8(1), false)
	f.Fuzz(func(t *testing.T, text []byte, piece, events, size, batch uint8, final bool) {
		env := sources.Env{MaxEvents: int(events%8) + 1, MaxEventSize: int(size) + 1, MaxBytes: int(batch) + 1}
		sp := newSplitter(&pieces{string(text), int(piece) + 1}, env, newIdentity("", nil), 0)
		sp.fill = piece%2 == 0
		defer sp.close()
		var got []string
		for {
			p, err := sp.next(final)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(p.events) == 0 || len(p.events) > env.MaxEvents || (p.bytes > env.MaxBytes && len(p.events) > 1) {
				t.Fatalf("a batch of %d events, %d bytes", len(p.events), p.bytes)
			}
			for i, e := range p.events {
				at := p.spans[i]
				if !bytes.HasPrefix(text[at.start:at.end], e.Raw) {
					t.Fatalf("%q does not begin %q", e.Raw, text[at.start:at.end])
				}
				got = append(got, fmt.Sprintf("%d-%d %q", at.start, at.end, e.Raw))
			}
			p.done()
		}
		want, end := naive(text, env.MaxEventSize, final)
		if diff := cmp.Diff(want, got); diff != "" || sp.offset != end {
			t.Errorf("%q: ended at %d, want %d (-want +got):\n%s", text, sp.offset, end, diff)
		}
	})
}

func naive(text []byte, limit int, final bool) (out []string, end int64) {
	at := 0
	if bytes.HasPrefix(text, mark) {
		at = len(mark)
	}
	for at < len(text) {
		next := len(text)
		if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
			next = at + n + 1
		} else if !final {
			break
		}
		line := bytes.TrimSuffix(text[at:next], []byte("\n"))
		long := len(bytes.TrimSuffix(line, []byte("\r"))) > limit
		if line = bytes.TrimSuffix(line, []byte("\r")); long {
			line = line[:limit+1]
		}
		if long || len(bytes.TrimSpace(line)) > 0 || (len(line) > 0 && line[0] > ' ') {
			out = append(out, fmt.Sprintf("%d-%d %q", at, next, line))
		}
		at = next
	}
	return out, int64(at)
}
