package admin

import (
	"net"
	"sync"
)

// bounding lets so many connections in at a time; others wait to be accepted, so that memory and file descriptors have
// a bound.
type bounding struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBounding(l net.Listener, n int) *bounding {
	return &bounding{Listener: l, room: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (b *bounding) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &boundConn{Conn: c, free: func() { <-b.room }}, nil
}

// Close implements net.Listener.
func (b *bounding) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundConn struct {
	net.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
