//go:build race

package config

// slower is how much the race detector stretches what tests measure.
const slower = 12
