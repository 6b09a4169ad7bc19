package pipeline

import (
	"testing"
	"time"

	"github.com/leatdev/leat/config"
)

// Waits grow up to their bound, and chance takes up to a half off.
func TestBackoff(t *testing.T) {
	retry := &config.Retry{Initial: 200 * time.Millisecond, Multiplier: 2, Max: time.Second}
	for _, tt := range []struct {
		attempt int
		random  float64
		want    time.Duration
	}{
		{2, 1, 200 * time.Millisecond},
		{2, 0.5, 150 * time.Millisecond},
		{2, 0, 100 * time.Millisecond},
		{3, 1, 400 * time.Millisecond},
		{4, 0, 400 * time.Millisecond},
		{5, 1, time.Second},
		{5, 0, 500 * time.Millisecond},
		{5000, 1, time.Second}, // more than a number holds, before the bound
	} {
		p := &pipe{env: environment{random: func() float64 { return tt.random }}}
		if got := p.backoff(retry, tt.attempt); got != tt.want {
			t.Errorf("attempt %d, chance %g: %v, want %v", tt.attempt, tt.random, got, tt.want)
		}
	}
}
