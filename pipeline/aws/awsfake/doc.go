// Package awsfake is SQS and EventBridge (buses, rules that feed queues, PutEvents) in one process, for tests: the JSON protocols that the AWS SDK
// speaks, over a listener (Cloud is an http.Handler) or without one (Cloud.Transport).
//
// It keeps the rules that emulators leave out (limits of batches, attributes and characters, the lock of a FIFO group,
// receipt handles that are no longer the newest, redrive) and makes the faults that they never make: see Fault and Plan.
// It reads the clock by the time package alone, so within testing/synctest twelve hours of visibility pass at once.
package awsfake
