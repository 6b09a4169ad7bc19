package config

import (
	"reflect"
	"time"
)

// Test is one test of a pipeline, on stores in memory and a clock that it moves itself. One that is a single step writes
// the step's keys beside its own.
type Test struct {
	Pos      Pos
	Name     string    `yaml:"name" doc:"what the test shows, in words" example:"small orders are kept, not forwarded"`
	Pipeline string    `yaml:"pipeline,omitempty" doc:"the pipeline under test; may be left out where the files have one only"`
	With     []string  `yaml:"with,omitempty" doc:"further pipelines that run beside it, on the same stores"`
	Skip     string    `yaml:"skip,omitempty" doc:"why the test is not run"`
	At       string    `yaml:"at,omitempty" default:"2026-01-01T00:00:00Z" doc:"the time at which the test starts, RFC 3339"`
	Given    TestGiven `yaml:"given,omitempty" doc:"what is there before the pipeline starts"`
	TestStep `yaml:",inline"`
	Steps    []TestStep `yaml:"steps,omitempty" doc:"several steps, one after another, instead of events, raw, after and expect"`
}

// All gives the steps of the test: those under `steps`, or the one that stands beside its name.
func (t *Test) All() []TestStep {
	if len(t.Steps) > 0 {
		return t.Steps
	}
	one := t.TestStep
	one.Pos, one.Stubs = t.Pos, nil
	return []TestStep{one}
}

// Start gives the time at which the test starts.
func (t *Test) Start() time.Time {
	at, _ := time.Parse(time.RFC3339, t.At) // checked when it was read
	return at.UTC()
}

// Named is a member of a map, in the file's order: a slice of them is written as a map.
type Named[T any] struct {
	Name  string
	Pos   Pos
	Value T
}

func (Named[T]) named() {}

// TestGiven is what is there before the pipeline starts.
type TestGiven struct {
	Streams []Named[[]TestStored] `yaml:"streams,omitempty" doc:"events of streams (type/id), from revision 1 on"`
	Tables  []Named[[]JSON]       `yaml:"tables,omitempty" doc:"rows of tables: maps of columns"`
}

// TestStep is one step of a test: stubs are set, events come in, the clock moves, and what is there then is compared.
type TestStep struct {
	Pos    Pos
	To     string            `yaml:"to,omitempty" doc:"the pipeline that gets the events; default: the one under test"`
	Stubs  []Named[TestStub] `yaml:"stubs,omitempty" doc:"by step: what stands in for handlers, lookups and sinks from here on"`
	Events []TestEvent       `yaml:"events,omitempty" doc:"events that come in, one after another"`
	Raw    []JSON            `yaml:"raw,omitempty" doc:"bodies that come in as they stand: text, or a value that becomes JSON"`
	After  time.Duration     `yaml:"after,omitempty" doc:"how far the clock moves then: retries, back-offs, batches and schedules happen on the way" example:"5m"`
	Expect *TestExpect       `yaml:"expect,omitempty" doc:"what must be there then; lists are exact, maps name what must be in them"`
}

// TestEvent is an event of a test.
type TestEvent struct {
	Pos      Pos
	ID       string `yaml:"id,omitempty" doc:"its id; default: event-1, event-2, …"`
	Type     string `yaml:"type" doc:"its type" example:"OrderCreated"`
	Source   string `yaml:"source,omitempty" default:"test" doc:"its source"`
	Subject  string `yaml:"subject,omitempty" doc:"its subject"`
	Time     string `yaml:"time,omitempty" doc:"its time, RFC 3339; default: the clock's"`
	Data     JSON   `yaml:"data,omitempty" doc:"its payload"`
	Metadata JSON   `yaml:"metadata,omitempty" doc:"what its transport says beside it: a map"`
}

// TestStored is an event that is in a stream already.
type TestStored struct {
	TestEvent `yaml:",inline"`
	Origin    string `yaml:"origin,omitempty" doc:"the pipeline that appended it, or PIPELINE/STEP; default: the one whose events the pipeline under test reads (event_log with one of origins), else none" example:"orders"`
}

// TestStub stands in for a sink, a handler or a lookup.
type TestStub struct {
	Pos    Pos
	Answer JSON      `yaml:"answer,omitempty" doc:"of a lookup: the row, null for none; of a handler: what those whom it asks answer; of one that asks nobody, what goes into the event's data (a map), or the events that it gives (a list)"`
	Fail   *TestFail `yaml:"fail,omitempty" doc:"how it fails"`
}

