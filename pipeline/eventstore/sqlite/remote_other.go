//go:build !linux

package sqlite

func remote(string) string { return "" }
