package httpclient

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// ErrPrivate is wrapped by the error of a connection to an address that is not public.
var ErrPrivate = errors.New("the address is not public; if the endpoint is meant to be there, set allow_private: true")

// publicOnly is a dialer's Control: it sees each address that is really connected to, so that no name that resolves
// differently the second time gets by.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, ErrPrivate)
	}
	if !publicAddr(at.Addr()) {
		return fmt.Errorf("%s: %w", at.Addr(), ErrPrivate)
	}
	return nil
}

// Public reports whether an address is one of the internet, which no event may lead away from.
func Public(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && publicAddr(a)
}

// notPublic are the blocks of IANA's special-purpose registries (RFC 6890 and its successors) that netip has no word for.
var notPublic = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
)

// carrying are blocks of IPv6 that lead to the IPv4 address within: NAT64 and 6to4.
var carrying = []struct {
	block netip.Prefix
	at    int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func publicAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	for _, c := range carrying {
		if b := a.As16(); c.block.Contains(a) {
			return publicAddr(netip.AddrFrom4([4]byte(b[c.at : c.at+4])))
		}
	}
	return true
}
