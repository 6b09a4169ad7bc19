//go:build !race

package config

const retries = 4
