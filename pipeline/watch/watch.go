// Package watch is what leat tail asks of a cloud: buses and queues that are watched from outside, with no pipeline. Plugins that live in the
// cloud bring it along, so that a build without them does not carry the cloud's SDK.
package watch

import (
	"context"
	"errors"
	"time"
)

// Settings say which cloud a command talks to; what is empty is found as the cloud's own tools find it.
type Settings struct {
	Region, Endpoint, Profile string
}

// Cloud opens sessions. There is one in a build, or none.
type Cloud interface {
	// Check finds mistakes in settings, and CheckQueue in the name of a queue, without any call.
	Check(s Settings) error
	CheckQueue(name string) error
	// Policy is the least policy that watching a bus takes.
	Policy() string
	Dial(ctx context.Context, s Settings) (Session, error)
	// Kind says what an error of a session means.
	Kind(err error) Kind
}

// Kind is what an error means for who started the watch.
type Kind int

// The kinds.
const (
	Failed      Kind = iota // none of the others
	Invalid                 // the request itself is wrong
	Denied                  // no permission, no credentials, or not so often
	Missing                 // the bus or queue does not exist
	Unreachable             // no answer
)

// Session is a connection. Its methods are safe for concurrent use.
type Session interface {
	// Bus begins to watch a bus: what that makes in the cloud is removed by Close of the Bus.
	Bus(ctx context.Context, o BusOptions) (Bus, error)
	// Buses gives the names of all buses.
	Buses(ctx context.Context) ([]string, error)
	// Sweep removes what killed watches left on the buses named; without names, on all.
	Sweep(ctx context.Context, now time.Time, buses ...string) (Swept, error)
	// Queue finds a queue by its name, URL or ARN.
	Queue(ctx context.Context, name string) (Queue, error)
	Close()
}

// BusOptions say what to watch.
type BusOptions struct {
	// Bus is a name or an ARN; empty: the default bus.
	Bus string
	// Pattern is an event pattern; empty: everything.
	Pattern string
	// Probe puts events of its own on the bus until one comes through.
	Probe bool
	// Now is the clock for expiries; nil: time.Now.
	Now func() time.Time
	// Warn is told what does not end the watch: a call that is repeated, an expiry that could not be renewed.
	Warn func(error)
}

// Bus is a bus that is watched. Its methods are for one goroutine.
type Bus interface {
	// Made says what was made (the name of the rule and of the queue) and on which bus.
	Made() (name, bus string)
	// Receive waits for events and gives those that came, none twice.
	Receive(ctx context.Context) ([]Event, error)
	// Done tells that events were taken.
	Done(ctx context.Context, events []Event)
	// Live tells how long the rule took to act; ok is whether it is known to.
	Live() (after time.Duration, ok bool)
	// Close removes what was made, and says what is left where it cannot. It may be called again.
	Close(ctx context.Context) error
}

// Event is one event of a bus.
type Event struct {
	// Body is the event in EventBridge's shape, as it came.
	Body []byte
	// Trace is its X-Ray header, "" where it has none.
	Trace string
	// Handle is the session's own.
	Handle string
}

// Swept says what Sweep did: the names of what it removed, and of what is still in use.
type Swept struct{ Rules, Queues, Alive []string }

// Queue is a queue that can be looked into.
type Queue interface {
	Facts() About
	// Look shows at most the given number of messages, in the order in which the queue hands them out, and makes them visible again, also
	// where show fails or ctx ends.
	Look(ctx context.Context, most int, show func(Message) error) (Looked, error)
}

// About is what is known of a queue.
type About struct {
	Name, URL, ARN string
	FIFO           bool
	// Waiting, InFlight and Delayed are approximate numbers of messages.
	Waiting, InFlight, Delayed int
	// MaxReceives is how often a message is received before it is moved to Dead; 0: it never is.
	MaxReceives int
	Dead        string
}

// Message is a message of a queue as it was seen.
type Message struct {
	ID, Body, Group, Dedup, Sequence, Trace, Sender string
	Sent, FirstReceived                             time.Time
	// Receives counts this look too.
	Receives int
	// Attributes are text, those of bytes in base 64.
	Attributes map[string]string
	// Handle is the queue's own.
	Handle string
}

// Looked says what a look did.
type Looked struct {
	// Seen counts messages; Last those whose next receive moves them to the dead-letter queue.
	Seen, Last int
	// Unreleased counts those that could not be made visible: they are within thirty seconds.
	Unreleased int
	// More: there was no time or no room for the rest of the queue.
	More bool
}

var cloud Cloud

// Register names the cloud of this build, from an init function. A second one is a mistake in the build and panics.
func Register(c Cloud) {
	if cloud != nil {
		panic("watch: two clouds in one build")
	}
	cloud = c
}

// ErrNone is the error of a build without a cloud.
var ErrNone = errors.New("this build has no AWS plugins, which bring along what watches buses and queues: add the source sqs to it")

// Registered gives the cloud of this build, or ErrNone.
func Registered() (Cloud, error) {
	if cloud == nil {
		return nil, ErrNone
	}
	return cloud, nil
}
