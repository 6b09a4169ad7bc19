// Package eventlog is a source that reads an event store's log: this pipeline's store or another one of the file, from
// a place on, and then what is committed to it, or up to a place.
//
//	source:
//	  event_log: { origins: [orders], types: [OrderPlaced], from: start }
//
// Events come in the order of the log and leave as they were recorded; an event that no step changes leaves as the
// bytes in which it once came. The place is a cursor that is committed with what the events give. In a pipeline that
// appends nothing the engine reads the log by itself, for each target with a checkpoint of its own; the source's part
// is then its config alone.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("event_log", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"reads the log of an event store: what other pipelines have appended"`

	Store   string   `yaml:"store,omitempty" doc:"name of the store whose log is read; default: the pipeline's own" example:"main"`
	Origins []string `yaml:"origins,omitempty" doc:"pipelines whose events are read; PIPELINE/STEP for an append that is not its pipeline's last; default: all" example:"[orders]"`
	Streams []string `yaml:"streams,omitempty" doc:"types of streams, the part before the slash; default: all" example:"[order]"`
	Types   []string `yaml:"types,omitempty" doc:"types of events; default: all" example:"[OrderPlaced]"`
	From    string   `yaml:"from,omitempty" default:"start" doc:"where to begin for the first time: start, now, behind a position, or at a time" example:"2026-01-31T08:00:00Z"`
	Follow  bool     `yaml:"follow,omitempty" default:"true" doc:"go on with what is committed later; false: the input ends where the log ended at the start"`
	Until   string   `yaml:"until,omitempty" doc:"where the input ends: now, a position, or a time; default: it does not" example:"now"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var all []error
	for _, f := range []struct{ name, value string }{{"from", c.From}, {"until", c.Until}} {
		if f.value == "" || strings.Contains(f.value, "${") {
			continue
		}
		if _, err := eventstore.ParsePlace(f.value); err != nil {
			all = append(all, &config.FieldError{Field: f.name, Err: err})
		}
	}
	if c.Until == "start" {
		all = append(all, &config.FieldError{Field: "until", Err: errors.New("at the start there is nothing before it to read"), Hint: "now, a position, or a time"})
	}
	for _, s := range c.Streams {
		if typ, _, cut := strings.Cut(s, "/"); cut {
			all = append(all, &config.FieldError{Field: "streams", Err: fmt.Errorf("%q is one stream, and types of streams are asked for", s),
				Hint: fmt.Sprintf("write %q, and a step `- filter: stream == %q`", typ, s)})
			break
		}
	}
	return errors.Join(all...)
}

// ReadsLog implements config.LogReader.
func (c Config) ReadsLog() config.LogSelection {
	return config.LogSelection{Store: c.Store, StreamTypes: c.Streams, Types: c.Types, Origins: c.Origins, From: c.From, Until: c.Until, Follow: c.Follow}
}

// Hermetic implements sources.Hermetic: a log is read, which in a test is one in memory.
func (Config) Hermetic() {}

// Source reads a log.
type Source struct {
	cfg    Config
	env    sources.Env
	log    eventstore.Reader
	flying atomic.Int64 // batches that are not settled

	stop context.CancelFunc
	done chan struct{}
	err  error // written before the channel is closed
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
	_ sources.Failing   = (*Source)(nil)
	_ config.LogReader  = Config{}
)

// Open finds the store; nothing is read yet.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	if env.ReadLog == nil {
		return nil, errors.New("event_log: there is no store to read")
	}
	log, err := env.ReadLog(c.Store)
	if err != nil {
		return nil, err
	}
	env.Clock = clock.Or(env.Clock)
	return &Source{cfg: c, env: env, log: log}, nil
}

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits {
	return sources.Traits{Ordered: true, Ends: s.bounded(), Alone: true}
}

func (s *Source) bounded() bool { return !s.cfg.Follow || s.cfg.Until != "" }

// Err implements sources.Failing: the log could not be read.
func (s *Source) Err() error { return s.err }

// Subscribe starts to read.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.done)
		defer close(out)
		if err := s.run(ctx, out); err != nil && ctx.Err() == nil {
			s.err = fmt.Errorf("event_log: %w", err)
		}
	}()
	return out, nil
}

// Close ends it.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	return nil
}

func (s *Source) run(ctx context.Context, out chan<- *message.Message) error {
	head, err := s.log.Head(ctx)
	if err != nil {
		return err
	}
	key := "log " + head.LogID
	after, err := s.start(ctx, key)
	if err != nil {
		return err
	}
	if after > head.Position {
		return fmt.Errorf("the place %d lies behind the log's end, %d: this log is shorter than the one that was read", after, head.Position)
	}
	end, err := s.end(ctx, head.Position)
	if err != nil {
		return err
	}
	for {
		after, err = s.pages(ctx, key, after, end, out)
		switch {
		case after >= end.position && err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventstore.ErrClosed), errors.Is(err, eventstore.ErrCorrupt):
			return err
		case err != nil:
			s.env.Log.Error("the log cannot be read; trying again", "error", err)
		}
		pause := s.env.Clock.NewTimer(time.Second)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// start gives the position behind which to read on. The first place is kept, so that a restart begins at the same one.
func (s *Source) start(ctx context.Context, key string) (int64, error) {
	kept, err := s.env.Cursor(ctx, key)
	if err != nil {
		return 0, err
	}
	if kept != "" {
		n, err := strconv.ParseInt(kept, 10, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("the place %q that was kept is no position", kept)
		}
		return n, nil
	}
	from := s.cfg.From
	if from == "" {
		from = "start"
	}
	place, err := eventstore.ParsePlace(from)
	if err != nil {
		return 0, err
	}
	after, err := place.After(ctx, s.log)
	if err != nil || after == 0 {
		return 0, err
	}
	return after, s.keep(ctx, key, after)
}

func (s *Source) keep(ctx context.Context, key string, at int64) error {
	if s.env.Keep == nil {
		return nil
	}
	return s.env.Keep(ctx, event.Cursor{Key: key, Value: strconv.FormatInt(at, 10)})
}

// end is where the input ends: behind a position, or once a time has passed.
type end struct {
	position int64
	time     time.Time // position is not known before then
}

const never = int64(1<<63 - 1)

func (s *Source) end(ctx context.Context, head int64) (end, error) {
	if s.cfg.Until == "" {
		if s.cfg.Follow {
			return end{position: never}, nil
		}
		return end{position: head}, nil
	}
	place, err := eventstore.ParsePlace(s.cfg.Until)
	if err != nil {
		return end{}, err
	}
	if place.Time.After(s.env.Clock.Now()) && s.cfg.Follow {
		return end{position: never, time: place.Time}, nil
	}
	at, err := place.Through(ctx, s.log)
	if !s.cfg.Follow {
		at = min(at, head)
	}
	return end{position: at}, err
}

// keepEvery is how often the place behind events that were not asked for is kept.
const keepEvery = 10 * time.Second

// pages sends what lies behind a position and gives the place that it reached.
func (s *Source) pages(ctx context.Context, key string, after int64, e end, out chan<- *message.Message) (int64, error) {
	if after >= e.position {
		return after, nil
	}
	kept := s.env.Clock.Now()
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	if !e.time.IsZero() {
		defer s.env.Clock.AfterFunc(e.time.Sub(kept), cancel).Stop()
	}
	o := eventstore.SubscribeOptions{After: after, Filter: eventstore.Filter{StreamTypes: s.cfg.Streams, Types: s.cfg.Types, Origins: s.cfg.Origins},
		MaxEvents: s.env.MaxEvents, MaxBytes: s.env.MaxBytes}
	for page, err := range s.log.Subscribe(reading, o) {
		if reading.Err() != nil {
			break
		}
		if err != nil {
			return after, err
		}
		events := page.Events
		if i := slices.IndexFunc(events, func(r event.Recorded) bool {
			return r.Position > e.position || (!e.time.IsZero() && r.Committed.After(e.time))
		}); i >= 0 {
			events, e.position = events[:i], events[i].Position-1
		}
		if len(events) > 0 {
			select {
			case out <- s.batch(key, events).Message(context.WithoutCancel(ctx)):
			case <-ctx.Done():
				return after, nil
			}
			kept = s.env.Clock.Now() // its place goes with it
		}
		after = page.Through
		if after >= e.position {
			return never, nil
		}
		if now := s.env.Clock.Now(); now.Sub(kept) >= keepEvery && s.flying.Load() == 0 {
			kept = now
			if err := s.keep(ctx, key, after); err != nil && ctx.Err() == nil {
				s.env.Log.Warn("the place in the log was not saved; some events will be looked at again", "error", err)
			}
		}
	}
	if ctx.Err() != nil || reading.Err() == nil {
		return after, nil
	}
	// The time has come: what was committed up to it and not read yet is the rest.
	at, err := eventstore.Place{Time: e.time}.Through(ctx, s.log)
	if err != nil || at <= after {
		return never, err
	}
	return s.pages(ctx, key, after, end{position: at}, out)
}

func (s *Source) batch(key string, events []event.Recorded) *event.Batch {
	b := &event.Batch{Events: make([]event.Event, len(events)), Recorded: events}
	for i := range events {
		e := &events[i]
		if limit := s.env.MaxEventSize; limit > 0 && len(e.Raw) > limit {
			e.Raw, e.Data = e.Raw[:limit+1:limit+1], nil // too large for the pipeline, which says so
		}
		b.Events[i] = e.Event
		b.Bytes += max(len(e.Raw), len(e.Data)) + len(e.Metadata)
	}
	b.Cursor = func(i int) event.Cursor {
		return event.Cursor{Key: key, Value: strconv.FormatInt(events[i].Position, 10)}
	}
	s.flying.Add(1)
	b.OnDone = func() { s.flying.Add(-1) }
	return b
}