// TestFail is how a stub fails.
type TestFail struct {
	Times       int           `yaml:"times,omitempty" doc:"calls that fail, then it works; 0: every call"`
	Error       string        `yaml:"error,omitempty" default:"failed by the test" doc:"the error's text"`
	Code        string        `yaml:"code,omitempty" doc:"poisons the event with this code, without another attempt"`
	RetryAfter  time.Duration `yaml:"retry_after,omitempty" doc:"asks for another attempt, not before this time has passed"`
	Unavailable bool          `yaml:"unavailable,omitempty" doc:"the other side is down: nobody's attempt"`
	Hang        bool          `yaml:"hang,omitempty" doc:"gives no answer until the step's time is over"`
	Panic       bool          `yaml:"panic,omitempty" doc:"panics"`
}

// TestExpect is what must be there at the end of a step. What is not named is not looked at, but for poisoned events,
// which must be named, and at the end of the test for events that still wait.
type TestExpect struct {
	Pos       Pos
	Appended  []Named[[]TestRecord] `yaml:"appended,omitempty" doc:"by stream: the events that the step appended; {}: none to any stream"`
	Tables    []Named[[]JSON]       `yaml:"tables,omitempty" doc:"by table: all its rows, in any order"`
	Forwarded []Named[[]TestRecord] `yaml:"forwarded,omitempty" doc:"by relay: the events that the step forwarded; {}: none anywhere"`
	Committed TestCount             `yaml:"committed,omitempty" doc:"source events of which something was appended: their number or their ids"`
	Delivered TestCount             `yaml:"delivered,omitempty" doc:"source events that every sink has, of a pipeline without a log: number or ids"`
	Filtered  TestCount             `yaml:"filtered,omitempty" doc:"source events that were not wanted: number or ids"`
	Duplicate TestCount             `yaml:"duplicate,omitempty" doc:"source events that had come before: number or ids"`
	Dropped   TestCount             `yaml:"dropped,omitempty" doc:"source events that a step said to drop: number or ids"`
	Unrouted  TestCount             `yaml:"unrouted,omitempty" doc:"events that no case of a branch took; they count as filtered too: their number"`
	Waiting   TestCount             `yaml:"waiting,omitempty" doc:"source events that still have no outcome, as they wait for another attempt: number or ids"`
	Poisoned  []TestPoisoned        `yaml:"poisoned,omitempty" doc:"events that were parked, in the intake and in relays"`
}

// TestRecord is an event that is expected: the fields that it names.
type TestRecord struct {
	Pos      Pos
	ID       JSON `yaml:"id,omitempty" doc:"its id"`
	Type     JSON `yaml:"type,omitempty" doc:"its type"`
	Source   JSON `yaml:"source,omitempty" doc:"its source"`
	Subject  JSON `yaml:"subject,omitempty" doc:"its subject"`
	Time     JSON `yaml:"time,omitempty" doc:"its time"`
	Data     JSON `yaml:"data,omitempty" doc:"its payload, or some of it"`
	Metadata JSON `yaml:"metadata,omitempty" doc:"some of its metadata"`
	Body     JSON `yaml:"body,omitempty" doc:"of a forwarded event: what leaves, in its envelope"`
	Revision JSON `yaml:"revision,omitempty" doc:"its revision in its stream"`
}

// TestPoisoned is a parked event that is expected: the fields that it names.
type TestPoisoned struct {
	Pos    Pos
	Code   string `yaml:"code,omitempty" doc:"the kind of failure"`
	Step   string `yaml:"step,omitempty" doc:"the step that failed, or the relay"`
	Reason string `yaml:"reason,omitempty" doc:"a part of the reason"`
	ID     string `yaml:"id,omitempty" doc:"the event's id"`
	Type   string `yaml:"type,omitempty" doc:"the event's type"`
	State  string `yaml:"state,omitempty" enum:"parked,held" doc:"parked: it failed; held: it waits behind one that did"`
}

// TestCount is a number of events, or their ids in any order.
type TestCount struct {
	Pos   Pos
	Given bool
	N     int
	IDs   []string // nil: only the number counts
}

var typeTestCount = reflect.TypeFor[TestCount]()
