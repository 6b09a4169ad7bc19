package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Severity
	}{
		{errors.New("no such bus"), Problem},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, Unreachable},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), Unreachable},
		{&os.PathError{Op: "open", Path: "x", Err: os.ErrPermission}, Unreachable},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, Problem},
		{&net.DNSError{Err: "no such host", Name: "x"}, Unreachable},
	} {
		if got := Error("it", tt.err); got.Severity != tt.want || !strings.HasPrefix(got.What, "it: ") {
			t.Errorf("Error(%v) = %+v, want %s", tt.err, got, tt.want)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, tt := range []struct {
		findings []Finding
		want     Severity
	}{
		{nil, OK},
		{[]Finding{Okf("a"), Warnf("b"), Okf("c")}, Warning},
		{[]Finding{Unreachablef("a"), Problemf("b")}, Unreachable},
		{[]Finding{Problemf("a"), Warnf("b")}, Problem},
	} {
		if got := Worst(tt.findings); got != tt.want {
			t.Errorf("Worst(%v) = %s, want %s", tt.findings, got, tt.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "in.ndjson")
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "none", "x")
	for _, tt := range []struct {
		name string
		got  Finding
		want Severity
		word string
	}{
		{"read a file", Readable(file), OK, "3 bytes"},
		{"read what is missing", Readable(missing), Problem, "does not exist"},
		{"read a folder", Readable(dir), Problem, "folder"},
		{"append to a file", Appendable(file), OK, "can be written"},
		{"append to one to be made", Appendable(filepath.Join(dir, "new")), OK, "can be made"},
		{"append in a missing folder", Appendable(missing), Problem, "none does not exist"},
		{"append to a folder", Appendable(dir), Problem, "folder"},
		{"write in a folder", Writable(dir), OK, "can be written"},
		{"write in a file", Writable(file), Problem, "no folder"},
		{"space", left(dir, 90<<30, 100<<30, true), OK, "90.0 GiB left of 100.0 GiB"},
		{"little space", left(dir, 4<<30, 100<<30, true), Warning, "4.0 GiB left of"},
		{"no space", left(dir, 1<<20, 100<<30, true), Problem, "1.0 MiB left of"},
		{"unknown space", left(dir, 0, 0, false), OK, "not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got.Severity != tt.want || !strings.Contains(tt.got.What, tt.word) {
				t.Errorf("%+v, want %s with %q", tt.got, tt.want, tt.word)
			}
		})
	}
	if got := Space(missing); !strings.Contains(got.What, "left of") { // of the folder that is there, however full
		t.Errorf("%+v", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the checks left %v behind (%v)", entries, err)
	}
}

func TestFilesOfOthers(t *testing.T) {
	if os.Getuid() == 0 && runtime.GOOS == "linux" { // root may read and write everything, nobody may not
		asNobody(t)
		return
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "closed")
	if err := os.WriteFile(file, nil, 0); err != nil {
		t.Fatal(err)
	}
	if got := Readable(file); got.Severity != Unreachable || got.Mend == "" {
		t.Errorf("Readable: %+v", got)
	}
	if got := Appendable(file); got.Severity != Unreachable || got.Mend == "" {
		t.Errorf("Appendable: %+v", got)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
	if got := Writable(dir); got.Severity != Unreachable || got.Mend == "" {
		t.Errorf("Writable: %+v", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 30: "3.0 GiB", 5 << 50: "5.0 PiB"} {
		if got := bytes(n); got != want {
			t.Errorf("bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

// asNobody runs the test in a process of its own that has no rights.
func asNobody(t *testing.T) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v") // its folder may be closed to nobody
	c.Dir = "/"
	c.Env = append(os.Environ(), "TMPDIR=/tmp")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}
