package pattern

import (
	"cmp"
	"strconv"
	"strings"
)

// address is an IP address. An IPv6 address that maps an IPv4 one (::ffff:a00:1) is that IPv4 address, as in Java.
type address struct {
	six    bool
	hi, lo uint64
}

func (a address) compare(b address) int {
	if a.six != b.six {
		if a.six {
			return 1
		}
		return -1
	}
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

// looksLikeAddress is the service's gate before it tries to read an address: digits and three dots, or hex digits and colons.
func looksLikeAddress[T string | []byte](s T) bool {
	dots, colons, digit := 0, 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c == '.':
			if !digit {
				return false
			}
			dots++
			digit = false
		case c == ':':
			colons++
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			if dots > 0 {
				return false
			}
			colons |= 1 << 16 // hex digits: only an IPv6 address has them
		default:
			return false
		}
	}
	if dots > 0 {
		return dots == 3 && colons == 0 && digit
	}
	return colons&0xffff > 0
}

// parseAddress reads an IP literal with Java's tolerances: leading zeros are decimal, and a group may have more than four digits.
func parseAddress[T string | []byte](s T) (address, bool) {
	if !looksLikeAddress(s) {
		return address{}, false
	}
	for i := range len(s) {
		if s[i] == '.' {
			return parse4(s)
		}
		if s[i] == ':' {
			return parse6(s)
		}
	}
	return address{}, false
}

func parse4[T string | []byte](s T) (address, bool) {
	if len(s) > 15 {
		return address{}, false
	}
	var all, part uint64
	for i := range len(s) {
		if s[i] == '.' {
			all, part = all<<8|part, 0
			continue
		}
		part = part*10 + uint64(s[i]-'0')
		if part > 255 {
			return address{}, false
		}
	}
	return address{lo: all<<8 | part}, true
}

func parse6[T string | []byte](s T) (address, bool) {
	if len(s) < 2 || s[0] == ':' && s[1] != ':' {
		return address{}, false
	}
	var groups [8]uint64
	n, gap := 0, -1
	i := 0
	if s[0] == ':' {
		i = 1
	}
	part, digits := uint64(0), false
	for ; i < len(s); i++ {
		c := s[i]
		if c != ':' {
			d := uint64(c - '0')
			if c > '9' {
				d = uint64(c|0x20-'a') + 10
			}
			part, digits = part<<4|d, true
			if part > 0xffff {
				return address{}, false
			}
			continue
		}
		if !digits {
			if gap >= 0 {
				return address{}, false
			}
			gap = n
			continue
		}
		if i == len(s)-1 || n == 8 {
			return address{}, false
		}
		groups[n] = part
		n++
		part, digits = 0, false
	}
	if digits {
		if n == 8 {
			return address{}, false
		}
		groups[n] = part
		n++
	}
	if gap >= 0 {
		if n == 8 {
			return address{}, false
		}
		moved := n - gap
		for k := range moved {
			groups[7-k] = groups[n-1-k]
			groups[n-1-k] = 0
		}
	} else if n != 8 {
		return address{}, false
	}
	a := address{six: true}
	for k := range 4 {
		a.hi = a.hi<<16 | groups[k]
		a.lo = a.lo<<16 | groups[k+4]
	}
	if a.hi == 0 && a.lo>>32 == 0xffff {
		return address{lo: a.lo & 0xffffffff}, true
	}
	return a, true
}

// parseCIDR reads a block; host bits are allowed and cleared. A non-empty reason says why it is none.
func parseCIDR(s string) (low, high address, reason string) {
	ip, mask, found := strings.Cut(s, "/")
	if !found || mask == "" || strings.Contains(mask, "/") {
		return low, high, "Malformed CIDR, one '/' required"
	}
	bits, err := strconv.Atoi(mask)
	if err != nil {
		return low, high, "Malformed CIDR, mask bits must be an integer"
	}
	if bits < 0 {
		return low, high, "Malformed CIDR, mask bits must not be negative"
	}
	if !looksLikeAddress(ip) {
		return low, high, "Nonstandard IP address: " + ip
	}
	a, ok := parseAddress(ip)
	if !ok {
		return low, high, "Invalid IP address: " + ip
	}
	low, high = a, a
	if !a.six {
		if bits > 31 {
			return low, high, "IPv4 mask bits must be < 32"
		}
		host := uint64(1)<<(32-bits) - 1
		low.lo &^= host
		high.lo |= host
		return low, high, ""
	}
	if bits > 127 {
		return low, high, "IPv6 mask bits must be < 128"
	}
	hostHi, hostLo := uint64(0), ^uint64(0)
	if bits >= 64 {
		hostLo = uint64(1)<<(128-bits) - 1
		if bits == 64 {
			hostLo = ^uint64(0)
		}
	} else {
		hostHi = uint64(1)<<(64-bits) - 1
		if bits == 0 {
			hostHi = ^uint64(0)
		}
	}
	low.hi, low.lo = low.hi&^hostHi, low.lo&^hostLo
	high.hi, high.lo = high.hi|hostHi, high.lo|hostLo
	return low, high, ""
}
