package file

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, c Config, env sinks.Env) *Sink {
	t.Helper()
	s, err := Open(t.Context(), c, env)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Sink)
}

func write(t *testing.T, s *Sink, batch []event.Recorded) {
	t.Helper()
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func lines(batches ...[]event.Recorded) string {
	var out strings.Builder
	for _, b := range batches {
		for i := range b {
			out.Write(b[i].Raw)
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// disk is the file as the suite sees it. It breaks by a write of which half arrives.
type disk struct {
	path string
	sink *Sink
}

func (d *disk) Bodies(t testing.TB) []string {
	text := content(t, d.path)
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func (d *disk) Break(testing.TB) {
	d.sink.fail = func(call string) error {
		if call != "sync" {
			return nil
		}
		return syscall.ENOSPC
	}
}
func (d *disk) Mend(testing.TB) { d.sink.fail = func(string) error { return nil } }

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Features{Compacts: true}, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
		path := filepath.Join(t.TempDir(), "out.ndjson")
		s := open(t, Config{Path: path}, sinks.Env{})
		return s, &disk{path, s}
	})
}

func TestAppendsToWhatIsThere(t *testing.T) {
	for _, tt := range []struct {
		name, before, want string
		said               string
	}{
		{name: "nothing"},
		{name: "whole lines", before: "{}\n{}\n", want: "{}\n{}\n"},
		{name: "a torn event", before: "{}\n{\"a\":\"b", want: "{}\n", said: "cut off a torn last line"},
		{name: "a torn event alone", before: "{\"a\":\"b", want: "", said: "cut off a torn last line"},
		{name: "a torn event, long", before: "{}\n{\"a\":\"" + strings.Repeat("x", 200_000), want: "{}\n", said: "cut off a torn last line"},
		{name: "an event without its newline", before: "{}\n{\"a\":1}", want: "{}\n{\"a\":1}\n"},
		{name: "no line of ours", before: "root:x:0:0", want: "root:x:0:0\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if tt.before != "" {
				if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			s := open(t, Config{Path: path}, sinks.Env{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if got := content(t, path); got != tt.before {
				t.Errorf("opening alone made it %q", got)
			}
			batch := sinktest.Events(0, 2)
			write(t, s, batch)
			shut(t, s)
			if diff := cmp.Diff(tt.want+lines(batch), content(t, path)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(log.String(), tt.said) || (tt.said == "") != (log.Len() == 0) {
				t.Errorf("log %q, want %q", &log, tt.said)
			}
		})
	}
}

// TestAFaultLeavesWholeLines makes each call to the disk fail once, and then every one of them.
func TestAFaultLeavesWholeLines(t *testing.T) {
	for _, calls := range [][]string{{"write"}, {"sync"}, {"sync", "truncate"}} {
		t.Run(strings.Join(calls, " and "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			s := open(t, Config{Path: path}, sinks.Env{})
			before, during := sinktest.Events(0, 2), sinktest.Events(2, 3)
			write(t, s, before)
			s.fail = func(call string) error {
				for _, c := range calls {
					if c == call {
						return &fs.PathError{Op: call, Path: path, Err: syscall.ENOSPC}
					}
				}
				return nil
			}
			err := s.Write(t.Context(), during)
			if _, down := event.AsUnavailable(err); !down || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "write 3 events to "+path) {
				t.Errorf("error %v", err)
			}
			kept := lines(before)
			if len(calls) == 2 { // what could not be taken back comes twice
				kept += lines(during)
			}
			if diff := cmp.Diff(kept, content(t, path)); diff != "" {
				t.Errorf("after the fault (-want +got):\n%s", diff)
			}
			s.fail = func(string) error { return nil }
			if len(calls) == 2 { // what else may be there by then
				if err := os.WriteFile(path, []byte(kept+`{"torn":`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(t, s, during)
			shut(t, s)
			if diff := cmp.Diff(kept+lines(during), content(t, path)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAFullDisk has a disk that is really full: /dev/full takes nothing.
func TestAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil && runtime.GOOS != "linux" {
		t.Skip("no /dev/full here")
	}
	s := open(t, Config{Path: "/dev/full"}, sinks.Env{})
	err := s.Write(t.Context(), sinktest.Events(0, 1))
	if _, down := event.AsUnavailable(err); !down || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	shut(t, s)
}

func TestARotatedFileIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	s := open(t, Config{Path: path, Mode: "0600"}, sinks.Env{})
	a, b, c := sinktest.Events(0, 1), sinktest.Events(1, 1), sinktest.Events(2, 1)
	write(t, s, a)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, s, b)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, s, c)
	shut(t, s)
	if got := content(t, path+".1"); got != lines(a) {
		t.Errorf("the moved file: %s", got)
	}
	if got := content(t, path); got != lines(c) {
		t.Errorf("the new file, truncated on the way: %q", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestAFolderThatGoesIsAnOutage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "out")
	s := open(t, Config{Path: path}, sinks.Env{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := s.Write(t.Context(), sinktest.Events(0, 1))
	if _, down := event.AsUnavailable(err); !down {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s, sinktest.Events(0, 1))
	shut(t, s)
	if got := content(t, path); got != lines(sinktest.Events(0, 1)) {
		t.Errorf("holds %q", got)
	}
}

// TestTwoPipelinesShareAFile holds that faults of one never take back lines of another.
func TestTwoPipelinesShareAFile(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	shared := map[string]any{}
	env := sinks.Env{Shared: func(key string, make func() any) any {
		mu.Lock()
		defer mu.Unlock()
		if shared[key] == nil {
			shared[key] = make()
		}
		return shared[key]
	}}
	path := filepath.Join(dir, "out")
	link := filepath.Join(dir, "link")
	first := open(t, Config{Path: path}, env)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	second := open(t, Config{Path: link, Sync: "never"}, env)
	if first.out != second.out {
		t.Error("one file by two names has two writers")
	}
	n := 0
	first.fail = func(call string) error { // guarded by the turns
		if call == "sync" {
			n++
		}
		if call == "sync" && n%3 == 0 {
			return syscall.EIO
		}
		return nil
	}
	var wg sync.WaitGroup
	for i, s := range []*Sink{first, second} {
		wg.Go(func() {
			for k := range 50 {
				for s.Write(t.Context(), sinktest.Events(1000*i+4*k, 4)) != nil {
				}
			}
		})
	}
	wg.Wait()
	shut(t, first)
	write(t, second, sinktest.Events(9000, 1)) // still open
	shut(t, second)
	got := strings.Split(strings.TrimSuffix(content(t, path), "\n"), "\n")
	want := map[string]int{}
	for _, batch := range [][]event.Recorded{sinktest.Events(0, 200), sinktest.Events(1000, 200), sinktest.Events(9000, 1)} {
		for i := range batch {
			want[string(batch[i].Raw)]++
		}
	}
	for _, line := range got {
		want[line]--
	}
	for line, n := range want {
		if n != 0 {
			t.Errorf("%s: %+d", line, -n)
		}
	}
	if again := open(t, Config{Path: path}, env); again.out == first.out {
		t.Error("a closed writer was handed out")
	} else {
		shut(t, again)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                             "file: " + dir + " is a folder",
		filepath.Join(dir, "no", "out"): "file: the folder " + filepath.Join(dir, "no") + " does not exist",
		filepath.Join(plain, "out"):     "file: " + plain + " is no folder",
	} {
		if _, err := Open(t.Context(), Config{Path: path}, sinks.Env{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "a"}, ""},
		{Config{Path: "a", Mode: "0600"}, ""},
		{Config{}, "path: is empty"},
		{Config{Path: "a", Mode: "0o9"}, `mode: "0o9" are no octal permissions that let leat write`},
		{Config{Path: "a", Mode: "0444"}, `mode: "0444" are no octal permissions that let leat write`},
	} {
		got := ""
		if err := tt.c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.c, got, tt.want)
		}
	}
	if got := (Config{Path: "./a//b"}).Target(); got != "a/b" {
		t.Errorf("target %q", got)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, sync := range []string{"never", "batch"} {
		b.Run(sync, func(b *testing.B) {
			s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "out"), Sync: sync}, sinks.Env{})
			if err != nil {
				b.Fatal(err)
			}
			batch := sinktest.Events(0, 170)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch)), "ns/event")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
