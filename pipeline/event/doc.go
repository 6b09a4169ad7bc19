// Package event holds what flows through leat: events, batches of them, their outcomes, and the errors by which
// plugins steer. It is the leaf of the import graph: it imports the standard library and Watermill's message, and
// everything else imports it.
package event
