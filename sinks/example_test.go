package sinks_test

import (
	"errors"
	"fmt"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
)

// A sink whose service takes one event at a time: those that it took are not sent again for the sake of one that it did not.
func ExampleEach() {
	batch := []event.Recorded{{Event: event.Event{ID: "a"}}, {Event: event.Event{ID: "b"}}, {Event: event.Event{ID: "c"}}}
	err := sinks.Each(batch, func(e event.Recorded) error {
		if e.ID == "b" {
			return event.Poison(errors.New("the service does not know b"))
		}
		fmt.Println("sent", e.ID)
		return nil
	})
	var failed *event.BatchError
	if errors.As(err, &failed) {
		for i, why := range failed.Failed {
			fmt.Println(batch[i].ID, "failed:", why)
		}
	}
	fmt.Println(sinks.Each(batch, func(event.Recorded) error { return nil }))
	// Output:
	// sent a
	// sent c
	// b failed: the service does not know b
	// <nil>
}
