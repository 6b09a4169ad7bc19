// Package fauxqstest starts fauxqs, a fast emulator of SQS, for measurements (npm install -g fauxqs).
//
// Where there is none on the PATH a test is skipped with a line that says so; where the environment variable
// LEAT_TEST_REQUIRE holds "fauxqs", it fails instead.
package fauxqstest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/porttest"
)

// startsWithin bounds the start.
const startsWithin = 2 * time.Minute

// Start starts an emulator on a free port and gives its URL. It ends with the test.
func Start(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("fauxqs")
	if err != nil {
		if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "fauxqs") {
			t.Fatal("LEAT_TEST_REQUIRE names fauxqs, and there is none on the PATH")
		}
		t.Skip("SKIPPED: there is no fauxqs on the PATH (npm install -g fauxqs@1.9.2)")
	}
	address := porttest.Hold(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path) //nolint:gosec // it is what was found on the PATH
	cmd.Env = append(os.Environ(), "FAUXQS_PORT="+port, "FAUXQS_LOGGER=false")
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("fauxqs: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	for deadline := time.Now().Add(startsWithin); time.Now().Before(deadline); {
		if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address); err == nil {
			_ = c.Close()
			return "http://" + address
		}
		select {
		case <-ended:
			t.Fatal("fauxqs ended before it listened")
		case <-time.After(20 * time.Millisecond): // another process: there is nothing but asking
		}
	}
	t.Fatalf("fauxqs does not listen after %s", startsWithin)
	return ""
}
