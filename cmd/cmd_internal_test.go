package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// terminal is an app whose stdout and stderr are a terminal, as far as it knows.
type terminal struct {
	app
	stdout, stderr bytes.Buffer
	vars           map[string]string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	tt := &terminal{vars: map[string]string{"LEAT_DATA": t.TempDir()}}
	tt.app = app{
		in: strings.NewReader(""), out: &tt.stdout, err: &tt.stderr, outTTY: true, errTTY: true, now: time.Now,
		env: func(name string) (string, bool) { v, ok := tt.vars[name]; return v, ok },
	}
	return tt
}

func (tt *terminal) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	tt.stdout.Reset()
	tt.stderr.Reset()
	a := tt.app // flags of one command are not those of the next
	code = a.main(t.Context(), args)
	return tt.stdout.String(), tt.stderr.String(), code
}

func TestTerminal(t *testing.T) {
	tt := newTerminal(t)
	if _, stderr, code := tt.run(t, "store", "append", "order/1", "--type", "A\x1b[31mB"); code != 0 {
		t.Fatal(stderr)
	}
	if stdout, _, _ := tt.run(t, "store", "streams"); !strings.HasPrefix(stdout, "\x1b[1mSTREAM   EVENTS  CREATED") || !strings.Contains(stdout, "\norder/1       1  20") {
		t.Errorf("not aligned and coloured: %q", stdout)
	}
	if stdout, _, _ := tt.run(t, "store", "streams", "--json"); !strings.HasPrefix(stdout, `{"stream":"order/1"`) {
		t.Errorf("--json: %q", stdout)
	}
	tt.vars["NO_COLOR"] = "1"
	if stdout, _, _ := tt.run(t, "store", "streams"); !strings.HasPrefix(stdout, "STREAM ") || strings.Contains(stdout, "\x1b") {
		t.Errorf("NO_COLOR: %q", stdout)
	}
	delete(tt.vars, "NO_COLOR")

	dir := t.TempDir()
	in, file := filepath.Join(dir, "in.ndjson"), filepath.Join(dir, "p.yaml")
	write(t, in, "{\"id\":\"e1\",\"source\":\"s\",\"detail-type\":\"T\x1b]0;\",\"detail\":{}}\n{\"id\":\"e2\",\"source\":\"s\",\"detail-type\":\"T\",\"detail\":{}}\n")
	write(t, file, fmt.Sprintf("server: { listen: 'off' }\npipelines:\n  p:\n    source: { file: { path: %q } }\n    steps: [ { append: { stream: 'a/{{ id }}' } } ]\n", in))
	_, stderr, code := tt.run(t, "run", file)
	if code != 0 || !strings.Contains(stderr, "\x1b[32mINFO ") || !strings.Contains(stderr, "p:  received 2  filtered 0  committed 1  forwarded 0  poisoned 1\n") {
		t.Errorf("run: exit %d: %q", code, stderr)
	}
	stdout, stderr, code := tt.run(t, "poison", "show", "1")
	if code != 0 || strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, `T\x1b]0;`) || !strings.Contains(stderr, "leat poison retry 1") {
		t.Errorf("show: exit %d: %q %q", code, stdout, stderr)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStatusLine(t *testing.T) {
	var out bytes.Buffer
	s := &statusLine{w: &out}
	fmt.Fprintln(s, "one")
	s.show("3 of 4")
	s.show("3 of 4")
	fmt.Fprintln(s, "two")
	s.show("")
	fmt.Fprintln(s, "three")
	if want := "one\n" + clearLine + "3 of 4" + clearLine + "two\n3 of 4" + clearLine + "three\n"; out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
	if got := counted(pipeline.Summary{Pipelines: []pipeline.PipelineSummary{{Received: 12345, Committed: 9, Projected: 4, Forwarded: 3, Poisoned: 1, Undelivered: 2}}}); got != "received 12,345  committed 9  delivered 7  to deliver 2  poisoned 1" {
		t.Errorf("counted: %q", got)
	}
}

// The first signal ends soft alone, the second hard, with the exit code of that signal. What follows at once is the first
// one again.
func TestSignals(t *testing.T) {
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: exitTerminated, syscall.SIGINT: exitInterrupted} {
		at, asked := make(chan time.Duration, 1), make(chan bool)
		soft, hard, signalled, stop := stopOnSignals(t.Context(), func() time.Time {
			asked <- true
			return time.Unix(0, 0).Add(<-at)
		})
		send := func(sig syscall.Signal, after time.Duration) {
			at <- after
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			<-asked
		}
		send(sig, 0)
		<-soft.Done()
		send(syscall.SIGINT+syscall.SIGTERM-sig, doubled-1) // the other of the two
		if hard.Err() != nil || signalled() != 0 {
			t.Errorf("%v once: hard %v, code %d", sig, hard.Err(), signalled())
		}
		send(sig, doubled)
		<-hard.Done()
		if signalled() != code {
			t.Errorf("%v twice: code %d, want %d", sig, signalled(), code)
		}
		stop()
	}
	soft, hard, signalled, stop := stopOnSignals(t.Context(), time.Now)
	stop()
	if soft.Err() == nil || hard.Err() == nil || signalled() != 0 {
		t.Errorf("without a signal: %v, %v, %d", soft.Err(), hard.Err(), signalled())
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
	}{
		{errors.New("any"), exitFailed},
		{fmt.Errorf("store main: %w", eventstore.ErrLocked), exitEnvironment},
		{fmt.Errorf("a: %w", &os.PathError{Op: "open", Err: syscall.ENOSPC}), exitEnvironment},
		{fmt.Errorf("a: %w", fs.ErrPermission), exitEnvironment},
		{fmt.Errorf("a: %w", fs.ErrNotExist), exitEnvironment},
		{client.ErrUnreachable, exitEnvironment},
		{fmt.Errorf("a: %w", &os.PathError{Op: "open", Err: syscall.EISDIR}), exitEnvironment},
		{admin.ErrNotLoopback, exitUsage},
		{usagef("a"), exitUsage},
		{fmt.Errorf("a: %w", exit(exitPoisoned)), exitPoisoned},
		{context.Canceled, exitInterrupted},
	} {
		if got := exitCode(tt.err); got != tt.code {
			t.Errorf("%v: exit %d, want %d", tt.err, got, tt.code)
		}
	}
}

