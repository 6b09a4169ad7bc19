package postgres

import "testing"

// CopyFrom sets from how many events on a commit goes by COPY, until the test ends.
func CopyFrom(t testing.TB, n int) {
	old := copyRows
	copyRows = n
	t.Cleanup(func() { copyRows = old })
}

// Closed reports whether a store was closed.
func Closed(s *Store) bool { return s.closed() }
