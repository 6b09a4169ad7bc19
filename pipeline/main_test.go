package pipeline

import (
	"testing"

	"go.uber.org/goleak"
)

// Bubbles see to their own goroutines; this is for the tests without one.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
