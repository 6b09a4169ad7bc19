// Package outbox publishes an application's events so that they stand or fall with its own transaction.
//
// An event is a row in the application's own database. PublishAfterCommit writes it inside the caller's transaction: what
// is rolled back was never published, what is committed cannot be lost, and nothing has to be up at that moment but the
// database. Publish writes it in a transaction of its own, at once. A leat pipeline with an `outbox` source moves the
// rows into its log, in their order, and takes them away.
//
//	type OrderPlaced struct{ outbox.Event[Order] }
//
//	publisher := outbox.New(outbox.Postgres(pool), outbox.Options{Source: "shop.orders"})
//	…
//	tx, err := pool.Begin(ctx)
//	// the application's own writes
//	err = publisher.PublishAfterCommit(ctx, outbox.Postgres(tx), OrderPlaced{outbox.Of(order)})
//	err = tx.Commit(ctx)
//
// The table is made by Create, or by the statement that Schema gives.
package outbox
