package stdout

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
)

// screen is a standard output that can be closed.
type screen struct {
	bytes.Buffer
	writes int
	closed bool
}

func (s *screen) Write(b []byte) (int, error) {
	if s.closed {
		return 0, errors.New("closed")
	}
	s.writes++
	return s.Buffer.Write(b)
}

func (s *screen) Bodies(testing.TB) []string {
	if s.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n")
}
func (s *screen) Break(testing.TB) { s.closed = true }
func (s *screen) Mend(testing.TB)  { s.closed = false }

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Features{Compacts: true}, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
		out := &screen{}
		s, err := Open(t.Context(), Config{}, sinks.Env{Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		return s, out
	})
}

func TestOneWriteForABatchAndTurnsBetweenPipelines(t *testing.T) {
	out := &screen{} // guarded by the turns alone: the race detector sees where they fail
	var mu sync.Mutex
	shared := map[string]any{}
	env := sinks.Env{Stdout: out, Shared: func(key string, make func() any) any {
		mu.Lock()
		defer mu.Unlock()
		if shared[key] == nil {
			shared[key] = make()
		}
		return shared[key]
	}}
	var wg sync.WaitGroup
	for range 4 {
		s, err := Open(t.Context(), Config{}, env)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 25 {
				if err := s.Write(t.Context(), sinktest.Events(0, 10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(out.Bodies(t)); out.writes != 100 || n != 1000 {
		t.Errorf("%d lines in %d writes, want 1000 in 100", n, out.writes)
	}
}
