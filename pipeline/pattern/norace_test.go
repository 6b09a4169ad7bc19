//go:build !race

package pattern

// RaceEnabled tells the tests to do less: the race detector makes them many times slower.
const RaceEnabled = false
