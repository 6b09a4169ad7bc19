package bench

import (
	"fmt"
	"testing"

	"quamina.net/go/quamina"

	"github.com/leatdev/leat/pipeline/pattern"
)

// event is that of the benchmarks beside package pattern: about 1 KB, as EventBridge writes it.
const event = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"OrderPlaced","source":"shop.orders",` +
	`"account":"123456789012","time":"2026-08-20T09:12:33Z","region":"eu-west-1","resources":["arn:aws:s3:::orders/2026/08/20/4711"],` +
	`"detail":{"metadata":{"correlationId":"a3f1c5d2-9a6e-4a0e-8a77-0f7e0f5c9b1d","causationId":"5b1e9c1e-6a55-4d0e-9f0a-0d8c6f1e2a3b","version":3},` +
	`"orderId":"o-4711","customer":{"id":"c-20817","name":"Ada Lovelace","tier":"gold","email":"ada@example.com","ip":"10.20.30.40"},` +
	`"status":"placed","file":"/srv/incoming/2026/08/orders-4711.csv","quantity":42,"total":1234.5,"currency":"EUR","express":true,"coupon":null,` +
	`"lines":[{"sku":"sku-1","qty":2,"price":10.5},{"sku":"sku-2","qty":1,"price":1213.5}],` +
	`"address":{"street":"12 St James's Square","city":"London","postcode":"SW1Y 4JH","country":"GB"},` +
	`"notes":"leave with the neighbour at number 14 if nobody is at home, and ring twice, as the bell of the house is old and does not always sound","tags":["priority","export"]}}`

var raw = []byte(event)

// shapes are patterns that both take; number 0 matches the event, and of the rest none does.
var shapes = []struct{ name, match, other string }{
	{
		"source-and-type",
		`{"source":["shop.orders"],"detail-type":["OrderPlaced"]}`,
		`{"source":["shop.%d"],"detail-type":["OrderPlaced"]}`,
	},
	{
		"exact-3-fields",
		`{"source":["shop.orders"],"detail-type":["OrderPlaced"],"detail":{"status":["placed"]}}`,
		`{"source":["shop.orders"],"detail-type":["OrderPlaced"],"detail":{"status":["status-%d"]}}`,
	},
	{
		"prefix",
		`{"detail":{"file":[{"prefix":"/srv/incoming/"}]}}`,
		`{"detail":{"file":[{"prefix":"/srv/incoming-%d/"}]}}`,
	},
	{
		"exists",
		`{"detail":{"coupon":[{"exists":true}]}}`,
		`{"detail":{"coupon-%d":[{"exists":true}]}}`,
	},
	{
		"mix",
		`{"detail":{"file":[{"prefix":"/srv/incoming/"}],"status":[{"anything-but":["held"]}],"coupon":[{"exists":true}]}}`,
		`{"detail":{"file":[{"prefix":"/srv/incoming-%d/"}],"status":[{"anything-but":["held"]}],"coupon":[{"exists":true}]}}`,
	},
}

func patterns(n, shape int) []string {
	texts := []string{shapes[shape].match}
	for i := 1; i < n; i++ {
		texts = append(texts, fmt.Sprintf(shapes[shape].other, i))
	}
	return texts
}

// BenchmarkMatch matches the event against n patterns of one shape.
func BenchmarkMatch(b *testing.B) {
	for shape := range shapes {
		for _, n := range []int{1, 100, 1000} {
			name := fmt.Sprintf("%s/n=%d", shapes[shape].name, n)
			b.Run(name+"/leat", func(b *testing.B) {
				set := pattern.NewSet[int]()
				for i, text := range patterns(n, shape) {
					if _, err := set.Add([]byte(text), i); err != nil {
						b.Fatal(err)
					}
				}
				var dst []int
				run(b, func() (int, error) {
					var err error
					dst, err = set.AppendMatches(dst[:0], raw)
					return len(dst), err
				})
			})
			b.Run(name+"/quamina", func(b *testing.B) {
				q, err := quamina.New()
				if err != nil {
					b.Fatal(err)
				}
				for i, text := range patterns(n, shape) {
					if err := q.AddPattern(i, text); err != nil {
						b.Fatal(err)
					}
				}
				run(b, func() (int, error) {
					found, err := q.MatchesForEvent(raw)
					return len(found), err
				})
			})
		}
	}
}

func run(b *testing.B, match func() (int, error)) {
	b.ReportAllocs()
	for b.Loop() {
		if n, err := match(); err != nil || n != 1 {
			b.Fatalf("%d matches, %v; want 1", n, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAdd adds 1,000 patterns to an empty matcher.
func BenchmarkAdd(b *testing.B) {
	const n = 1000
	texts := patterns(n, len(shapes)-1)
	b.Run("leat", func(b *testing.B) {
		for b.Loop() {
			set := pattern.NewSet[int]()
			for i, text := range texts {
				if _, err := set.Add([]byte(text), i); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "patterns/s")
	})
	b.Run("quamina", func(b *testing.B) {
		for b.Loop() {
			q, err := quamina.New()
			if err != nil {
				b.Fatal(err)
			}
			for i, text := range texts {
				if err := q.AddPattern(i, text); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "patterns/s")
	})
}
