// Command shop is an application that publishes its events: it takes orders into its own SQLite database, and publishes
// each in the transaction that writes it. The last order fails after its event is published; neither is there then.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"

	_ "modernc.org/sqlite"

	"github.com/leatdev/leat/pipeline/outbox"
)

// Order is the payload of the shop's events.
type Order struct {
	ID       string  `json:"order_id"`
	Customer string  `json:"customer"`
	Total    float64 `json:"total"`
}

// OrderPlaced says that an order was taken.
type OrderPlaced struct{ outbox.Event[Order] }

// ShopOpened says that there is a shop.
type ShopOpened struct{ outbox.Event[struct{}] }

func main() {
	path := "shop.db"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	if err := run(context.Background(), os.Stdout, path); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, customer TEXT, total REAL)"); err != nil {
		return err
	}
	if err := outbox.Create(ctx, outbox.SQLite(db), ""); err != nil {
		return err
	}
	s := shop{db, outbox.New(outbox.SQLite(db), outbox.Options{Source: "shop"})}

	// At once, in no transaction of the shop's. The id is given: to open twice is to open once.
	opened := ShopOpened{outbox.Event[struct{}]{Base: outbox.Base{ID: "shop-opened", Subject: "shop"}}}
	if err := s.publisher.Publish(ctx, opened); err != nil {
		return err
	}
	// What one visitor sets off belongs together.
	ctx = outbox.Because(ctx, outbox.Base{ID: "visit-1", User: "ann"})
	for _, o := range []Order{{"o-1", "ann", 120}, {"o-2", "ann", 80.5}, {"o-3", "ann", -1}} {
		if err := s.place(ctx, o); err != nil {
			fmt.Fprintln(out, o.ID, "is not placed:", err)
			continue
		}
		fmt.Fprintln(out, o.ID, "is placed")
	}
	return nil
}

type shop struct {
	db        *sql.DB
	publisher *outbox.Publisher
}

// place writes the order and publishes it, both or neither.
func (s shop) place(ctx context.Context, o Order) (err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (?, ?, ?)", o.ID, o.Customer, o.Total); err != nil {
		return err
	}
	e := OrderPlaced{outbox.Event[Order]{Base: outbox.Base{Subject: "order/" + o.ID, Version: "1"}, Data: o}}
	if err := s.publisher.PublishAfterCommit(ctx, outbox.SQLite(tx), e); err != nil {
		return err
	}
	if o.Total < 0 {
		return errors.New("a total cannot be negative")
	}
	return tx.Commit()
}
