package admin

import (
	"net/http"
	"sync"
	"time"
)

// LookAgain makes the next connection look at the files of the certificate, whatever their times are.
func LookAgain(s *Server) {
	s.certificates.mu.Lock()
	defer s.certificates.mu.Unlock()
	s.certificates.looked, s.certificates.stamp = time.Time{}, [3]time.Time{}
}

// End ends subscriptions as the end of the listener does.
func (s *Server) End() { close(s.ending) }

// WriteLine writes and sends one line as answers that are long do.
func WriteLine(w http.ResponseWriter, line []byte) error {
	l := newLines(w)
	if err := l.write(line); err != nil {
		return err
	}
	return l.flush()
}

// Stalled is closed when a reader was cut off, after StallAfter.
var Stalled chan struct{}

// StallAfter shortens the time in which a piece must get away.
func StallAfter(d time.Duration) (restore func()) {
	Stalled = make(chan struct{})
	was, once := writeStall, sync.Once{}
	writeStall, stalled = d, func() { once.Do(func() { close(Stalled) }) }
	return func() { writeStall, stalled = was, func() {} }
}

// HeadWithin shortens the time in which a request's head must come.
func HeadWithin(d time.Duration) (restore func()) {
	was := headerTimeout
	headerTimeout = d
	return func() { headerTimeout = was }
}
