package project

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/memory"
	"github.com/leatdev/leat/pipeline/table/sqlite"
)

// relayPage is a page of the log: 1,000 events of 560 bytes over 1,000 orders.
func relayPage() []event.Recorded {
	page := make([]event.Recorded, 1000)
	for i := range page {
		data := fmt.Sprintf(`{"order_id":"order-%06d","amount":%d.%02d,"customer":{"name":"Ada Lovelace","city":"London"},"note":"`, i*7919%1000, i%900, i%100)
		envelope := fmt.Sprintf(`{"id":"%036d","source":"shop","detail-type":"OrderCreated","detail":`, i)
		data += strings.Repeat("x", 560-len(envelope)-len(data)-3) + `"}`
		raw := []byte(envelope + data + "}")
		page[i] = event.Recorded{
			Event:  event.Event{ID: fmt.Sprint(i), Type: "OrderCreated", Source: "shop", Raw: raw, Data: raw[len(envelope) : len(raw)-1]},
			Stream: event.Stream{Type: "order", ID: fmt.Sprint(i)}, Revision: 1, Position: int64(i + 1),
		}
	}
	return page
}

var relaySpec = Spec{Table: "orders", Key: fields("order_id", "data.order_id"), Ops: Ops{Add: fields("total", "data.amount"), Set: fields("customer", "data.customer.name")}}

// BenchmarkRelayTable is what a relay does with a page: fold it over the rows of a SQLite table and commit rows and
// checkpoint, synchronous=FULL.
func BenchmarkRelayTable(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		f, err := sqlite.OpenFile(b.Context(), filepath.Join(b.TempDir(), "t.db"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		benchmarkRelay(b, f)
	})
	b.Run("memory", func(b *testing.B) { benchmarkRelay(b, memory.New(memory.Options{})) })
}

func benchmarkRelay(b *testing.B, store table.Store) {
	p, err := Compile([]Spec{relaySpec}, nil)
	if err != nil {
		b.Fatal(err)
	}
	d := p.Def()
	if _, err := store.Ensure(b.Context(), &d, p.Definition(), "r", "l"); err != nil {
		b.Fatal(err)
	}
	page := relayPage()
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		res, err := p.Apply(b.Context(), store, p.All(page), Options{})
		if err != nil || len(res.Failed) > 0 || len(res.Put) < 900 {
			b.Fatal(err, len(res.Put), res.Failed)
		}
		w := &table.Write{Def: &d, Put: res.Put, Checkpoint: &table.Checkpoint{Relay: "r", LogID: "l", From: i, To: i + 1}}
		if err := store.Apply(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(page))/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkFold is the fold alone.
func BenchmarkFold(b *testing.B) {
	p, err := Compile([]Spec{relaySpec}, nil)
	if err != nil {
		b.Fatal(err)
	}
	d := p.Def()
	store := memory.New(memory.Options{})
	if _, err := store.Ensure(b.Context(), &d, p.Definition(), "r", "l"); err != nil {
		b.Fatal(err)
	}
	page := relayPage()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Apply(b.Context(), store, p.All(page), Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(page))/b.Elapsed().Seconds(), "events/s")
}
