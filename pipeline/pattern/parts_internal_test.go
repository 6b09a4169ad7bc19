package pattern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		text string
		want float64
		ok   bool
	}{
		{"0", 0, true},
		{"-0", 0, true},
		{"-0.0e5", 0, true},
		{"0e999999999999", 0, true},
		{"300", 300, true},
		{"3e2", 300, true},
		{"300.000000000000000000000000000", 300, true},
		{"0.000000000000000000000000000003e32", 300, true},
		{"0.1", 0.1, true},
		{"0.30000000000000004", 0.30000000000000004, true},
		{"27.807807921694092", 27.807807921694092, true},
		{"-1234567.875", -1234567.875, true},
		{"1e22", 1e22, true},
		{"1e23", 1e23, true},
		{"123456789012345e-30", 123456789012345e-30, true},
		{"1.7976931348623157e308", math.MaxFloat64, true},
		{"9007199254740992", 1 << 53, true},
		{"9007199254740993", 0, false},
		{"0.1234567890123456789", 0, false},
		{"1e309", 0, false},
		{"1e-325", 0, false},
		{"1e99999999999", 0, false},
		{"99999999999999999999999999", 0, false},
		{"1e", 0, false},
		{"", 0, false},
		{"-", 0, false},
		{"1.2.3", 0, false},
		{"1-2", 0, false},
	} {
		got, ok := number([]byte(tt.text))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("number(%s) = %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
		if math.Signbit(got) && got == 0 {
			t.Errorf("number(%s) is a negative zero", tt.text)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tt := range []struct{ text, want string }{ // want: in netip's spelling, "" for none
		{"10.0.0.1", "10.0.0.1"},
		{"127.000.000.001", "127.0.0.1"},
		{"255.255.255.255", "255.255.255.255"},
		{"256.0.0.1", ""},
		{"10.0.0", ""},
		{"10.0.0.", ""},
		{"1.2.3.4.5", ""},
		{"0000000000.0.0.1", ""},
		{"::", "::"},
		{"::1", "::1"},
		{"0:0:0:0:0:0:0:1", "::1"},
		{"FE80::AB", "fe80::ab"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
		{"2001:db8::ff00:42:8329", "2001:db8::ff00:42:8329"},
		{"1:2:3:4:5:6:7:8:9", ""},
		{"1:2:3:4:5:6:7", ""},
		{"1::2::3", ""},
		{":1", ""},
		{"1:", ""},
		{":", ""},
		{":::", ""},
		{"12345::", ""},
		{"00001::", "1::"},
		{"::ffff:0a00:0001", "10.0.0.1"},
		{"::ffff:10.0.0.1", ""},
		{"g::", ""},
		{"7f000001", ""},
		{"", ""},
	} {
		a, ok := parseAddress(tt.text)
		if ok != (tt.want != "") {
			t.Errorf("%s: address %v, want %q", tt.text, ok, tt.want)
			continue
		}
		if !ok {
			continue
		}
		var b [16]byte
		for i := range 8 {
			b[i], b[i+8] = byte(a.hi>>(56-8*i)), byte(a.lo>>(56-8*i))
		}
		got := netip.AddrFrom16(b)
		if !a.six {
			got = netip.AddrFrom4([4]byte(b[12:]))
		}
		if got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s is %v, want %s", tt.text, got, tt.want)
		}
	}
}

func TestCIDRBounds(t *testing.T) {
	for _, tt := range []struct{ block, low, high string }{
		{"10.1.2.3/0", "0.0.0.0", "255.255.255.255"},
		{"10.1.2.3/8", "10.0.0.0", "10.255.255.255"},
		{"10.1.2.3/31", "10.1.2.2", "10.1.2.3"},
		{"2001:db8::1/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
		{"2001:db8:1:2:3:4:5:6/65", "2001:db8:1:2::", "2001:db8:1:2:7fff:ffff:ffff:ffff"},
		{"2001:db8:1:2:3:4:5:6/63", "2001:db8:1:2::", "2001:db8:1:3:ffff:ffff:ffff:ffff"},
		{"2001:db8::7/127", "2001:db8::6", "2001:db8::7"},
	} {
		low, high, reason := parseCIDR(tt.block)
		wantLow, _ := parseAddress(tt.low)
		wantHigh, _ := parseAddress(tt.high)
		if reason != "" || low != wantLow || high != wantHigh {
			t.Errorf("%s: from %v to %v, %q; want from %v to %v", tt.block, low, high, reason, wantLow, wantHigh)
		}
	}
}

// TestFoldUnambiguous holds what folded's search relies on: no form of a character begins or ends the other.
func TestFoldUnambiguous(t *testing.T) {
	for r := rune(0); r <= 0xffff; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		f := formsOf(r)
		if f.lower == f.upper {
			continue
		}
		if strings.HasPrefix(f.lower, f.upper) || strings.HasPrefix(f.upper, f.lower) ||
			strings.HasSuffix(f.lower, f.upper) || strings.HasSuffix(f.upper, f.lower) {
			t.Errorf("%U: %q and %q", r, f.lower, f.upper)
		}
	}
}

func TestComplexity(t *testing.T) {
	for _, tt := range []struct {
		globs []string
		want  int
	}{
		{[]string{"*:*:*:*:*:event-bus/*"}, 11}, // refused by the service
		{[]string{"*:*:*:*:event-bus/*"}, 9},
		{[]string{"*aaaaaaaaa"}, 10},
		{[]string{"*aaaaaaaaaa"}, 11},
		{[]string{"*abcdefghijklmnopqrstuvwxyz"}, 3}, // a bound, far from the limit
		{[]string{"*a*a*a", "*a*a*a"}, 12},
	} {
		var globs []*glob
		for _, s := range tt.globs {
			g, reason := parseGlob(s)
			if reason != "" {
				t.Fatal(reason)
			}
			globs = append(globs, g)
		}
		if got := complexity(globs); got != tt.want && !(got > maxComplexity && tt.want > maxComplexity) {
			t.Errorf("%q scores %d, want %d", tt.globs, got, tt.want)
		}
	}
}

// TestSkipContainer compares the skipping by words with one that goes byte by byte, at every alignment.
func TestSkipContainer(t *testing.T) {
	naive := func(b []byte) int {
		depth, in := 0, false
		for i := 0; i < len(b); i++ {
			switch c := b[i]; {
			case c == '\\':
				i++
			case c == '"':
				in = !in
			case in:
			case c == b[0]:
				depth++
			case c == b[0]+2:
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return -1
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pieces := []string{`{`, `}`, `[`, `]`, `"`, `\"`, `\\`, `a`, `bcdefgh`, `"{"`, `"}"`, `"x]"`, ` `, `"\\"`, `"\""`, "é", "\xa2\xfb\xdb"}
	ends := 0
	for range 5000 {
		var b strings.Builder
		b.WriteString([]string{"{", "["}[rng.IntN(2)])
		for range rng.IntN(30) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		text := []byte(b.String())
		want := naive(text)
		if want > 0 {
			ends++
		}
		for lead := range 9 {
			shifted := append([]byte(strings.Repeat(" ", lead)), text...)
			got := skipContainer(shifted, lead)
			if got > 0 {
				got -= lead
			}
			if got != want {
				t.Fatalf("%q ends at %d, want %d", text, got, want)
			}
		}
	}
	if ends < 250 {
		t.Errorf("only %d of the texts end", ends)
	}
}

func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var s spans
	var all []span
	for i := range int32(2000) {
		low := uint64(rng.IntN(500))
		n := span{key{lo: low}, key{lo: low + uint64(rng.IntN(40))}, i}
		s.add(n)
		all = append(all, n)
	}
	check := func() {
		t.Helper()
		x := newIndex()
		for range all {
			x.conds.take()
		}
		for point := uint64(0); point < 560; point += 7 {
			g := &gatherer{}
			x.conds.all = slices.Grow(x.conds.all, 2000)[:2000]
			g.begin(x)
			s.find(key{lo: point}, g)
			var want []int32
			for _, n := range all {
				if n.low.lo <= point && point <= n.high.lo {
					want = append(want, n.ref)
				}
			}
			slices.Sort(g.fired)
			slices.Sort(want)
			if !slices.Equal(g.fired, want) {
				t.Fatalf("around %d lie %d spans, want %d", point, len(g.fired), len(want))
			}
		}
	}
	check()
	rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	for _, n := range all[100:] {
		s.remove(n)
	}
	all = all[:100]
	check()
	for _, n := range all {
		s.remove(n)
	}
	if len(s.blocks) != 0 {
		t.Errorf("%d blocks are left of nothing", len(s.blocks))
	}
}

// TestComparePaths holds the order of paths to Java's, which compares UTF-16 units.
func TestComparePaths(t *testing.T) {
	sorted := []string{"", "a", "a-b", "a.b", "a.c", "ab", "é", "\u4e00", "\U0001F600", "\ue000", "\uffee"}
	for i, a := range sorted {
		for k, b := range sorted {
			got, want := comparePaths(a, b), 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got != want {
				t.Errorf("%q to %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

// TestEpochWraps lets the numbers of matches and leaves run over: no entry of old may count then.
func TestEpochWraps(t *testing.T) {
	x := newIndex()
	for slot, text := range []string{`{"a":["x"]}`, `{"a":[{"anything-but":"x"}]}`, `{"a":[{"wildcard":"*xyz*"}],"b":[1]}`} {
		p, err := CompileString(text)
		if err != nil {
			t.Fatal(err)
		}
		x.add(p, int32(slot))
	}
	g := &gatherer{epoch: 1<<32 - 3, serial: 1<<32 - 3}
	for i := range 6 {
		event, want := `{"a":"x"}`, []int32{0}
		if i%2 == 1 {
			event, want = `{"a":"_xyz_xyz_","b":1}`, []int32{1, 2}
		}
		got, err := g.gather(x, []byte(event), nil)
		if err != nil {
			t.Fatal(err)
		}
		got = slices.Sorted(slices.Values(got))
		if !slices.Equal(got, want) {
			t.Errorf("match %d of %s: %v, want %v", i, event, got, want)
		}
	}
}

// TestIndexEmpties holds that nothing is left of patterns that were removed.
func TestIndexEmpties(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(7, 8))}
	x := newIndex()
	for slot := range int32(300) {
		p, err := CompileString(g.pattern(2))
		if err != nil {
			t.Fatal(err)
		}
		x.add(p, slot)
	}
	for _, slot := range g.Perm(300) {
		x.remove(int32(slot))
	}
	left := fmt.Sprint(len(x.byPath), len(x.absents), x.beyond, x.plain, x.others, x.root.leaf(),
		len(x.paths.all)-len(x.paths.unused), len(x.conds.all)-len(x.conds.unused), len(x.negs.all)-len(x.negs.unused),
		len(x.rules.all)-len(x.rules.unused), len(x.globs.all)-len(x.globs.unused))
	if left != "0 0 0 0 0 true 0 0 0 0 0" {
		t.Errorf("left behind: %s", left)
	}
}
