package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// places is the store of committed cursors, and the log.
type places struct {
	mu   sync.Mutex
	at   map[string]string
	logs bytes.Buffer
}

func newPlaces() *places { return &places{at: map[string]string{}} }

func (p *places) env() sources.Env {
	return sources.Env{
		Log:       slog.New(slog.NewTextHandler(&p.logs, nil)),
		MaxEvents: 100, MaxBytes: 1 << 20, MaxEventSize: 1 << 16,
		Cursor: func(_ context.Context, key string) (string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.at[key], nil
		},
	}
}

func (p *places) commit(c event.Cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[c.Key] = c.Value
}

// take settles up to n events of the batches that come, commits the place of the last of each batch, and gives their
// lines. It ends with the channel.
func (p *places) take(msgs <-chan *message.Message, n int) (lines []string) {
	for len(lines) < n {
		m, ok := <-msgs
		if !ok {
			return lines
		}
		b := event.FromMessage(m)
		last := -1
		for i := range b.Events {
			if len(lines) < n {
				lines = append(lines, string(b.Events[i].Raw))
				last = i
			}
		}
		if b.Cursor != nil {
			p.commit(b.Cursor(last))
		}
		for i := range b.Events {
			o := event.Committed
			if i > last {
				o = event.Released
			}
			b.Settle(i, o, nil)
		}
	}
	return lines
}

func (p *places) open(t *testing.T, c Config, change ...func(*sources.Env)) *Source {
	t.Helper()
	env := p.env()
	for _, f := range change {
		f(&env)
	}
	s, err := Open(t.Context(), c, env)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Source)
}

// all reads to the end of the input.
func (p *places) all(t *testing.T, c Config, change ...func(*sources.Env)) []string {
	t.Helper()
	return p.some(t, 1<<30, c, change...)
}

func (p *places) some(t *testing.T, n int, c Config, change ...func(*sources.Env)) []string {
	t.Helper()
	s := p.open(t, c, change...)
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	lines := p.take(msgs, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// numbered gives lines from a to b, each of them about 30 bytes.
func numbered(a, b int) (text string, lines []string) {
	for i := a; i <= b; i++ {
		lines = append(lines, fmt.Sprintf(`{"n":%06d,"pad":"xxxxxxxxxx"}`, i))
	}
	return strings.Join(lines, "\n") + "\n", lines
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("%s (-want +got):\n%.2000s", what, diff)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 99)
	for _, tt := range []struct {
		name string
		text string
		want []string
	}{
		{name: "empty", text: ""},
		{name: "one", text: "{}\n", want: []string{"{}"}},
		{name: "the last without a newline", text: "1\n2", want: []string{"1", "2"}},
		{name: "empty lines", text: "\n\n1\n \t\n\r\n2\n\n", want: []string{"1", "2"}},
		{name: "carriage returns", text: "1\r\n2\r\n3\r", want: []string{"1", "2", "3"}},
		{name: "byte order mark", text: "\xef\xbb\xbf1\n2\n", want: []string{"1", "2"}},
		{name: "at the limit", text: long + "x\n" + long + "x\r\n" + long + "x", want: []string{long + "x", long + "x", long + "x"}},
		{name: "beyond the limit", text: long + "xyz\n1\n" + long + "xyz\r\n2\n" + long + "xyz", want: []string{long + "xy", "1", long + "xy", "2", long + "xy"}},
		{name: "white space before a value stays", text: "  1\n", want: []string{"  1"}},
	} {
		for _, rest := range []string{"", ".gz"} {
			t.Run(tt.name+rest, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "in.ndjson"+rest)
				if rest == "" {
					write(t, path, tt.text)
				} else {
					write(t, path, packed(t, tt.text))
				}
				got := newPlaces().all(t, Config{Path: []string{path}}, func(e *sources.Env) { e.MaxEventSize = 100 })
				same(t, "lines", tt.want, got)
			})
		}
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSplitsAlike holds that the lines do not depend on how the bytes come in, nor on the limits.
func TestSplitsAlike(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := range 3000 {
		line := strings.Repeat("é", i%700) + fmt.Sprint(i)
		if i%500 == 499 {
			line = strings.Repeat("y", chunkSize+i) // longer than a chunk
		}
		text.WriteString(line + "\n")
		want = append(want, line)
	}
	for _, tt := range []struct {
		name   string
		piece  int
		fill   bool
		events int
	}{{"whole", 1 << 30, true, 1000}, {"pieces", 5000, false, 1000}, {"small batches", 1 << 30, true, 3}, {"small pieces", 777, false, 7}} {
		t.Run(tt.name, func(t *testing.T) {
			env := newPlaces().env()
			env.MaxEvents, env.MaxEventSize = tt.events, 1<<20
			sp := newSplitter(&pieces{text.String(), tt.piece}, env, newIdentity("", nil), 0)
			sp.fill = tt.fill
			defer sp.close()
			var got []string
			var open []*pack // keeps chunks in use, a dozen at a time
			for {
				p, err := sp.next(true)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, p)
				if len(open) > 12 {
					got = settled(t, got, open[0], text.String())
					open = open[1:]
				}
			}
			for _, p := range open {
				got = settled(t, got, p, text.String())
			}
			same(t, "lines", want, got)
		})
	}
}

func settled(t *testing.T, got []string, p *pack, text string) []string {
	t.Helper()
	for i, e := range p.events {
		at := p.spans[i]
		if text[at.start:at.end] != string(e.Raw)+"\n" {
			t.Fatalf("event %d lies at %d to %d: %.20q", i, at.start, at.end, text[at.start:at.end])
		}
		got = append(got, string(e.Raw))
	}
	p.done()
	return got
}

