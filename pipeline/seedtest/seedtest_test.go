package seedtest_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/seedtest"
)

// said is a test that keeps what is logged.
type said struct {
	testing.TB
	lines []string
	fatal bool
}

func (s *said) Helper()                   {}
func (s *said) Logf(f string, a ...any)   { s.lines = append(s.lines, fmt.Sprintf(f, a...)) }
func (s *said) Fatalf(f string, a ...any) { s.fatal = true; s.Logf(f, a...); runtime.Goexit() }

func draw(t *testing.T, given string) (seed uint64, s *said) {
	t.Setenv("LEAT_TEST_SEED", given)
	s = &said{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		seed = seedtest.New(s)
	}()
	<-done
	return seed, s
}

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		given string
		fatal bool
		says  string
	}{
		{"0", false, "LEAT_TEST_SEED=0"},
		{"18446744073709551615", false, "LEAT_TEST_SEED=18446744073709551615"},
		{"-1", true, `LEAT_TEST_SEED: strconv.ParseUint: parsing "-1": invalid syntax`},
		{"18446744073709551616", true, `LEAT_TEST_SEED: strconv.ParseUint: parsing "18446744073709551616": value out of range`},
	} {
		t.Run(tt.given, func(t *testing.T) {
			seed, s := draw(t, tt.given)
			if diff := cmp.Diff([]string{tt.says}, s.lines); diff != "" || s.fatal != tt.fatal {
				t.Errorf("fatal %t, says (-want +got):\n%s", s.fatal, diff)
			}
			if !tt.fatal && fmt.Sprint(seed) != tt.given {
				t.Errorf("seed %d, want %s", seed, tt.given)
			}
		})
	}
	t.Run("another each time, and told", func(t *testing.T) {
		a, s := draw(t, "")
		b, _ := draw(t, "")
		if a == b { // once in 2^64
			t.Errorf("twice the seed %d", a)
		}
		if diff := cmp.Diff([]string{fmt.Sprint("LEAT_TEST_SEED=", a)}, s.lines); diff != "" {
			t.Errorf("says (-want +got):\n%s", diff)
		}
	})
}
