package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

const late = `
pipelines:
  late:
    source: { feed: { ordered: true, cursor: %s } }
    steps:
      - forward: { catch: { name: out, late: true } }
`

// TestSinksAreSyncedBeforeThePlaceIsSaved: a place of the source is never saved past events that a sink has not made safe.
func TestSinksAreSyncedBeforeThePlaceIsSaved(t *testing.T) {
	run(t, fmt.Sprintf(late, "true"), func(r *rig) {
		r.start()
		out := r.sink("out")
		for i := range 5 {
			r.feed().send(order(fmt.Sprintf("e-%d", i), "o", 1))
		}
		r.wait()
		if n := len(out.synced); !out.deferred || n > 2 {
			t.Errorf("deferred %v, %d syncs for five batches", out.deferred, n)
		}
		r.finish()
		r.ok()
		same(r, "events at the last sync", out.synced[len(out.synced)-1], 5)
		same(r, "place", r.cursor(), "5")
	})
}

func TestAFailedSyncKeepsThePlace(t *testing.T) {
	run(t, fmt.Sprintf(late, "true"), func(r *rig) {
		r.start()
		out := r.sink("out")
		out.unsynced = errors.New("disk on fire")
		r.feed().send(order("e-1", "o", 1))
		r.wait()
		r.drain()
		if !errors.Is(r.err, out.unsynced) {
			t.Errorf("the run ends with %v", r.err)
		}
		same(r, "place", r.cursor(), "")
	})
}

func TestASourceWithoutPlacesSyncsEachBatch(t *testing.T) {
	run(t, fmt.Sprintf(late, "false"), func(r *rig) {
		r.start()
		r.feed().send(order("e-1", "o", 1))
		r.finish()
		if out := r.sink("out"); out.deferred {
			t.Error("the sink defers what nobody gives again")
		}
	})
}

// TestRetryIsSynced: a parked event that is sent again is safe before its entry goes.
func TestRetryIsSynced(t *testing.T) {
	run(t, fmt.Sprintf(late, "true"), func(r *rig) {
		out := r.sink("out")
		out.refuse(func(string) error { return event.Poison(errRefused) })
		r.start().feed().send(order("e-1", "o", 1)).is("poisoned")
		out.failing(nil)
		r.again(poison.Filter{})
		same(r, "parked", r.parked(), nil)
		if n := len(out.synced); n == 0 || out.synced[n-1] != 1 {
			t.Errorf("events at the syncs: %v", out.synced)
		}
		r.finish()
		r.ok()
	})
}
