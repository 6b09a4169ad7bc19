// Package bench compares package pattern with quamina, side by side on one event. It is a module of its own so that leat's go.mod
// does not name quamina.
package bench
