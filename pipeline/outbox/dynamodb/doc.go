// Package dynamodb publishes an application's events in its own DynamoDB transactions: TransactWriteItems.
//
// The events are the same as those of package outbox, and so are the four verbs. A row for each event goes into the
// caller's own transaction, beside what it writes in tables of its own: what is cancelled was never published, what is
// committed cannot be lost. The table of the rows is that of a leat store (`stores: { main: { dynamodb: … } }`), in the
// same region and account; a pipeline with the source `outbox: {}` on that store moves them into its log, and takes each
// away in the transaction that appends its event.
//
//	publisher := dynamodb.New(client, outbox.Options{Table: "leat", Source: "shop"})
//	…
//	in := &sdk.TransactWriteItemsInput{TransactItems: …} // the application's own writes
//	err := publisher.PublishAfterCommit(ctx, in, OrderPlaced{outbox.Of(order)})
//	_, err = client.TransactWriteItems(ctx, in)
//
// Rows are read in the order of their ids, which are made of the clock when an item is made. What one publisher makes
// one after another is in that order whatever the clock does. Where several processes change one thing in turn, their
// clocks decide, unless the application keeps Last beside the thing, in the same transaction, and gives it to After the
// next time: then the order is exact.
//
// A row costs two write units for each KB, and as many to take it away; one partition holds them all, which is good for
// about 250 events of 1 KB a second.
package dynamodb
