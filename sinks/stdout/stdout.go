// Package stdout is a sink that prints events to standard output, one JSON value on each line.
//
// A batch goes out in one write, and pipelines of one daemon take turns, so lines are never mixed. What was printed
// cannot be taken back: after a fault in the middle of a batch its events are printed again.
package stdout

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/ndjson"
)

func init() { sinks.Register("stdout", Open) }

// Config is the sink's YAML: there is nothing to say.
type Config struct {
	_ struct{} `doc:"prints events on standard output, one JSON value on each line"`
}

// Sink prints events. It is safe for concurrent use.
type Sink struct {
	out  io.Writer
	turn *turn
}

// turn is shared by all that print.
type turn struct {
	mu  sync.Mutex
	buf []byte
}

// Open makes a sink that prints to env.Stdout.
func Open(_ context.Context, _ Config, env sinks.Env) (sinks.Sink, error) {
	s := &Sink{out: env.Stdout, turn: &turn{}}
	if s.out == nil {
		s.out = os.Stdout
	}
	if env.Shared != nil {
		s.turn = env.Shared("sinks/stdout", func() any { return &turn{} }).(*turn)
	}
	return s, nil
}

// Write prints the batch. An error is an outage: whoever reads may come back.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	s.turn.mu.Lock()
	defer s.turn.mu.Unlock()
	s.turn.buf = ndjson.AppendBatch(s.turn.buf[:0], batch)
	if len(s.turn.buf) == 0 {
		return nil
	}
	_, err := s.out.Write(s.turn.buf)
	if cap(s.turn.buf) > 4<<20 {
		s.turn.buf = nil
	}
	if err != nil {
		return event.Unavailable(0, fmt.Errorf("stdout: print %d events: %w", len(batch), err))
	}
	return nil
}

// Close implements sinks.Sink; standard output stays open.
func (s *Sink) Close() error { return nil }
