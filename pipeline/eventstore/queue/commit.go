package queue

import (
	"context"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// What one transaction of a SQL database takes at most.
const (
	MaxUnits = 4096
	MaxBytes = 4 << 20
)

// Commit is a call of Log.Commit that waits.
type Commit struct {
	Ticket
	Ctx     context.Context
	Units   []*eventstore.Unit
	Next    int // of Units: those before it are answered
	Ordered bool
	Fence   *eventstore.Lease
}

// Fail answers a call with an error, for all of its units that are still open.
func (c *Commit) Fail(err error) {
	for _, u := range c.Units[c.Next:] {
		u.Result = eventstore.Result{}
	}
	c.Err = err
	c.Answer()
}

// UnitSize is about what a unit writes, in bytes.
func UnitSize(u *eventstore.Unit) int {
	n := 64
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			e := &u.Appends[i].Events[j]
			n += max(len(e.Raw), len(e.Data)) + len(e.Metadata) + 192
		}
	}
	for i := range u.Park {
		n += len(u.Park[i].Payload) + 512
	}
	return n
}
