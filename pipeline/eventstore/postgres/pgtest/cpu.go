package pgtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// CPU gives the time on the processor that the server's processes have taken so far, also those that have ended; 0
// where the system does not tell in Linux's way. On a machine that others use it says more than the clock.
func (s *Server) CPU() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	ticks := int64(0)
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // the name before it may hold blanks
		if len(f) < 15 {
			continue
		}
		pid, ppid := filepath.Base(filepath.Dir(p)), string(f[1])
		if own := strconv.Itoa(s.cmd.Process.Pid); pid != own && ppid != own {
			continue
		}
		for i, v := range f[11:15] { // utime, stime, and those of children that have ended
			if i < 2 || pid == strconv.Itoa(s.cmd.Process.Pid) {
				n, _ := strconv.ParseInt(string(v), 10, 64)
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * time.Second / 100
}
