package file

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

// BenchmarkRead reads a file of 137-byte events to its end, through the channel, and settles each batch.
func BenchmarkRead(b *testing.B) {
	line := []byte(`{"id":"e-0000001","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-000017","amount":501.25,"note":"xxxxxxxxxxxxxx"}}` + "\n")
	const events = 200_000
	path := filepath.Join(b.TempDir(), "in")
	if err := os.WriteFile(path, bytes.Repeat(line, events), 0o600); err != nil {
		b.Fatal(err)
	}
	env := newPlaces().env()
	env.MaxEvents, env.MaxEventSize = 1000, 1<<20
	b.SetBytes(int64(len(line)) * events)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(b.Context(), Config{Path: []string{path}}, env)
		if err != nil {
			b.Fatal(err)
		}
		msgs, err := s.Subscribe(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for m := range msgs {
			batch := event.FromMessage(m)
			n += len(batch.Events)
			for i := range batch.Events {
				batch.Settle(i, event.Filtered, nil)
			}
		}
		if n != events {
			b.Fatalf("%d events", n)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}

// BenchmarkSplit is the splitter alone.
func BenchmarkSplit(b *testing.B) {
	text := strings.Repeat(strings.Repeat("x", 136)+"\n", 100_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		sp := newSplitter(strings.NewReader(text), sources.Env{MaxEvents: 1000, MaxBytes: 1 << 20, MaxEventSize: 1 << 20}, newIdentity("", nil), 0)
		sp.fill = true
		for {
			p, err := sp.next(true)
			if err != nil {
				break
			}
			p.done()
		}
		sp.close()
	}
}
