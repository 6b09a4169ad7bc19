package entries

import (
	"fmt"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// Calls is how many calls of one batch are under way at once.
const Calls = 8

// SideBySide sends the batch by as few calls as the limits allow, up to Calls of them at a time. It gives what a sink's
// Write returns.
func (b *Batch[S]) SideBySide(most Limits, call Call[S]) error {
	runs := b.cut(most)
	if len(runs) == 1 {
		b.send(runs[0], call)
		return b.outcomes.err(b.events)
	}
	slots := make(chan struct{}, Calls)
	var all sync.WaitGroup
	for _, run := range runs {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			b.send(run, call)
		})
	}
	all.Wait()
	return b.outcomes.err(b.events)
}

// cut cuts the entries into runs within the limits; one that is heavier has a run of its own.
func (b *Batch[S]) cut(most Limits) (runs [][]Entry[S]) {
	from, bytes := 0, 0
	for i, e := range b.entries {
		if i > from && (i-from == most.Entries || bytes+e.Size > most.Bytes) {
			runs = append(runs, b.entries[from:i])
			from, bytes = i, 0
		}
		bytes += e.Size
	}
	if from < len(b.entries) {
		runs = append(runs, b.entries[from:])
	}
	return runs
}

// InOrder sends the batch, one call after another, so that no entry overtakes another of its group: a call has one of each
// group, and what stands behind one that was not taken waits. It gives what a sink's Write returns.
func (b *Batch[S]) InOrder(most Limits, call Call[S]) error {
	blocked := map[string]error{}
	for left := b.entries; len(left) > 0; {
		var now, later []Entry[S]
		bytes, inCall := 0, map[string]bool{}
		for _, e := range left {
			if err := blocked[e.Group]; err != nil {
				b.outcomes.fail(e.event, fmt.Errorf("%s: %w", b.service, err))
				continue
			}
			if inCall[e.Group] || len(now) == most.Entries || (len(now) > 0 && bytes+e.Size > most.Bytes) {
				inCall[e.Group] = true // what is behind it waits too
				later = append(later, e)
				continue
			}
			inCall[e.Group] = true
			bytes += e.Size
			now = append(now, e)
		}
		left = later
		if len(now) == 0 {
			break // all that was left waits
		}
		for i, err := range b.send(now, call) {
			if !event.IsPoison(err) {
				after, _ := event.AsUnavailable(err)
				blocked[now[i].Group] = event.Unavailable(after, fmt.Errorf("waits behind another of its group: %w", err))
			}
		}
	}
	return b.outcomes.err(b.events)
}
