package porttest

import (
	"fmt"
	"os"
	"syscall"
)

func bind() (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("porttest: %w", os.NewSyscallError("socket", err))
	}
	release = func() { _ = syscall.Close(fd) }
	err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	}
	if err == nil {
		var is syscall.Sockaddr
		if is, err = syscall.Getsockname(fd); err == nil {
			return is.(*syscall.SockaddrInet4).Port, release, nil
		}
		err = os.NewSyscallError("getsockname", err)
	}
	release()
	return 0, nil, fmt.Errorf("porttest: %w", err)
}
