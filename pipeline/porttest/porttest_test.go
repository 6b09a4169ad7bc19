package porttest_test

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/leatdev/leat/pipeline/porttest"
)

// TestHold has a server come and go on a port that is held, and others ask for any port as often as there are ports.
func TestHold(t *testing.T) {
	addr := porttest.Hold(t)
	if c, err := net.Dial("tcp", addr); err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("somebody listens: %v, %v", c, err)
	}
	for range 3 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := l.Accept(); err != nil {
			t.Fatal(err)
		} else {
			s.Close() // first, so that the port has a connection in TIME_WAIT
		}
		c.Close()
		l.Close()
	}
	if runtime.GOOS != "linux" {
		return
	}
	for range 40_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() == addr {
			t.Fatal("the port was given away")
		}
		l.Close()
	}
}
