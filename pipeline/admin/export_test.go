package admin

import "time"

// LookAgain makes the next connection look at the files of the certificate, whatever their times are.
func LookAgain(s *Server) {
	s.certificates.mu.Lock()
	defer s.certificates.mu.Unlock()
	s.certificates.looked, s.certificates.stamp = time.Time{}, [3]time.Time{}
}
