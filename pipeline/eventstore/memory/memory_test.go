package memory_test

import (
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Features{}, func(_ *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		return memory.Open(memory.Options{Now: now}), nil
	})
}
