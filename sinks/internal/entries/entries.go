// Package entries writes batches of events to services of AWS that take a few entries in a call and answer for each: SQS,
// SNS, EventBridge.
//
// A batch is cut by the service's limits of count and bytes and sent side by side, or in order by groups. Each event has an
// outcome of its own: poison where it cannot be made an entry or the service refuses it, an outage where it was throttled,
// not answered, or waits behind another of its group.
package entries

import (
	"fmt"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
)

// Entry is an event as a service takes it.
type Entry[S any] struct {
	Send  S
	Size  int    // bytes, as the service counts them
	Group string // what keeps its order, for InOrder
	event int    // its place in the batch
}

// Limits are what a service takes in one call.
type Limits struct {
	Entries int
	Bytes   int // of all entries
}

// Call sends entries by one call. An error is that of the call as a whole.
type Call[S any] func([]Entry[S]) (Answer, error)

// Batch is a batch of events on its way to a service. It is sent once.
type Batch[S any] struct {
	service  string // as errors begin
	events   int
	entries  []Entry[S]
	outcomes outcomes
}

// Make makes an entry of each event. An error is the outcome of its event alone.
func Make[S any](service string, events []event.Recorded, entry func(*event.Recorded) (Entry[S], error)) *Batch[S] {
	b := &Batch[S]{service: service, events: len(events), entries: make([]Entry[S], 0, len(events))}
	for i := range events {
		e, err := entry(&events[i])
		if err != nil {
			b.outcomes.fail(i, fmt.Errorf("%s: %w", service, err))
			continue
		}
		e.event = i
		b.entries = append(b.entries, e)
	}
	return b
}

// send makes one call and notes what failed of it, which it gives by the place in entries.
func (b *Batch[S]) send(entries []Entry[S], call Call[S]) map[int]error {
	answer, err := call(entries)
	failed := map[int]error{}
	switch {
	case err != nil && aws.KindOf(err) == aws.Invalid && len(entries) > 1: // one of them is to blame
		for i := range entries {
			for _, err := range b.send(entries[i:i+1], call) {
				failed[i] = err
			}
		}
		return failed
	case err != nil:
		err = aws.Outcome(fmt.Errorf("%s: %w", b.service, err))
		for i := range entries {
			failed[i] = err
		}
	default:
		failed = answer.failed(b.service, len(entries))
	}
	for i, err := range failed {
		b.outcomes.fail(entries[i].event, err)
	}
	return failed
}
