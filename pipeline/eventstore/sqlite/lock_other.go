//go:build !unix

package sqlite

import "os"

// lock does nothing where there is no flock: there, two writers meet at SQLite's own lock.
func lock(string) (*os.File, error) { return nil, nil }