type pieces struct {
	text string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.text)
	p.text = p.text[n:]
	return n, nil
}

func TestBatchesKeepTheLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	text, _ := numbered(1, 1000)
	write(t, path, text)
	s := newPlaces().open(t, Config{Path: []string{path}}, func(e *sources.Env) { e.MaxEvents, e.MaxBytes = 50, 1000 })
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for m := range msgs {
		b := event.FromMessage(m)
		size := 0
		for i := range b.Events {
			size += len(b.Events[i].Raw)
		}
		if len(b.Events) == 0 || len(b.Events) > 50 || size > 1000 || size != b.Size() {
			t.Fatalf("%d events of %d bytes, said to be %d", len(b.Events), size, b.Size())
		}
		for i := range b.Events {
			b.Settle(i, event.Committed, nil)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALongLineKeepsMemoryFlat(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "in")
	write(t, path, "1\n"+strings.Repeat("x", 10<<20)+"\n2\n")
	s := newPlaces().open(t, Config{Path: []string{path}})
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for m := range msgs {
		b := event.FromMessage(m)
		for i, e := range b.Events {
			sizes = append(sizes, len(e.Raw))
			if cap(e.Raw) > 4*chunkSize {
				t.Errorf("an event holds %d bytes", cap(e.Raw))
			}
			b.Settle(i, event.Committed, nil)
		}
	}
	if diff := cmp.Diff([]int{1, 1<<16 + 1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStdin(t *testing.T) {
	r, w := io.Pipe()
	p := newPlaces()
	s := p.open(t, Config{Path: []string{"-"}})
	s.stdin = r
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "1\n2\n3"); err != nil {
		t.Fatal(err)
	}
	m := <-msgs // before the writer has ended
	if b := event.FromMessage(m); len(b.Events) != 2 || b.Cursor != nil {
		t.Errorf("%d events, cursor %t", len(b.Events), b.Cursor != nil)
	}
	go w.Close()
	same(t, "rest", []string{"3"}, p.take(msgs, 10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStopDoesNotWaitForStdin(t *testing.T) {
	r, w := io.Pipe()
	s := newPlaces().open(t, Config{Path: []string{"-"}})
	s.stdin = r
	ctx, cancel := context.WithCancel(t.Context())
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if m, open := <-msgs; open {
		t.Errorf("got %v", m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // lets the reader go, for goleak
}

func TestSubscribeRefuses(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	write(t, secret, "1\n")
	broken := filepath.Join(dir, "in.gz")
	write(t, broken, "no gzip")
	missing := filepath.Join(dir, "missing")
	for _, tt := range []struct {
		path, want string
	}{
		{missing, "file: there is no file " + missing},
		{dir, "file: " + dir + " is a folder: " + dir + "/*.ndjson reads the files in it"},
		{dir + "/[", "file: " + dir + "/[: syntax error in pattern"},
	} {
		s := newPlaces().open(t, Config{Path: []string{tt.path}})
		if _, err := s.Subscribe(t.Context(), ""); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.path, err, tt.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAFaultIsNoEnd(t *testing.T) {
	dir := t.TempDir()
	text, _ := numbered(1, 10_000)
	whole := packed(t, text)
	for name, content := range map[string]string{"torn.gz": whole[:len(whole)/2], "no.gz": "no gzip", "utf16": "\xff\xfe1\x00\n\x00"} {
		path := filepath.Join(dir, name)
		write(t, path, content)
		p := newPlaces()
		s := p.open(t, Config{Path: []string{path}})
		msgs, err := s.Subscribe(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		p.take(msgs, 1<<30)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(p.logs.String(), "reading ended by a fault") {
			t.Errorf("%s: %v; log %s", name, err, &p.logs)
		}
	}
}

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.ndjson", "a.ndjson", "c.txt", "a[1]"} {
		write(t, filepath.Join(dir, name), name+"\n")
	}
	if err := os.Mkdir(filepath.Join(dir, "d.ndjson"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path []string
		want []string
	}{
		{[]string{"*.ndjson"}, []string{"a.ndjson", "b.ndjson"}},
		{[]string{"c.txt", "*.ndjson"}, []string{"c.txt", "a.ndjson", "b.ndjson"}},
		{[]string{"a[1]"}, []string{"a[1]"}},
		{[]string{"*.none"}, nil},
	} {
		c := Config{}
		for _, p := range tt.path {
			c.Path = append(c.Path, filepath.Join(dir, p))
		}
		same(t, fmt.Sprint(tt.path), tt.want, newPlaces().all(t, c))
	}
}

func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Path: []string{"a"}}, ""},
		{Config{Path: []string{"a"}, Follow: true, From: "end"}, ""},
		{Config{}, "path: names no file"},
		{Config{Path: []string{""}}, "path: is empty"},
		{Config{Path: []string{"a"}, From: "end"}, "from: end is for files that are followed"},
		{Config{Path: []string{"-"}, Follow: true}, "path: standard input cannot be followed"},
	} {
		got := ""
		if err := tt.c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.c, got, tt.want)
		}
	}
}

// origin is a file for the suite.
type origin struct {
	path   string
	follow bool
}

func (o origin) Publish(t testing.TB, bodies []string) {
	t.Helper()
	f, err := os.OpenFile(o.path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Join(bodies, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (o origin) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: []string{o.path}, Follow: o.follow}, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, follow := range map[string]bool{"to its end": false, "followed": true} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Features{Places: true, Endless: follow}, func(t *testing.T) sourcetest.Origin {
				return origin{filepath.Join(t.TempDir(), "in.ndjson"), follow}
			})
		})
	}
}
