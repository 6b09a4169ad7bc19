// Package poison holds what is known of events that could not be handled: the parked entry, how to select entries, and
// the contract by which a store keeps them. It imports only the event package, so that stores and tables can write an
// entry in the transaction of what it replaces.
package poison

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// State says what happens to an entry next.
type State string

// The states.
const (
	Parked   State = "parked"   // waits for a person
	Held     State = "held"     // waits behind a parked entry of its stream
	Waiting  State = "waiting"  // waits for its next attempt, which the relay makes by itself
	Retrying State = "retrying" // sent again: the pipeline takes it up when it runs
)

// ErrNotFound says that no entry has the id.
var ErrNotFound = errors.New("poison: no such entry")

// Entry is one parked event. Pipeline, Step and Key together are unique: parking it again updates the entry.
type Entry struct {
	ID       int64  `json:"id"`
	Pipeline string `json:"pipeline"`
	// Step is where it failed: a step's name, or the relay's.
	Step string `json:"step"`
	// Key is the inbox key in the intake; in a relay the event's log position in decimal.
	Key   string `json:"key"`
	State State  `json:"state"`
	Code  string `json:"code"`
	// Reason is the chain of errors, outermost first.
	Reason   string    `json:"reason"`
	Stack    string    `json:"stack,omitempty"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	TraceID  string    `json:"trace_id,omitempty"`

	// Relay is set where a relay parked it; Stream and Position then say which event of the log it is.
	Relay    string       `json:"relay,omitempty"`
	Stream   event.Stream `json:"stream,omitzero"`
	Position int64        `json:"position,omitempty"`

	// EventID, Type and Source are known where the envelope could be read.
	EventID string `json:"event_id,omitempty"`
	Type    string `json:"type,omitempty"`
	Source  string `json:"source,omitempty"`
	// Payload is the body as it came, or as it was edited. Envelope is how to read it again.
	Payload  []byte         `json:"-"`
	Envelope event.Envelope `json:"-"`
	// Metadata is the transport's, a JSON object.
	Metadata []byte `json:"-"`
	Edited   bool   `json:"edited,omitempty"`
}

// Filter selects entries; its zero value selects all.
type Filter struct {
	IDs      []int64
	Pipeline string
	Step     string
	Relay    string
	Code     string
	Stream   event.Stream
	States   []State
	Since    time.Time
	// Max bounds the number of entries, the oldest first; zero: no bound.
	Max int
}

// Store keeps entries. It is safe for concurrent use.
type Store interface {
	// Park adds entries outside any other transaction.
	Park(ctx context.Context, entries ...Entry) error
	// ListParked gives entries in the order of their ids.
	ListParked(ctx context.Context, f Filter) iter.Seq2[Entry, error]
	// CountParked gives the number and the oldest First.
	CountParked(ctx context.Context, f Filter) (n int64, oldest time.Time, err error)
	// EditParked replaces the payload; ErrNotFound.
	EditParked(ctx context.Context, id int64, payload []byte) error
	// SetParked moves the selected entries to another state and says how many there were.
	SetParked(ctx context.Context, f Filter, to State) (int64, error)
	// DropParked removes the selected entries and says how many there were.
	DropParked(ctx context.Context, f Filter) (int64, error)
}
