package prom

import (
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 4 -1 4194304 5 6 7 8 9 10 11 12 20 0 5 0 1234 1610612736 4096 18446744073709551615 1 1"
	for _, stat := range []string{"42 (leat)" + tail, "42 (a ) b (c)" + tail} {
		if virtual, resident, start, ok := parseStat(stat); !ok || virtual != 1610612736 || resident != 4096 || start != 1234 {
			t.Errorf("parseStat(%q) = %v, %v, %v, %v", stat, virtual, resident, start, ok)
		}
	}
	for _, stat := range []string{"", "42", "42 (leat) S 1 2", strings.Replace("42 (leat)"+tail, "4096", "x", 1)} {
		if _, _, _, ok := parseStat(stat); ok {
			t.Errorf("parseStat(%q) gives something", stat)
		}
	}
}

func TestParseNetstat(t *testing.T) {
	text := "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 700 80\n"
	if in, out, ok := parseNetstat(text); !ok || in != 700 || out != 80 {
		t.Errorf("parseNetstat = %v, %v, %v", in, out, ok)
	}
	for _, text := range []string{"", "IpExt: InOctets OutOctets\n", "IpExt: InOctets OutOctets\nIpExt: 1\n"} {
		if _, _, ok := parseNetstat(text); ok {
			t.Errorf("parseNetstat(%q) gives something", text)
		}
	}
}

func TestProcess(t *testing.T) {
	p := &Page{families: map[string]*family{}}
	process(p)
	for _, name := range []string{"process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes", startName, "process_virtual_memory_bytes", "process_virtual_memory_max_bytes"} {
		if f := p.families[name]; f == nil || f.series[""][0].value <= 0 {
			t.Errorf("no %s", name)
		}
	}
}
