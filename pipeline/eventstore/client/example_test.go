package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/client/notify"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// exampleDaemon stands for `leat run` of a file with a server and a store.
func exampleDaemon() (url string, stop func()) {
	st := memory.Open(memory.Options{})
	s := admin.New(admin.Options{})
	s.Attach(&admin.Daemon{Store: func(string) (eventstore.Store, bool) { return st, true }})
	srv := httptest.NewServer(s)
	return srv.URL, func() { srv.Close(); _ = st.Close() }
}

// What eshttp's CreateStream, AppendEvent, GetStreamDetails and GetEvents do in serverless-event-store. That client
// works against leat too, with another base URL; this one says which revision stood in the way, repeats what was lost, and
// reads on over pages by itself.
func Example() {
	url, stop := exampleDaemon()
	defer stop()
	ctx := context.Background()
	c, err := client.Connect(url, "main") // client.WithKey(os.Getenv("LEAT_API_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	// eshttp: CreateStream(ctx, "order", NewEsEvent{…}). The id is the caller's here.
	order := event.Stream{Type: "order", ID: "a0c59af3-2045-4e5e-87d9-5e30b6ed8c62"}
	if _, err := c.Append(ctx, order, wire.Append{Expect: "no_stream", Events: []wire.Event{{Type: "OrderPlaced", Data: json.RawMessage(`{"total":12.50}`)}}}); err != nil {
		log.Fatal(err)
	}
	// eshttp: AppendEvent(ctx, "order", id, 2, …). Expected is the revision that is there: one less than that to be written.
	done, err := c.Append(ctx, order, wire.Append{Expect: "1", Events: []wire.Event{{Type: "OrderPaid"}}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("at revision", done.Last)

	// eshttp: *eshttp.Error with StatusCode 409.
	_, err = c.Append(ctx, order, wire.Append{Expect: "1", Events: []wire.Event{{Type: "OrderShipped"}}})
	var conflict *client.ConflictError
	if errors.As(err, &conflict) {
		fmt.Println("conflict: it is at", conflict.Actual)
	}

	// eshttp: GetEvents(ctx, "order", id, 0).
	for e, err := range c.ReadStream(ctx, order, eventstore.ReadOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Revision, e.Type, string(e.Data))
	}
	// Output:
	// at revision 2
	// conflict: it is at 2
	// 1 OrderPlaced {"total":12.50}
	// 2 OrderPaid null
}

// Several streams at once: all of it is written, or nothing.
func ExampleClient_AppendAll() {
	url, stop := exampleDaemon()
	defer stop()
	c, err := client.Connect(url, "main")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	done, err := c.AppendAll(context.Background(),
		wire.AppendTo{Stream: "account/a", Expect: "any", Events: []wire.Event{{Type: "Withdrawn"}}},
		wire.AppendTo{Stream: "account/b", Expect: "no_stream", Events: []wire.Event{{Type: "Opened"}, {Type: "Deposited"}}},
	)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range done {
		fmt.Println(a.Stream, a.Last)
	}
	// Output:
	// account/a 1
	// account/b 2
}

// A subscription gives what there is and then what comes, page by page, and connects again by itself. Keep Through with
// what you have done, and start behind it the next time.
func ExampleClient_Subscribe() {
	url, stop := exampleDaemon()
	defer stop()
	ctx := context.Background()
	c, err := client.Connect(url, "main")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Append(ctx, event.Stream{Type: "order", ID: "1"}, wire.Append{Events: []wire.Event{{Type: "OrderPlaced"}, {Type: "OrderPaid"}}}); err != nil {
		log.Fatal(err)
	}
	for page, err := range c.Subscribe(ctx, eventstore.SubscribeOptions{Filter: eventstore.Filter{Types: []string{"OrderPaid"}}}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range page.Events {
			fmt.Println(e.Position, e.Type)
		}
		if page.Through == page.Head {
			break
		}
	}
	// Output:
	// 2 OrderPaid
}

// What essqs' ReceiveNotifications and AcknowledgeNotification do in serverless-event-store.
func Example_notifications() {
	follow := func(ctx context.Context, c *client.Client, revisions map[event.Stream]int64) error {
		r, err := notify.Open(ctx, notify.Config{Queue: "orders-changed"})
		if err != nil {
			return err
		}
		defer r.Close()
		for d, err := range r.All(ctx) {
			if err != nil {
				log.Print(err) // the queue; reading goes on
				continue
			}
			if d.Err != nil {
				log.Printf("passed over: %s", d.Body)
				continue
			}
			// Notifications come at least once and in any order: read behind what is known.
			for e, err := range c.ReadStream(ctx, d.Stream(), eventstore.ReadOptions{From: revisions[d.Stream()] + 1}) {
				if err != nil {
					return err
				}
				revisions[d.Stream()] = e.Revision
			}
			if err := r.Acknowledge(ctx, d); err != nil {
				log.Print(err)
			}
		}
		return ctx.Err()
	}
	_ = follow
}
