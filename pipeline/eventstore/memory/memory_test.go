package memory_test

import (
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
)

func TestStore(t *testing.T) {
	features := storetest.Features{PutOutbox: func(_ testing.TB, s eventstore.Store, body string) int64 {
		return s.(*memory.Store).PutOutbox([]byte(body))
	}}
	storetest.Run(t, features, func(_ *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		return memory.Open(memory.Options{Now: now}), nil
	})
}

func TestLinearizable(t *testing.T) {
	s := memory.Open(memory.Options{})
	defer s.Close()
	storetest.Linearizable(t, storetest.Linear{Stores: []eventstore.Store{s}, Histories: 300})
}
