package aside

import (
	"fmt"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
)

// Entry is what the order of a FIFO queue or topic goes by.
type Entry interface {
	Place() (group string, size int)
}

// InOrder sends entries so that none overtakes another of its group: a call has one of each group, at most most entries
// and total bytes, and what stands behind one that was not taken waits. Send makes one call and gives what failed by index
// in its argument; wait is told of each entry that was not tried, and why.
func InOrder[E Entry](entries []E, most, total int, send func([]E) map[int]error, wait func(E, error)) {
	blocked := map[string]error{}
	for len(entries) > 0 {
		var now, later []E
		size, inCall := 0, map[string]bool{}
		for _, e := range entries {
			group, weight := e.Place()
			if err := blocked[group]; err != nil {
				wait(e, err)
				continue
			}
			if inCall[group] || len(now) == most || (len(now) > 0 && size+weight > total) {
				inCall[group] = true // what is behind it waits too
				later = append(later, e)
				continue
			}
			inCall[group] = true
			size += weight
			now = append(now, e)
		}
		for i, err := range send(now) {
			if !event.IsPoison(err) {
				after, _ := event.AsUnavailable(err)
				group, _ := now[i].Place()
				blocked[group] = event.Unavailable(after, fmt.Errorf("waits behind another of its group: %w", err))
			}
		}
		entries = later
	}
}

// Failed is an entry that a service refused: its place in the call, the service's code and words.
type Failed struct {
	At            int
	Code, Message string
}

// Outcomes gives what failed of a call with n entries: what the service names, and what it says nothing of.
func Outcomes(what string, n int, done []int, failed []Failed) map[int]error {
	answered, out := make([]bool, n), map[int]error{}
	for _, i := range done {
		if i >= 0 && i < n {
			answered[i] = true
		}
	}
	for _, f := range failed {
		if f.At >= 0 && f.At < n {
			answered[f.At] = true
			out[f.At] = aws.EntryOutcome(f.Code, fmt.Errorf("%s: %s: %s", what, f.Code, f.Message))
		}
	}
	for i, ok := range answered {
		if !ok {
			out[i] = event.Unavailable(0, fmt.Errorf("%s: the answer does not say what became of the message", what))
		}
	}
	return out
}
