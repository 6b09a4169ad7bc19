//go:build linux || darwin || freebsd

package check

import "syscall"

// space gives the bytes that we may still write under dir, and those that the disk has in all.
func space(dir string) (free, total uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), true
}
