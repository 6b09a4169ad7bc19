// Package porttest gives tests a port for a server in another process.
//
// A port that was found free and let go may be another's a moment later: the kernel gives it to whoever asks for any, and
// to outgoing connections. So on Linux a socket stays bound to it until the test ends, without listening. The kernel
// gives such a port to nobody who asks for any, and lets a socket listen on it that names it and sets SO_REUSEADDR, as
// Go, PostgreSQL and Node.js do, again and again where the server is started anew. Elsewhere the port is let go.
package porttest

import (
	"net"
	"strconv"
	"testing"
)

// Hold gives an address 127.0.0.1:PORT that is the test's until it ends. Nobody listens on it.
func Hold(t testing.TB) string {
	t.Helper()
	addr, release, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

// Take is Hold for whoever has no test at hand. Release lets the port go.
func Take() (addr string, release func(), err error) {
	port, release, err := bind()
	if err != nil {
		return "", nil, err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), release, nil
}
