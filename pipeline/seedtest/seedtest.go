// Package seedtest gives tests that draw by chance a seed of which they tell, so that a failure can be had again:
// LEAT_TEST_SEED=N gives N to each of them. What a seed repeats is what the test itself draws, its faults and its
// moments, and not how the machine's threads then run.
package seedtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// New gives a seed, another each time unless LEAT_TEST_SEED names one, and writes it to the test's log, which go test
// shows where the test fails. A LEAT_TEST_SEED that is no number from 0 to 2^64-1 fails the test.
func New(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("LEAT_TEST_SEED"); given != "" {
		n, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			t.Fatalf("LEAT_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("LEAT_TEST_SEED=%d", seed)
	return seed
}
