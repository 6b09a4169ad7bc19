package eventstore

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Place is a place in a log as people write it. The zero value is the start.
type Place struct {
	// Now is the log's end. Time is a time, Position a position, where they are not zero.
	Now      bool
	Time     time.Time
	Position int64
}

// ParsePlace reads start, now, a position or a time (RFC 3339).
func ParsePlace(s string) (Place, error) {
	switch s {
	case "start":
		return Place{}, nil
	case "now":
		return Place{Now: true}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return Place{Time: at}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return Place{}, fmt.Errorf("%q is not start, now, a position or a time (2026-01-31T08:00:00Z)", s)
	}
	return Place{Position: n}, nil
}

// After gives the position behind which one reads on from there: a position itself, the one before the first event
// that was committed at a time or later, or the log's end.
func (p Place) After(ctx context.Context, log Reader) (int64, error) {
	switch {
	case !p.Time.IsZero():
		return before(ctx, log, p.Time)
	case p.Now:
		h, err := log.Head(ctx)
		return h.Position, err
	}
	return p.Position, nil
}

// Through gives the last position up to there: a position itself, the last event that was committed at a time or
// before, or the log's end.
func (p Place) Through(ctx context.Context, log Reader) (int64, error) {
	if !p.Time.IsZero() {
		return before(ctx, log, p.Time.Add(1))
	}
	return p.After(ctx, log)
}

// before gives the last position that was committed before a time.
func before(ctx context.Context, log Reader, at time.Time) (int64, error) {
	for e, err := range log.ReadAll(ctx, ReadOptions{SinceTime: at, Max: 1}) {
		if err != nil {
			return 0, err
		}
		return e.Position - 1, nil
	}
	h, err := log.Head(ctx)
	return h.Position, err
}
