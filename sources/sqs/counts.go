package sqs

import (
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/metric"
)

// Counts are a source's numbers so far. They may be read at any time.
type Counts struct {
	Calls        atomic.Int64 // of the API, all of them
	Receives     atomic.Int64 // calls
	Received     atomic.Int64 // messages, again ones included
	Again        atomic.Int64 // messages that came while they were still in hand
	Last         atomic.Int64 // messages that came for the last time and were parked
	Deleted      atomic.Int64
	DeleteFailed atomic.Int64 // failed entries and calls, by message; each was tried again
	Undeleted    atomic.Int64 // given up: they come again
	Returned     atomic.Int64
	Extended     atomic.Int64
	Lost         atomic.Int64 // messages whose visibility ended while they were in hand
	Failed       atomic.Int64 // receives that failed
	Receivers    atomic.Int64 // at present
}

// show names the numbers to the daemon.
func (s *Source) show(r metric.Registry) {
	c := &s.counts
	for _, n := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"sqs_calls_total", "Calls to SQS.", &c.Calls},
		{"sqs_messages_received_total", "Messages received, those that came again included.", &c.Received},
		{"sqs_messages_again_total", "Messages that came again while they were still in hand.", &c.Again},
		{"sqs_messages_last_total", "Messages parked because they came for the last time before the queue's dead-letter queue.", &c.Last},
		{"sqs_messages_deleted_total", "Messages deleted.", &c.Deleted},
		{"sqs_delete_failures_total", "Messages whose delete failed once; it was tried again.", &c.DeleteFailed},
		{"sqs_undeleted_total", "Settled messages that could not be deleted; they come again and are duplicates.", &c.Undeleted},
		{"sqs_messages_returned_total", "Messages given back to the queue.", &c.Returned},
		{"sqs_visibility_extended_total", "Extensions of messages' visibility.", &c.Extended},
		{"sqs_handles_lost_total", "Messages that became visible while they were in hand.", &c.Lost},
		{"sqs_receive_failures_total", "Receives that failed.", &c.Failed},
	} {
		metric.Counter(r, n.name, n.help, n.value.Load)
	}
	metric.Gauge(r, "sqs_receivers", "Receives under way.", c.Receivers.Load)
	metric.Gauge(r, "sqs_messages_in_flight", "Messages received and neither deleted nor given back.", func() int64 {
		s.hand.mu.Lock()
		defer s.hand.mu.Unlock()
		return int64(len(s.hand.held))
	})
}
