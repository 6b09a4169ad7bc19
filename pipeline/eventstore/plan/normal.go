package plan

import (
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

// Normal gives e in the form in which every backend gives it back: empty fields are nil, times are in UTC, an event
// that was changed has no body as it came.
func Normal(e event.Event, committed time.Time) event.Event {
	if len(e.Data) == 0 {
		e.Data = nil
	}
	if len(e.Metadata) == 0 {
		e.Metadata = nil
	}
	if e.Changed || len(e.Raw) == 0 {
		e.Raw = nil
	}
	if e.Time.IsZero() {
		e.Time = committed
	}
	e.Time = e.Time.UTC()
	return e
}

// Parked gives p as it is kept when it is parked at now; old is the entry that it updates, nil where there is none.
func Parked(p poison.Entry, old *poison.Entry, now time.Time) poison.Entry {
	if p.State == "" {
		p.State = poison.Parked
	}
	if p.First.IsZero() {
		p.First = now
	}
	if p.Last.IsZero() {
		p.Last = now
	}
	if old != nil {
		p.ID, p.First = old.ID, old.First
	}
	p.First, p.Last = p.First.UTC(), p.Last.UTC()
	if len(p.Payload) == 0 {
		p.Payload = nil
	}
	if len(p.Metadata) == 0 {
		p.Metadata = nil
	}
	return p
}

// Clock gives commit times: whole microseconds in UTC that never go back behind last.
func Clock(now, last time.Time) time.Time {
	now = now.UTC().Truncate(time.Microsecond)
	if now.Before(last) {
		return last
	}
	return now
}
