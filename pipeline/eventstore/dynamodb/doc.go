// Package dynamodb is leat's event store in one DynamoDB table. Several daemons may append to one log.
//
// A commit is one TransactWriteItems: an item for each event in the log, and one for the head of each stream. The item of
// the log's next position must not be there yet: that condition alone puts all writers into one order, so that
// positions are dense and whoever sees an event sees all before it. Whoever loses the race reads what came, judges
// again and comes again. Units of concurrent callers of one process share transactions: up to 49 events of as many
// streams for one call.
//
// The table's items, by partition key:
//
//	L#<position / 10000>      the log; sort key: the position
//	S<n>#<type>#<id>          a stream; 0: its head with the places of its last events, revision: those of earlier ones
//	T                         the types of streams
//	I#<pipeline>              its inbox marks
//	C#<pipeline>              its cursors
//	D#<kind>                  documents: relays, leases, replicas, parked events, what is known of tables
//	W#<table>#<version>       a table's rows
//	J#<journal>               rows of a write that is larger than a transaction
//	P                         pieces of large payloads of parked events
//	O                         the outbox
//
// A store may share a serverless-event-store's table with that system's Lambda. The items above stay in leat's table; an
// append to a stream that the Lambda can have also writes the Lambda's two items, in the same transaction and under the
// Lambda's own condition, and what the Lambda appends is taken into the log, each revision once and behind the one below
// it. The shared table's items, by PK and SK:
//
//	<stream id> 0             the head: RecordType, StreamType, StreamRevision, UpdatedAt
//	<stream id> <revision>    an event: RecordType, EventType, Payload, CreatedAt
//
// Reads are consistent; a reader of the log stops at a hole and comes again. Only the list of streams is read by an
// index, streams, which may lag behind by moments.
package dynamodb
