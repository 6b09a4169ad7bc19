package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
)

func sample(size int) []byte {
	head := `{"id":"e-0000001","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-000017","amount":501.25,"note":"`
	tail := `"}}`
	return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	e := event.Event{Raw: sample(137)}
	if n := testing.AllocsPerRun(100, func() {
		if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
			t.Fatal(err)
		}
		codec.FillMetadata(&e)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	withTime := []byte(strings.Replace(string(sample(137)), `"detail"`, `"time":"2026-01-02T03:04:05Z","detail"`, 1))
	rows := map[string][]byte{"137": sample(137), "1024": sample(1024), "137+time": withTime,
		"cloudevents": []byte(`{"specversion":"1.0","id":"1","source":"/shop","type":"OrderCreated","data":{"order_id":"o-1","amount":501.25}}`),
		"plain":       []byte(`{"order_id":"o-1","amount":501.25,"customer":{"name":"x"}}`),
		"sns":         []byte(sns(string(sample(137))))}
	for name, raw := range rows {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			e := event.Event{Raw: raw}
			for b.Loop() {
				if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, as := range []event.Envelope{event.Received, event.EventBridge, event.CloudEvents, event.DataOnly} {
		b.Run(fmt.Sprint(as), func(b *testing.B) {
			b.ReportAllocs()
			e := event.Event{Raw: sample(560)}
			if err := codec.Decode(&e, event.Auto, 0); err != nil {
				b.Fatal(err)
			}
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = codec.Encode(buf[:0], &e, as); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
