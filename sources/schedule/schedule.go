// Package schedule is a source that gives an event at the times of a cron expression.
//
//	source:
//	  schedule: { cron: "30 2 * * MON-FRI", time_zone: Europe/London }
//
// An event is {"id", "source", "detail-type", "time", "detail": {"scheduled", "missed"}}: its time is the one that was
// scheduled, however late it comes, and its id is made of pipeline and time, so that the same tick is the same event on
// every replica and after a crash. The last tick that was committed is the source's place: a daemon that was down, or a
// pipeline that did not take events, knows what was missed, and Config.Missed says what becomes of that. Before the
// first tick of a new schedule there is no place, and nothing is missed.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("schedule", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"gives an event at the times of a cron expression"`

	Cron     string `yaml:"cron" doc:"minute, hour, day of the month, month, weekday; with six fields the first is the second; * , - / and names like MON-FRI; or @hourly, @daily, @weekly, @monthly, @yearly, @every 90s" example:"30 2 * * MON-FRI"`
	TimeZone string `yaml:"time_zone,omitempty" default:"UTC" doc:"whose clock the fields mean, by its IANA name; a time that is skipped in spring comes at the end of the gap, one that is there twice in autumn counts once; schedules of every hour go by the time that passes" example:"Europe/London"`
	Missed   string `yaml:"missed,omitempty" default:"once" enum:"skip,once,all" doc:"ticks that passed while nothing ran: skip: none; once: one event for all of them, with the time of the last; all: each"`
	Type     string `yaml:"type,omitempty" default:"Scheduled" doc:"the events' type"`
	Source   string `yaml:"source,omitempty" default:"leat.schedule" doc:"the events' source"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	zone, wrong := c.zone()
	if wrong != nil {
		zone = time.UTC
	}
	if c.Cron == "" {
		return wrong
	}
	if _, err := parse(c.Cron, zone); err != nil {
		return errors.Join(wrong, &config.FieldError{Field: "cron", Err: err, Hint: `for example "30 2 * * MON-FRI", half past two on working days; or @every 5m`})
	}
	return wrong
}

func (c Config) zone() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "Local" {
		return nil, &config.FieldError{Field: "time_zone", Err: fmt.Errorf("no time zone is called %q here", c.TimeZone), Hint: "for example UTC or Europe/London"}
	}
	return zone, nil
}

// Hermetic implements sources.Hermetic: a schedule reads nothing but the clock.
func (Config) Hermetic() {}

// Source gives the ticks of one schedule.
type Source struct {
	cfg   Config
	env   sources.Env
	zone  *time.Location
	ticks ticks
	place string // key of the cursor

	stop context.CancelFunc
	done chan struct{}
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
)

// Open makes the source; it waits for nothing yet.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	zone, err := c.zone()
	if err != nil {
		return nil, err
	}
	t, err := parse(c.Cron, zone)
	if err != nil {
		return nil, fmt.Errorf("cron: %w", err)
	}
	for field, def := range map[*string]string{&c.Type: "Scheduled", &c.Source: "leat.schedule", &c.Missed: "once"} {
		if *field == "" {
			*field = def
		}
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	// Another expression is another schedule: what the former one missed does not count.
	place := "schedule:" + strings.Join(strings.Fields(c.Cron), " ") + " " + zone.String()
	return &Source{cfg: c, env: env, zone: zone, ticks: t, place: place}, nil
}

// Traits implements sources.Described: a place stands for all that is before it, so order is kept.
func (s *Source) Traits() sources.Traits { return sources.Traits{Ordered: true, Alone: true} }

// Subscribe starts the clock.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	last, err := s.lastTick(ctx)
	if err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.done)
		defer close(out)
		s.run(ctx, last, out)
	}()
	return out, nil
}

// lastTick gives the time up to which every tick is done with.
func (s *Source) lastTick(ctx context.Context) (time.Time, error) {
	now := s.env.Now()
	if s.env.Cursor == nil {
		return now, nil
	}
	value, err := s.env.Cursor(ctx, s.place)
	if err != nil {
		return now, fmt.Errorf("schedule: read the place: %w", err)
	}
	if value == "" {
		return now, nil
	}
	last, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return now, errors.New("schedule: the place is no time")
	}
	if last.After(now.Add(time.Minute)) {
		s.env.Log.Warn("the clock is behind the last tick; none comes before the clock has passed it", "last", last, "now", now)
	}
	return last, nil
}

const (
	// longest is how long the source sleeps at most, so that a clock that is set, or a machine that slept, is noticed.
	longest = 30 * time.Second
	// grace is how late a tick may be that was not missed: a restart in between, a pipeline that was busy for a moment.
	grace = 30 * time.Second
	// countMissed is how far missed ticks are counted.
	countMissed = 1000
)

// run gives the ticks after last until ctx is done.
func (s *Source) run(ctx context.Context, last time.Time, out chan<- *message.Message) {
	timer := clock.Or(s.env.Clock).NewTimer(0)
	defer timer.Stop()
	for {
		next, now := s.ticks.next(last), s.env.Now()
		if next.IsZero() {
			<-ctx.Done() // not within ten years
			return
		}
		if wait := next.Sub(now); wait > 0 {
			timer.Reset(min(wait, longest))
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				return
			}
		}
		var due []tick
		due, last = s.due(next, now)
		if len(due) == 0 {
			continue
		}
		select {
		case out <- s.batch(due).Message(context.WithoutCancel(ctx)):
		case <-ctx.Done():
			return
		}
	}
}

// tick is one time of the schedule.
type tick struct {
	at     time.Time
	missed int // ticks before it that gave no event
}

// due gives the ticks from first up to now that become events, and the last one that is done with then.
func (s *Source) due(first, now time.Time) ([]tick, time.Time) {
	if s.cfg.Missed == "all" {
		var all []tick
		last := first
		for at := first; !at.IsZero() && !at.After(now) && (len(all) == 0 || len(all) < s.env.MaxEvents); at = s.ticks.next(at) {
			all, last = append(all, tick{at: at}), at
		}
		return all, last
	}
	last := s.latest(first, now)
	missed := 0
	for at := first; at.Before(last) && missed < countMissed; at = s.ticks.next(at) {
		missed++
	}
	if s.cfg.Missed == "skip" && now.Sub(last) > grace {
		s.env.Log.Info("ticks were missed", "count", missed+1, "last", last)
		return nil, last
	}
	return []tick{{last, missed}}, last
}

// latest gives the last tick up to now, without walking over all since first: they may be millions.
func (s *Source) latest(first, now time.Time) time.Time {
	at := first
	for back := time.Second; now.Add(-back).After(first); back *= 2 {
		if t := s.ticks.next(now.Add(-back)); !t.IsZero() && !t.After(now) {
			at = t
			break
		}
	}
	for next := s.ticks.next(at); !next.IsZero() && !next.After(now); next = s.ticks.next(next) {
		at = next
	}
	return at
}

func (s *Source) batch(due []tick) *event.Batch {
	b := &event.Batch{Events: make([]event.Event, len(due))}
	for i, t := range due {
		b.Events[i].Raw = s.body(t)
	}
	b.Cursor = func(i int) event.Cursor {
		return event.Cursor{Key: s.place, Value: due[i].at.UTC().Format(time.RFC3339)}
	}
	return b
}

// body writes the event in EventBridge's shape.
func (s *Source) body(t tick) []byte {
	at := t.at.UTC().Format(time.RFC3339)
	raw := rawjson.AppendQuote([]byte(`{"id":`), s.env.Pipeline+"/"+at)
	raw = rawjson.AppendQuote(append(raw, `,"source":`...), s.cfg.Source)
	raw = rawjson.AppendQuote(append(raw, `,"detail-type":`...), s.cfg.Type)
	raw = rawjson.AppendQuote(append(raw, `,"time":`...), at)
	raw = rawjson.AppendQuote(append(raw, `,"detail":{"scheduled":`...), t.at.In(s.zone).Format(time.RFC3339))
	return fmt.Appendf(raw, `,"missed":%d}}`, t.missed)
}

// Close stops the clock.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	return nil
}
