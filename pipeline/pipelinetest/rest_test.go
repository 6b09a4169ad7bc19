package pipelinetest

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// TestRestCountsWrong has a reading of the scheduler that counts a goroutine more in system calls than there are when
// nothing moves: as if os/signal's had not yet sat in its own when the first was taken.
func TestRestCountsWrong(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	r := newRest(&Options{Patience: time.Minute})
	for range 3 {
		r.idle = 0
		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestWaits holds that who is in a system call is waited for.
func TestRestWaits(t *testing.T) {
	r := newRest(&Options{Patience: 50 * time.Millisecond})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	fd, begun, done := int(in.Fd()), make(chan struct{}), make(chan struct{}) // Fd makes it one that blocks its thread
	go func() {
		defer close(done)
		close(begun)
		_, _ = syscall.Read(fd, make([]byte, 1))
	}()
	<-begun
	if err := r.wait(); err == nil {
		t.Error("at rest with a goroutine in a system call")
	}
	if _, err := out.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	<-done
	r.patience = time.Minute
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}
