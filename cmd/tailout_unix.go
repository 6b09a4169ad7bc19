//go:build unix

package cmd

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readerGone waits until the other end of a pipe or socket is closed; false where ctx ends first, or f is no such thing.
// Asked for no event, poll still tells of errors and hangups.
func readerGone(ctx context.Context, f *os.File) bool {
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}}
		n, err := unix.Poll(fds, 200)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		if n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			return true
		}
		if n > 0 && fds[0].Revents&unix.POLLNVAL != 0 {
			return false
		}
	}
	return false
}
