package sqs

import "sync/atomic"

// Counts are a source's numbers so far. They may be read at any time.
type Counts struct {
	Receives     atomic.Int64 // calls
	Received     atomic.Int64 // messages, again ones included
	Again        atomic.Int64 // messages that came while they were still in hand
	Deleted      atomic.Int64
	DeleteFailed atomic.Int64 // failed entries and calls, by message; each was tried again
	Undeleted    atomic.Int64 // given up: they come again
	Returned     atomic.Int64
	Extended     atomic.Int64
	Lost         atomic.Int64 // messages whose visibility ended while they were in hand
	Failed       atomic.Int64 // receives that failed
	Receivers    atomic.Int64 // at present
}
