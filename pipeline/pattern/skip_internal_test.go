package pattern

import (
	"strings"
	"testing"
)

func BenchmarkSkip(b *testing.B) {
	d := `{"metadata":{"correlationId":"a3f1c5d2-9a6e-4a0e-8a77-0f7e0f5c9b1d","causationId":"5b1e9c1e-6a55-4d0e-9f0a-0d8c6f1e2a3b","version":3},` +
		`"orderId":"o-4711","customer":{"id":"c-20817","name":"Ada Lovelace","tier":"gold","email":"ada@example.com","ip":"10.20.30.40"},` +
		`"status":"placed","file":"/srv/incoming/2026/08/orders-4711.csv","quantity":42,"total":1234.5,"currency":"EUR","express":true,"coupon":null,` +
		`"lines":[{"sku":"sku-1","qty":2,"price":10.5},{"sku":"sku-2","qty":1,"price":1213.5}],` +
		`"address":{"street":"12 St James's Square","city":"London","postcode":"SW1Y 4JH","country":"GB"},` +
		`"notes":"leave with the neighbour at number 14 if nobody is at home","tags":["priority","export"]}`
	for _, s := range []string{d, "[" + strings.Repeat(d+",", 200) + "1]"} {
		x := []byte(s + "}         ")
		b.SetBytes(int64(len(s)))
		b.Run("", func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				if skipContainer(x, 0) < 0 {
					b.Fatal()
				}
			}
		})
	}
}
