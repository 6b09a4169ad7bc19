//go:build race

package config

// retries is 0 under the race detector: what it stretches is not measured.
const retries = 0
