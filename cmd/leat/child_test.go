package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/cmd"
	"github.com/leatdev/leat/pipeline/porttest"
)

// The tests here run the real program: the test binary starts itself again as leat.
const childEnv = "LEAT_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(cmd.Main())
	}
	os.Exit(m.Run())
}

// child is a running leat.
type child struct {
	cmd    *exec.Cmd
	stderr stderr
	done   chan struct{}
	err    error
}

// stderr is what a child has said, in a file that it writes itself: what it said before it answered a request is there
// when the answer is. A pipe would be copied by a goroutine of this process, some time later.
type stderr struct{ f *os.File }

func newStderr(t testing.TB) stderr {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return stderr{f}
}

func (s stderr) String() string {
	b, err := os.ReadFile(s.f.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func startLeat(t testing.TB, dir string, env []string, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, dir, env, self, args...)
}

func startProgram(t testing.TB, dir string, env []string, program string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(program, args...), done: make(chan struct{})}
	c.cmd.Dir = dir
	c.cmd.Env = append(append(os.Environ(), childEnv+"=1", "NO_COLOR=1"), env...)
	c.stderr = newStderr(t)
	c.cmd.Stderr = c.stderr.f
	c.cmd.Stdout = io.Discard
	c.start(t)
	return c
}

func (c *child) start(t testing.TB) {
	t.Helper()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(c.kill)
}

// kill is kill -9.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// exit waits for the end and gives the exit code.
func (c *child) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(within):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		<-c.done
		t.Fatalf("leat did not end within %s:\n%s", within, c.stderr.String())
	}
	var failed *exec.ExitError
	if errors.As(c.err, &failed) {
		return failed.ExitCode()
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	return 0
}

// freePort gives an address of this machine that nobody listens on, and nobody else is given until the test ends.
func freePort(t testing.TB) string {
	t.Helper()
	return porttest.Hold(t)
}

// ready waits until the daemon takes events; false where it ended before.
func (c *child) ready(t testing.TB, addr string) bool {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		res, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-c.done:
			return false
		case <-time.After(2 * time.Millisecond): // another process: there is nothing but asking
		}
	}
	t.Fatalf("leat is not ready:\n%s", c.stderr.String())
	return false
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// publisher sends PutEvents to a daemon that comes and goes, one entry after another for each of its keys, and
// remembers what was answered.
type publisher struct {
	addr  string
	mu    sync.Mutex
	acked map[string]string // note → event id
}

// send publishes until ctx ends.
func (p *publisher) send(ctx context.Context, worker int) {
	client := &http.Client{Timeout: 5 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		var entries, notes []string
		for k := range 5 {
			note := fmt.Sprintf("w%d-%d-%d", worker, n, k)
			notes = append(notes, note)
			entries = append(entries, fmt.Sprintf(`{"Source":"crash","DetailType":"Ping","Detail":"{\"key\":\"k%d\",\"note\":\"%s\"}"}`, k, note))
		}
		body := `{"Entries":[` + strings.Join(entries, ",") + `]}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr+"/", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
		res, err := client.Do(req)
		if err != nil {
			select { // the daemon is down: it is started again
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
			continue
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			continue
		}
		p.note(notes, answer)
	}
}

// note remembers the entries that an answer acknowledges.
func (p *publisher) note(notes []string, answer []byte) {
	var out struct {
		Entries []struct {
			EventID   string `json:"EventId"`
			ErrorCode string
		}
	}
	if json.Unmarshal(answer, &out) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range out.Entries {
		if e.EventID != "" && e.ErrorCode == "" {
			p.acked[notes[i]] = e.EventID
		}
	}
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}
