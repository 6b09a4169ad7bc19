package filter_test

import (
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// order is the event of the peers' benchmark, as the codec gives it.
func order() *event.Recorded {
	return &event.Recorded{Event: event.Event{
		ID: "e-0000001", Source: "shop", Type: "OrderCreated", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Data: []byte(`{"order_id":"o-1","amount":512.5,"sku":"A-1","region":"eu-west"}`),
	}}
}

// big is an event with a list in it.
func big() *event.Recorded {
	return &event.Recorded{Event: event.Event{
		ID: "e-2", Source: "com.example.shop", Type: "OrderCreated",
		Data: []byte(`{"order_id":"o-123456","customer":{"id":"c-42","name":"Zoë Müller","address":{"street":"1 Long Street","city":"London","postcode":"N1 9GU"}},"items":[{"sku":"A-100","qty":2,"price":19.99},{"sku":"B-200","qty":1,"price":5.5},{"sku":"C-300","qty":12,"price":0.99}],"amount":57.36,"currency":"GBP","note":"please leave the parcel with the neighbour if nobody is at home, thank you","tags":["web","returning","newsletter"]}`),
	}}
}

func benchmark(b *testing.B, e *event.Recorded, src string) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile(src, filter.Bool)
	if err != nil {
		b.Fatal(err)
	}
	v := s.NewView()
	b.ReportAllocs()
	for b.Loop() {
		v.Reset(e)
		if ok, err := p.Bool(v); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	b.Run("two-fields", func(b *testing.B) {
		benchmark(b, order(), `type == "OrderCreated" && data.amount > 500`)
	})
	b.Run("text", func(b *testing.B) {
		benchmark(b, order(), `data.sku startsWith "A" && data.region in ["eu-west", "eu-north"]`)
	})
	b.Run("large", func(b *testing.B) {
		benchmark(b, big(), `data.customer.address.city == "London" && data.amount > 50 && data.currency != "EUR"`)
	})
}

func BenchmarkPredicate(b *testing.B) {
	benchmark(b, big(), `any(data.items, .qty > 10 && .sku != "A-100")`)
}

func BenchmarkTemplate(b *testing.B) {
	s := filter.NewScope(filter.Event)
	t, err := s.Template("order/{{ data.order_id }}")
	if err != nil {
		b.Fatal(err)
	}
	v, e, dst := s.NewView(), order(), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		v.Reset(e)
		if dst, err = t.Append(dst[:0], v); err != nil || len(dst) != 9 {
			b.Fatal(err, string(dst))
		}
	}
}

func BenchmarkDecimal(b *testing.B) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile("data.amount", filter.Number)
	if err != nil {
		b.Fatal(err)
	}
	v, e := s.NewView(), order()
	b.ReportAllocs()
	for b.Loop() {
		v.Reset(e)
		if d, err := p.Decimal(v); d == nil || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.NewScope(filter.Event).Compile(`type == "OrderCreated" && data.amount > 500`, filter.Bool); err != nil {
			b.Fatal(err)
		}
	}
}
