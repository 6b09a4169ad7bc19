package eventstore

import (
	"context"
	"time"

	"github.com/leatdev/leat/pipeline/poison"
)

// RelaySpec is what a pipeline says of one of its relays.
type RelaySpec struct {
	// ID is the identity: namespace, pipeline and the relay's name.
	ID       string
	Pipeline string
	Kind     string // project or forward
	Target   string
	// Definition is a hash over what the relay does, for people and for the rules of rolling deploys.
	Definition string
	// From is the position behind which a new relay starts; FromHead: at the log's end.
	From int64
	// Was names the relay that this one continues under a new name; "" none.
	Was string
}

// FromHead as RelaySpec.From starts a new relay behind the last event of the log.
const FromHead int64 = -1

// Relay is a relay as the store knows it.
type Relay struct {
	RelaySpec
	// Position is its checkpoint: everything up to it is done. A table's relay keeps its own in the table.
	Position int64
	Epoch    int64
	Created  time.Time
	Updated  time.Time
	// Removed is set where the pipeline no longer has it.
	Removed bool
	Paused  bool
}

// Advance moves a relay's checkpoint, together with what was parked instead of being delivered.
type Advance struct {
	Relay string
	Epoch int64
	// From must be the position that stands there, To ≥ From.
	From, To int64
	Park     []poison.Entry
	// Unpark removes parked entries that were delivered now.
	Unpark []int64
}

// Relays keeps the relays of pipelines and their checkpoints.
type Relays interface {
	// SetRelays registers the relays of one pipeline in one transaction: new ones start where their spec says, known
	// ones keep their place and take the new definition, those that are missing are marked as removed, Was renames.
	// It gives them in the order of the specs.
	SetRelays(ctx context.Context, pipeline string, specs []RelaySpec) ([]Relay, error)
	// ListRelays gives the relays of a pipeline ("": of all), the removed ones too.
	ListRelays(ctx context.Context, pipeline string) ([]Relay, error)
	// AdvanceRelay commits a, or nothing: ErrFenced where epoch or From do not fit, ErrGone for Unpark.
	AdvanceRelay(ctx context.Context, a Advance) error
	// PauseRelay sets or clears Paused.
	PauseRelay(ctx context.Context, id string, paused bool) error
}

// Lease is the right to run something, for a time.
type Lease struct {
	Name  string
	Owner string
	// Epoch counts owners up: what is written under a lower one than the present is refused.
	Epoch int64
	Until time.Time
}

// Leases hands out leases. Times are the store's own clock.
type Leases interface {
	// Acquire takes a lease that is free, run out, or already the owner's (its epoch then stays); else ErrHeld. A
	// relay's checkpoint takes the epoch of the lease that has its id as name.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	// Renew lengthens a lease; ErrFenced where it was lost.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// Release frees a lease; a lost one is no error.
	Release(ctx context.Context, l Lease) error
}

// Replica is a daemon that runs a pipeline, beside others that may run it too.
type Replica struct {
	Pipeline string
	// Owner is the daemon's instance, the owner of its leases.
	Owner string
	// Definition is a hash over the pipeline as the daemon's files have it.
	Definition string
	// Generation orders definitions: the newest has the highest.
	Generation int64
	// Until is when it counts as gone unless it joins again.
	Until time.Time
}

// Roster is who runs a pipeline and who holds what of it, at one moment.
type Roster struct {
	// Replicas are those that are there, in the order of their owners.
	Replicas []Replica
	// Leases are those of the names that were asked for which somebody holds now, in the order of their names.
	Leases []Lease
	// Relays are those of the pipeline, the removed ones too, in the order of their ids.
	Relays []Relay
	// Generations are those of all definitions that the pipeline ever had.
	Generations map[string]int64
}

// Newest gives the highest generation among the replicas, 0 where there is none.
func (r *Roster) Newest() int64 {
	var n int64
	for i := range r.Replicas {
		n = max(n, r.Replicas[i].Generation)
	}
	return n
}

// Find gives the replica of an owner.
func (r *Roster) Find(owner string) (Replica, bool) {
	for _, x := range r.Replicas {
		if x.Owner == owner {
			return x, true
		}
	}
	return Replica{}, false
}

// Replicas is implemented by stores that several processes may have open. It keeps who runs a pipeline, and which of
// their definitions is the newest. Times are the store's own clock.
type Replicas interface {
	// Join says that r runs its pipeline for ttl from now, and gives it with its generation. A definition that the
	// store has never seen becomes the newest. One that it knows stays older than those that came after it while a
	// daemon with one of these is there; when none is any more it becomes the newest again (a deploy was rolled back).
	// A definition that becomes the newest registers its relays in the same transaction, as SetRelays does, and so does
	// a daemon of the newest that was not there before.
	Join(ctx context.Context, r Replica, ttl time.Duration, specs []RelaySpec) (Replica, error)
	// Leave takes a daemon off at once; one that is not there is no error.
	Leave(ctx context.Context, pipeline, owner string) error
	// Roster reads who is there, and the leases of these names.
	Roster(ctx context.Context, pipeline string, leases []string) (Roster, error)
}
