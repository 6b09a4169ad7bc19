package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

type feedConfig struct {
	Ordered bool `yaml:"ordered,omitempty"`
	Cursor  bool `yaml:"cursor,omitempty"`
	Keyed   bool `yaml:"keyed,omitempty"`
	Alone   bool `yaml:"alone,omitempty"`
	// Lanes: what is before the first "-" of an event's order_id is its lane, as a queue's group.
	Lanes bool `yaml:"lanes,omitempty"`
}

// feed is a source under the test's hand.
type feed struct {
	t        *testing.T
	cfg      feedConfig
	messages chan *message.Message
	offset   int // of the cursor, before the next event
	fault    error
	late     chan chan *message.Message // of what still comes after the stop
	once     sync.Once
	closed   bool
}

func newFeed(t *testing.T, c feedConfig) *feed {
	return &feed{t: t, cfg: c, messages: make(chan *message.Message, 1000), late: make(chan chan *message.Message, 1)}
}

func (f *feed) Traits() sources.Traits {
	return sources.Traits{Ordered: f.cfg.Ordered, Ends: true, Alone: f.cfg.Alone, Lanes: f.cfg.Lanes}
}

// Err implements sources.Failing.
func (f *feed) Err() error { return f.fault }

func (f *feed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		defer func() {
			select {
			case late := <-f.late:
				for m := range late {
					out <- m
				}
			default:
			}
		}()
		for {
			select {
			case m, ok := <-f.messages:
				if !ok {
					return
				}
				select {
				case out <- m:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (f *feed) Close() error { f.closed = true; return nil }

// sent is a batch that was given.
type sent struct {
	t       *testing.T
	b       *event.Batch
	m       *message.Message
	mu      sync.Mutex
	reasons map[int]error
}

// send gives one batch of bodies; it does not wait for them.
func (f *feed) send(bodies ...string) *sent {
	return f.give(func(*event.Batch) {}, bodies...)
}

// give is send with a last touch on the batch.
func (f *feed) give(touch func(*event.Batch), bodies ...string) *sent {
	b := &event.Batch{}
	for _, body := range bodies {
		b.Events = append(b.Events, event.Event{Raw: []byte(body)})
	}
	first := f.offset
	f.offset += len(bodies)
	if f.cfg.Cursor {
		b.Cursor = func(i int) event.Cursor { return event.Cursor{Key: "feed", Value: strconv.Itoa(first + i + 1)} }
	}
	if f.cfg.Keyed {
		b.Key = func(i int) string { return fmt.Sprintf("key-%d", first+i+1) }
	}
	if f.cfg.Lanes {
		b.Lane = func(i int) string {
			_, id, _ := strings.Cut(bodies[i], `"order_id":"`)
			id, _, _ = strings.Cut(id, `"`)
			lane, _, _ := strings.Cut(id, "-")
			return lane
		}
	}
	s := &sent{t: f.t, b: b, reasons: map[int]error{}}
	b.OnSettle = func(i int, _ event.Outcome, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reasons[i] = err
	}
	touch(b)
	s.m = b.Message(context.Background())
	f.messages <- s.m
	return s
}

// afterStop stops the daemon and gives it one more batch, as a source may that had it in hand.
func (f *feed) afterStop(r *rig, bodies ...string) *sent {
	late := make(chan *message.Message)
	f.late <- late
	r.stop()
	r.wait()
	s := f.give(func(*event.Batch) {}, bodies...)
	late <- <-f.messages
	close(late)
	return s
}

func (f *feed) end() { f.once.Do(func() { close(f.messages) }) }

// outcomes waits until all events of the batch are settled and names what became of each.
func (s *sent) outcomes() string {
	s.t.Helper()
	select {
	case <-s.b.Done():
	case <-time.After(24 * time.Hour): // of the bubble's time
		s.t.Fatalf("events are not settled: %s", s.now())
	}
	return s.now()
}

// now names what became of each event so far.
func (s *sent) now() string {
	var out []string
	for i := range s.b.Events {
		out = append(out, s.b.Outcome(i).String())
	}
	return strings.Join(out, " ")
}

// is checks the outcomes of the batch.
func (s *sent) is(want string) *sent {
	s.t.Helper()
	if got := s.outcomes(); got != want {
		s.t.Errorf("outcomes\n got %s\nwant %s", got, want)
	}
	return s
}

// isNow checks the outcomes so far.
func (s *sent) isNow(want string) *sent {
	s.t.Helper()
	if got := s.now(); got != want {
		s.t.Errorf("outcomes so far\n got %s\nwant %s", got, want)
	}
	return s
}