func TestEnded(t *testing.T) {
	poisoned := pipeline.Summary{Pipelines: []pipeline.PipelineSummary{{Name: "p", Received: 1, RelayPoisoned: 1}}}
	undelivered := fmt.Errorf("p: %w", pipeline.ErrUndelivered)
	for _, tt := range []struct {
		name      string
		summary   pipeline.Summary
		err       error
		strict    bool
		signalled int
		code      int
	}{
		{name: "done"},
		{name: "poisoned", summary: poisoned},
		{name: "strict", summary: poisoned, strict: true, code: exitPoisoned},
		{name: "undelivered", err: undelivered, code: exitFailed},
		{name: "undelivered beats strict", summary: poisoned, strict: true, err: undelivered, code: exitFailed},
		{name: "locked", err: eventstore.ErrLocked, code: exitEnvironment},
		{name: "second signal", err: undelivered, signalled: exitTerminated, code: exitTerminated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := newTerminal(t).ended(tt.summary, tt.err, []string{"p.yaml"}, &running{strict: tt.strict}, tt.signalled)
			got := 0
			if err != nil {
				got = exitCode(err)
			}
			if got != tt.code {
				t.Errorf("exit %d (%v), want %d", got, err, tt.code)
			}
		})
	}
}

// What fails is told without the secrets in it.
func TestErrorsHideSecrets(t *testing.T) {
	telemetry.Hide("open-sesame-42")
	tt := newTerminal(t)
	for _, args := range [][]string{{"store", "open-sesame-42"}, {"store", "read", "x", "--server", "http://u:hunter2@127.0.0.1:1"}, {"match", "-e", "open-sesame-42"}} {
		for _, more := range [][]string{nil, {"--json"}} {
			stdout, stderr, code := tt.run(t, append(args, more...)...)
			if code == 0 || strings.Contains(stdout+stderr, "open-sesame") || strings.Contains(stderr, "hunter2") {
				t.Errorf("%v: exit %d: %s %s", args, code, stdout, stderr)
			}
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2h": now.Add(-2 * time.Hour), "1.5d": now.Add(-36 * time.Hour), "2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T08:00:00+01:00": time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC),
	} {
		if got, err := since(text, now); err != nil || !got.Equal(want) {
			t.Errorf("since(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "2", "d"} {
		if got, err := since(text, now); err == nil || exitCode(err) != exitUsage {
			t.Errorf("since(%q) = %v, %v", text, got, err)
		}
	}
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 700<<10)
	var got []string
	in := "\ufeffone\r\n\n  \ntwo\n" + long + "\nlast"
	if err := eachLine(strings.NewReader(in), func(n int, line []byte) error {
		got = append(got, fmt.Sprint(n, " ", string(line)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 one", "4 two", "5 " + long, "6 last"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%d lines: %.80q", len(got), got)
	}
	if err := eachLine(strings.NewReader(strings.Repeat("y", maxLine+1)), func(int, []byte) error { return nil }); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("a line without end: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %s", n, got)
		}
	}
	if got := count(2, "stream") + count(1, "event") + count(3, "entry"); got != "2 streams1 event3 entries" {
		t.Error(got)
	}
}

func TestAgain(t *testing.T) {
	for want, p := range map[string]place{
		"":                           {store: "main"},
		" --data d --store x":        {data: "d", store: "x"},
		" --server h:1":              {server: "h:1"},
		" a.yaml -f b.yml -f /etc/x": {files: []string{"a.yaml", "b.yml", "/etc/x"}},
		" -f /etc/x":                 {files: []string{"/etc/x"}},
	} {
		if got := p.again(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
