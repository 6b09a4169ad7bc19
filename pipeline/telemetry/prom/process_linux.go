package prom

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// clockTicks is the unit of times in /proc, USER_HZ: 100 on every architecture that Go runs on.
const clockTicks = 100

// process reads /proc; what cannot be read is left out.
func process(p *Page) {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		p.Counter("process_cpu_seconds_total", "CPU time of the process, in user and in system mode.", float64(use.Utime.Nano()+use.Stime.Nano())/1e9)
	}
	limit := func(name, help string, resource int) {
		var l syscall.Rlimit
		if syscall.Getrlimit(resource, &l) == nil {
			p.Gauge(name, help, float64(l.Cur))
		}
	}
	limit("process_max_fds", "File descriptors that the process may have open.", syscall.RLIMIT_NOFILE)
	limit("process_virtual_memory_max_bytes", "Virtual memory that the process may have.", syscall.RLIMIT_AS)
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Gauge("process_open_fds", "Open file descriptors.", float64(len(open)))
	}
	stat, _ := os.ReadFile("/proc/self/stat")
	if virtual, resident, start, ok := parseStat(string(stat)); ok {
		p.Gauge("process_virtual_memory_bytes", "Virtual memory of the process.", virtual)
		p.Gauge("process_resident_memory_bytes", "Memory of the process that is resident.", resident*float64(os.Getpagesize()))
		all, _ := os.ReadFile("/proc/stat")
		if boot, ok := field(string(all), "btime "); ok {
			p.Gauge(startName, startHelp, boot+start/clockTicks)
		}
	}
	net, _ := os.ReadFile("/proc/self/net/netstat")
	if in, out, ok := parseNetstat(string(net)); ok {
		p.Counter("process_network_receive_bytes_total", "Bytes received in the process' network namespace.", in)
		p.Counter("process_network_transmit_bytes_total", "Bytes sent in the process' network namespace.", out)
	}
}

// parseStat gives virtual memory (bytes), resident memory (pages) and the start (ticks since the system's) of proc(5)'s stat. The name in
// its second field may hold anything, brackets too, so counting begins behind the last one.
func parseStat(stat string) (virtual, resident, start float64, ok bool) {
	i := strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[i+1:]) // from the third field on
	if i < 0 || len(f) < 22 {
		return 0, 0, 0, false
	}
	ok = true
	number := func(nth int) float64 {
		n, err := strconv.ParseFloat(f[nth-3], 64)
		ok = ok && err == nil
		return n
	}
	return number(23), number(24), number(22), ok
}

// parseNetstat gives InOctets and OutOctets of the line IpExt, which names its columns in a line before.
func parseNetstat(text string) (in, out float64, ok bool) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "IpExt:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		found := 0
		for i, name := range names {
			if i >= len(f) {
				break
			}
			n, err := strconv.ParseFloat(f[i], 64)
			switch {
			case err != nil:
			case name == "InOctets":
				in, found = n, found+1
			case name == "OutOctets":
				out, found = n, found+1
			}
		}
		return in, out, found == 2
	}
	return 0, 0, false
}

// field gives the number behind a word at the start of a line.
func field(text, word string) (float64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return n, err == nil
		}
	}
	return 0, false
}
