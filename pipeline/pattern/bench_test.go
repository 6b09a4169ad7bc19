package pattern_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
)

// benchEvent is an EventBridge event of about 1 KB.
const benchEvent = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"OrderPlaced","source":"shop.orders",` +
	`"account":"123456789012","time":"2026-08-20T09:12:33Z","region":"eu-west-1","resources":["arn:aws:s3:::orders/2026/08/20/4711"],` +
	`"detail":{"metadata":{"correlationId":"a3f1c5d2-9a6e-4a0e-8a77-0f7e0f5c9b1d","causationId":"5b1e9c1e-6a55-4d0e-9f0a-0d8c6f1e2a3b","version":3},` +
	`"orderId":"o-4711","customer":{"id":"c-20817","name":"Ada Lovelace","tier":"gold","email":"ada@example.com","ip":"10.20.30.40"},` +
	`"status":"placed","file":"/srv/incoming/2026/08/orders-4711.csv","quantity":42,"total":1234.5,"currency":"EUR","express":true,"coupon":null,` +
	`"lines":[{"sku":"sku-1","qty":2,"price":10.5},{"sku":"sku-2","qty":1,"price":1213.5}],` +
	`"address":{"street":"12 St James's Square","city":"London","postcode":"SW1Y 4JH","country":"GB"},` +
	`"notes":"leave with the neighbour at number 14 if nobody is at home, and ring twice, as the bell of the house is old and does not always sound","tags":["priority","export"]}}`

// operators maps what is measured to the pattern number i of it; number 7 and few others match benchEvent.
var operators = []struct {
	name string
	make func(i int) string
}{
	{"source-and-type", func(i int) string {
		if i == 7 {
			return `{"source":["shop.orders"],"detail-type":["OrderPlaced"]}`
		}
		return fmt.Sprintf(`{"source":["shop.%d"],"detail-type":["OrderPlaced"]}`, i)
	}},
	{"exact-3-fields", func(i int) string {
		if i == 7 {
			return `{"source":["shop.orders"],"detail-type":["OrderPlaced"],"detail":{"status":["placed"]}}`
		}
		return fmt.Sprintf(`{"source":["shop.orders"],"detail-type":["OrderPlaced"],"detail":{"status":["status-%d"]}}`, i)
	}},
	{"exact", field("status", `"placed"`, `"placed-%d"`)},
	{"exact-number", field("quantity", `42`, `10%04d`)},
	{"prefix", field("file", `{"prefix":"/srv/incoming/"}`, `{"prefix":"/srv/incoming-%d/"}`)},
	{"prefix-ignore-case", field("file", `{"prefix":{"equals-ignore-case":"/SRV/incoming/"}}`, `{"prefix":{"equals-ignore-case":"/SRV/incoming-%d/"}}`)},
	{"suffix", field("file", `{"suffix":"4711.csv"}`, `{"suffix":"-%d.csv"}`)},
	{"suffix-ignore-case", field("file", `{"suffix":{"equals-ignore-case":"4711.CSV"}}`, `{"suffix":{"equals-ignore-case":"-%d.CSV"}}`)},
	{"equals-ignore-case", field("status", `{"equals-ignore-case":"PLACED"}`, `{"equals-ignore-case":"PLACED-%d"}`)},
	{"anything-but", field("status", `{"anything-but":["held"]}`, `{"anything-but":["held-%d","gone"]}`)},
	{"anything-but-prefix", field("file", `{"anything-but":{"prefix":"/tmp"}}`, `{"anything-but":{"prefix":"/tmp-%d"}}`)},
	{"anything-but-wildcard", field("file", `{"anything-but":{"wildcard":"*/tmp/*"}}`, `{"anything-but":{"wildcard":"*/tmp-%d/*"}}`)},
	{"numeric", field("quantity", `{"numeric":[">=",40,"<",50]}`, `{"numeric":[">=",1%04d,"<",1%04[1]d.5]}`)},
	{"cidr", field("customer\":{\"ip", `{"cidr":"10.20.30.0/24"}`, `{"cidr":"10.21.%d.0/24"}`)},
	{"exists", func(i int) string {
		if i == 7 {
			return `{"detail":{"coupon":[{"exists":true}]}}`
		}
		return fmt.Sprintf(`{"detail":{"coupon-%d":[{"exists":true}]}}`, i)
	}},
	{"not-exists", func(i int) string {
		if i == 7 {
			return `{"detail":{"refund":[{"exists":false}],"status":["placed"]}}`
		}
		return fmt.Sprintf(`{"detail":{"refund":[{"exists":false}],"status":["placed-%d"]}}`, i)
	}},
	{"wildcard", field("file", `{"wildcard":"/srv/*/2026/*-4711.csv"}`, `{"wildcard":"/srv/*/2026/*-%d.csv"}`)},
	{"wildcard-inner", field("file", `{"wildcard":"*/incoming/2026*"}`, `{"wildcard":"*/incoming-%d/2026*"}`)},
	{"or", func(i int) string {
		if i == 7 {
			return `{"detail":{"$or":[{"status":["placed"]},{"quantity":[{"numeric":["<",0]}]}]}}`
		}
		return fmt.Sprintf(`{"detail":{"$or":[{"status":["placed-%d"]},{"quantity":[{"numeric":["<",-%[1]d]}]}]}}`, i+1)
	}},
	{"array", func(i int) string {
		if i == 7 {
			return `{"detail":{"lines":{"sku":["sku-2"],"qty":[1]}}}`
		}
		return fmt.Sprintf(`{"detail":{"lines":{"sku":["sku-%d"],"qty":[1]}}}`, i+10)
	}},
	{"mix", func(i int) string {
		if i == 7 {
			return `{"detail":{"file":[{"prefix":"/srv/incoming/"}],"status":[{"anything-but":["held"]}],"coupon":[{"exists":true}]}}`
		}
		return fmt.Sprintf(`{"detail":{"file":[{"prefix":"/srv/incoming-%d/"}],"status":[{"anything-but":["held-%[1]d"]}],"coupon":[{"exists":true}]}}`, i)
	}},
}

func field(name, match, other string) func(int) string {
	return func(i int) string {
		value := match
		if i != 7 {
			value = fmt.Sprintf(other, i%256)
			if i >= 256 {
				value = fmt.Sprintf(other, i)
			}
			if name == "customer\":{\"ip" {
				value = fmt.Sprintf(`{"cidr":"10.%d.%d.0/24"}`, 21+i/256, i%256)
			}
		}
		closing := "}}"
		if name == "customer\":{\"ip" {
			closing = "}}}"
		}
		return `{"detail":{"` + name + `":[` + value + `]` + closing
	}
}

func benchSet(tb testing.TB, n int, text func(int) string) *pattern.Set[int] {
	set := pattern.NewSet[int]()
	for i := range n {
		k := i
		if n == 1 {
			k = 7
		}
		if _, err := set.Add([]byte(text(k)), k); err != nil {
			tb.Fatalf("%s: %v", text(k), err)
		}
	}
	return set
}

func BenchmarkSet(b *testing.B) {
	event := []byte(benchEvent)
	for _, op := range operators {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/n=%d", op.name, n), func(b *testing.B) {
				set := benchSet(b, n, op.make)
				var dst []int
				dst, err := set.AppendMatches(dst, event)
				if err != nil || len(dst) == 0 {
					b.Fatalf("%d matches, %v", len(dst), err)
				}
				b.ReportAllocs()
				b.SetBytes(int64(len(event)))
				for b.Loop() {
					dst, _ = set.AppendMatches(dst[:0], event)
				}
				b.ReportMetric(float64(len(dst)), "matches")
				rate(b)
			})
		}
	}
}

func rate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkMatch(b *testing.B) {
	event := []byte(benchEvent)
	for _, op := range operators {
		for _, which := range []struct {
			name string
			i    int
		}{{"match", 7}, {"miss", 8}} {
			b.Run(op.name+"/"+which.name, func(b *testing.B) {
				p, err := pattern.CompileString(op.make(which.i))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Match(event); err != nil {
						b.Fatal(err)
					}
				}
				rate(b)
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, op := range operators {
		b.Run(op.name, func(b *testing.B) {
			text := []byte(op.make(7))
			for b.Loop() {
				if _, err := pattern.Compile(text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "patterns/s")
		})
	}
}

// BenchmarkMatchFields is the engine's path: the envelope is taken apart already.
func BenchmarkMatchFields(b *testing.B) {
	f, ok := fieldsOf([]byte(benchEvent))
	if !ok {
		b.Fatal("the event has no plain envelope")
	}
	for _, op := range operators[:3] {
		for which, i := range map[string]int{"match": 7, "miss": 8} {
			b.Run(op.name+"/"+which, func(b *testing.B) {
				p, err := pattern.CompileString(op.make(i))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.MatchFields(&f); err != nil {
						b.Fatal(err)
					}
				}
				rate(b)
			})
		}
	}
}

// BenchmarkLarge matches an event of 256 KiB.
func BenchmarkLarge(b *testing.B) {
	line := `{"sku":"sku-4711","name":"a \"quoted\" name","quantity":3,"price":{"amount":12.50,"currency":"EUR"},"tags":["a","b"]},`
	event := []byte(`{"detail-type":"OrderPlaced","source":"shop.orders","account":"123456789012","detail":{"lines":[` +
		strings.Repeat(line, 256<<10/len(line)) + `{}],"status":"placed"}}`)
	for _, tt := range []struct{ name, text string }{
		{"decided-first", `{"source":["shop.orders"],"detail-type":["OrderPlaced"]}`},
		{"decided-last", `{"source":["shop.orders"],"detail":{"status":["placed"]}}`},
		{"miss", `{"source":["shop.other"]}`},
		{"every-line", `{"detail":{"lines":{"sku":["sku-1"],"quantity":[3]}}}`},
	} {
		b.Run(tt.name, func(b *testing.B) {
			p, err := pattern.CompileString(tt.text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if _, err := p.Match(event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSetMemory reports what a set of 100,000 patterns of the mix takes.
func BenchmarkSetMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		set := benchSet(b, 100_000, operators[len(operators)-1].make)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(set)
	}
}
