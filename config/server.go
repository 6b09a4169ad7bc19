package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// Validate implements Validator: the listener has no authentication yet, so it takes loopback addresses only.
func (s Server) Validate() error {
	if s.Listen == "" || s.Listen == "off" || strings.Contains(s.Listen, "${") {
		return nil
	}
	wrong := func(words string) error {
		return &FieldError{Field: "listen", Err: errors.New(words), Hint: "for example 127.0.0.1:8087, or off"}
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return wrong("wants host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return wrong("a port is a number up to 65535")
	}
	if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return wrong("the listener has no authentication yet, so it takes loopback addresses only")
	}
	return nil
}
