package sourcetest

import (
	"context"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// readWithin bounds Read: emulators are other processes, on machines that are busy.
const readWithin = time.Minute

// Read reads n events of a source, commits them and closes it. It gives what show says of each, in the order in which they
// came; more events than n are an error.
func Read(t *testing.T, s sources.Source, n int, show func(*event.Event) string) (got []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	late := time.After(readWithin)
	for len(got) < n {
		select {
		case m := <-msgs:
			b := event.FromMessage(m)
			for i := range b.Events {
				got = append(got, show(&b.Events[i]))
				b.Settle(i, event.Committed, nil)
			}
		case <-late:
			t.Fatalf("%d of %d events within %s", len(got), n, readWithin)
		}
	}
	stop()
	for m := range msgs {
		b := event.FromMessage(m)
		t.Errorf("%d events more than were sent", len(b.Events))
		for i := range b.Events {
			b.Settle(i, event.Released, nil)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return got
}
