//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// lock takes the file that says which process writes. The lock goes with the process, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: lock %s: %w", eventstore.ErrUnavailable, path, err)
		}
		owner := "another process"
		if b, err := io.ReadAll(io.LimitReader(f, 32)); err == nil {
			if pid := strings.TrimSpace(string(b)); pid != "" {
				owner = "process " + pid
			}
		}
		return nil, fmt.Errorf("%w: %s holds %s; stop it, or give this one a data directory of its own", eventstore.ErrLocked, owner, path)
	}
	// The number is for people; that it cannot be written is found out by the database.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}
