//go:build !linux

package porttest

import (
	"fmt"
	"net"
)

func bind() (port int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("porttest: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}
