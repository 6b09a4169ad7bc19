// Package mototest starts moto_server, an emulator of AWS, for tests.
//
// Where there is none on the PATH a test is skipped with a line that says so; where the environment variable
// LEAT_TEST_REQUIRE holds "moto", it fails instead.
package mototest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

var running = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// startsWithin bounds the start: Python loads a lot.
const startsWithin = 3 * time.Minute

// Start starts an emulator on a free port and gives its URL. It ends with the test.
func Start(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "moto") {
			t.Fatal("LEAT_TEST_REQUIRE names moto, and there is no moto_server on the PATH")
		}
		t.Skip("SKIPPED: there is no moto_server on the PATH (pip install 'moto[server]')")
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", "0") //nolint:gosec // what PATH names
	cmd.WaitDelay = 5 * time.Second
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("moto_server: %v", err)
	}
	url, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(says); lines.Scan(); {
			if m := running.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case url <- m[1]:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_ = cmd.Wait() // killed
	})
	select {
	case u := <-url:
		return u
	case <-done:
		t.Fatal("moto_server ended before it listened")
	case <-time.After(startsWithin):
		t.Fatalf("moto_server does not listen after %s", startsWithin)
	}
	return ""
}
