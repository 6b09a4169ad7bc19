//go:build race

package file

import "github.com/leatdev/leat/pipeline/event"

// scribble overwrites the memory of a settled batch before it is used again. Under the race detector, where tests run,
// whoever still looks at an event by then reads nonsense, and the detector sees it.
func scribble(events []event.Event) {
	for i := range events {
		raw := events[i].Raw
		for j := range raw {
			raw[j] = '!'
		}
		events[i] = event.Event{Raw: []byte("read after it was settled")}
	}
}
