// Package generate is a source that makes events by expressions, for tests, demos and measurements.
//
//	source:
//	  generate:
//	    count: 1000
//	    rate: 50
//	    type: OrderCreated
//	    data: { order_id: '"o-" + string(index)', amount: 'round(item.random * 10000) / 100' }
//
// The events are CloudEvents. Expressions see index (from 0), time (the event's, which is now), item.random (a number from 0 up to 1) and item.count.
// The random numbers depend on seed and index alone, so the same config makes the same events. A source that is opened
// again starts with index 0 again, and what was given back is not made again.
package generate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("generate", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"makes events by expressions, for tests, demos and measurements"`

	Count   int64         `yaml:"count,omitempty" doc:"how many events, after which the input ends; default: without end" example:"1000"`
	Rate    float64       `yaml:"rate,omitempty" doc:"events a second; default: as fast as they are taken" example:"50"`
	Every   time.Duration `yaml:"every,omitempty" doc:"from one batch to the next, instead of rate" example:"1s"`
	Batch   int           `yaml:"batch,omitempty" doc:"events in a batch; default: 1 with every, else what the rate gives in a tenth of a second, at most what the source's limits say"`
	Seed    int64         `yaml:"seed,omitempty" default:"1" doc:"other seeds give other random numbers"`
	ID      config.Text   `yaml:"id,omitempty" sees:"event,item" doc:"the events' id; default: a new one for each" example:"order-{{ index }}"`
	Type    config.Text   `yaml:"type,omitempty" default:"Generated" sees:"event,item" doc:"the events' type"`
	Source  config.Text   `yaml:"source,omitempty" default:"leat.generate" sees:"event,item" doc:"the events' source"`
	Subject config.Text   `yaml:"subject,omitempty" sees:"event,item" doc:"the events' subject"`
	Data    config.Tree   `yaml:"data,omitempty" sees:"event,item" doc:"the events' data, a map of expressions or one alone; default: { index: index }" example:"{ order_id: '\"o-\" + string(index)' }"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	switch {
	case c.Rate > 0 && c.Every > 0:
		return &config.FieldError{Field: "every", Err: errors.New("stands beside rate: it takes one of them")}
	case c.Every > 0 && c.Every < time.Millisecond:
		return &config.FieldError{Field: "every", Err: errors.New("is at least 1ms"), Hint: "larger batches, or rate, give more events"}
	case c.Rate > 1e9:
		return &config.FieldError{Field: "rate", Err: errors.New("is more than any pipeline takes"), Hint: "without rate events come as fast as they are taken"}
	}
	return nil
}

// Source makes events.
type Source struct {
	cfg  Config
	env  sources.Env
	make *maker
	size int
	gap  time.Duration // from one batch to the next; zero: none

	stop context.CancelFunc
	done chan struct{}
	err  error // written before the channel is closed
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
	_ sources.Failing   = (*Source)(nil)
)

// Open makes the source; it makes no event yet.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	m, err := newMaker(&c)
	if err != nil {
		return nil, err
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	s := &Source{cfg: c, env: env, make: m, size: c.Batch, gap: c.Every}
	limit := 100
	if env.MaxEvents > 0 {
		limit = env.MaxEvents
	}
	if s.size <= 0 {
		switch {
		case c.Every > 0:
			s.size = 1
		case c.Rate > 0:
			s.size = int(math.Max(1, math.Min(c.Rate/10, float64(limit))))
		default:
			s.size = limit
		}
	}
	s.size = min(s.size, limit)
	if c.Rate > 0 {
		s.gap = time.Duration(float64(s.size) / c.Rate * float64(time.Second))
	}
	return s, nil
}

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits {
	return sources.Traits{Ordered: true, Ends: s.cfg.Count > 0, Alone: true}
}

// Err implements sources.Failing: an expression failed.
func (s *Source) Err() error { return s.err }

// Subscribe starts making events.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.done)
		defer close(out)
		s.err = s.run(ctx, out)
	}()
	return out, nil
}

// behind is how far the rate may be made up for after a time in which the pipeline took nothing.
const behind = time.Second

func (s *Source) run(ctx context.Context, out chan<- *message.Message) error {
	timer := clock.Or(s.env.Clock).NewTimer(0)
	defer timer.Stop()
	due := s.env.Now()
	for index := int64(0); s.cfg.Count == 0 || index < s.cfg.Count; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		n := s.size
		if s.cfg.Count > 0 {
			n = int(min(int64(n), s.cfg.Count-index))
		}
		b, err := s.batch(index, n)
		if err != nil {
			return err
		}
		index += int64(len(b.Events))
		select {
		case out <- b.Message(context.WithoutCancel(ctx)):
		case <-ctx.Done():
			return nil
		}
		now := s.env.Now()
		if due = due.Add(s.gap); due.Before(now.Add(-behind)) {
			due = now.Add(-behind)
		}
		timer.Reset(max(due.Sub(now), 0))
	}
	return nil
}

// batch makes up to n events from index on, as many as the bytes of a batch allow and at least one.
func (s *Source) batch(index int64, n int) (*event.Batch, error) {
	b := &event.Batch{Events: make([]event.Event, 0, n)}
	now, size := s.env.Now(), 0
	for i := range int64(n) {
		raw, err := s.make.event(index+i, now)
		if err != nil && i > 0 {
			break // the next batch fails with it; those before it are good
		}
		if err != nil {
			return nil, fmt.Errorf("generate: event %d: %w", index+i, err)
		}
		if limit := s.env.MaxEventSize; limit > 0 && len(raw) > limit {
			raw = raw[: limit+1 : limit+1] // too large for the pipeline, which says so
		}
		if size += len(raw); i > 0 && s.env.MaxBytes > 0 && size > s.env.MaxBytes {
			break
		}
		b.Events = append(b.Events, event.Event{Raw: raw})
	}
	return b, nil
}

// Close ends it.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	return nil
}
