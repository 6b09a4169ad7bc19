package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// tailOut writes in a goroutine of its own: a reader who stands still (a pager, a stopped terminal) must not keep a tail
// from its end.
type tailOut struct {
	lines chan []byte
	done  chan error
}

func newTailOut(w io.Writer) *tailOut {
	o := &tailOut{lines: make(chan []byte), done: make(chan error, 1)}
	go func() {
		for line := range o.lines {
			if _, err := w.Write(line); err != nil {
				o.done <- fmt.Errorf("write: %w", err)
				return
			}
		}
		o.done <- nil
	}()
	return o
}

// write hands a line over and returns when the one before it is written.
func (o *tailOut) write(ctx context.Context, line []byte) error {
	select {
	case o.lines <- line:
		return nil
	case err := <-o.done:
		o.done <- err
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close waits for the last line, for a second at most.
func (o *tailOut) close() {
	close(o.lines)
	select {
	case err := <-o.done:
		o.done <- err
	case <-time.After(time.Second):
	}
}

// untilHangup gives a context that ends with a hangup of the terminal as with the signals that Main listens for, and
// when nobody reads the output any more. A broken pipe is an error of the next write from here on, and not the end of
// the process, which would leave behind what is to be removed.
func (a *app) untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(ctx)
	if f, ok := a.out.(*os.File); ok {
		go func() {
			if readerGone(ctx, f) {
				cancel(errNoPipe)
			}
		}()
	}
	return ctx, func() {
		cancel(nil)
		stop()
	}
}

// impatience is how long a clean-up goes on whatever signals come: timeout(1) sends its signal twice, and many press
// Ctrl-C so.
const impatience = 3 * time.Second

// undoing bounds a clean-up: it goes on for thirty seconds after the end, or until a signal that comes after the first
// three of them. The code is that of the signal, 0 where there was none.
func undoing(ctx context.Context) (bounded context.Context, code func() int, stop context.CancelFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	got := 0
	watched := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(watched)
		for {
			select {
			case s := <-signals:
				if time.Since(began) < impatience {
					continue
				}
				got = exitInterrupted
				if s == syscall.SIGTERM {
					got = exitTerminated
				}
				cancel()
			case <-bounded.Done():
			}
			return
		}
	}()
	return bounded, func() int { cancel(); <-watched; return got }, func() { signal.Stop(signals); cancel() }
}
