// Package dynamofake is a DynamoDB for tests: an http.Handler that speaks its JSON protocol, for the calls that leat makes.
//
// It keeps the service's rules where a store depends on them: conditions, transactions with their cancellation reasons and
// limits (100 items, 4 MB, no item twice), items of at most 400 KB, consistent and other reads, pages of 1 MB, and it
// counts the capacity that each call would cost. A seeded Plan adds what emulators never do: throttling, transaction
// conflicts, batches that are served in part, answers that never arrive.
//
// Sources: the DynamoDB API reference (API_TransactWriteItems, API_Query), and the developer guide's pages on item sizes
// (CapacityUnitCalculations) and constraints.
package dynamofake
