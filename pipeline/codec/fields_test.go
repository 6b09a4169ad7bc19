package codec_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
)

func TestFields(t *testing.T) {
	parsed := func(raw string) event.Event { e, _ := decoded(t, raw, event.Auto); return e }
	bridge := parsed(`{"version":"0","id":"e-1","detail-type":"T","source":"s","account":"1","time":"2026-01-02T03:04:05.5Z",` +
		`"region":"r","resources":["a","\u0062"],"detail":{"x":[1]},"replay-name":"again", "more" : null}`)
	changed := bridge
	changed.Changed, changed.Type, changed.Data = true, "U", []byte(`{"y":1}`)
	sent := parsed(`{"source":"s","detail-type":"T","detail":{}}`)
	sent.Metadata = []byte(`{"source":"transport","account":"transport"}`)
	for _, tt := range []struct {
		name string
		e    event.Event
		want pattern.Fields
	}{
		{name: "eventbridge as it came", e: bridge, want: pattern.Fields{
			Version: "0", ID: "e-1", DetailType: "T", Source: "s", Account: "1", Time: "2026-01-02T03:04:05.5Z", Region: "r",
			Resources: []string{"a", "b"}, Detail: []byte(`{"x":[1]}`), Other: []byte(`{"replay-name":"again","more":null}`),
		}},
		{name: "changed", e: changed, want: pattern.Fields{
			Version: "0", ID: "e-1", DetailType: "U", Source: "s", Account: "1", Time: "2026-01-02T03:04:05Z", Region: "r",
			Resources: []string{"a", "b"}, Detail: []byte(`{"y":1}`), Other: []byte(`{"replay-name":"again","more":null}`),
		}},
		{name: "the transport's metadata is no part of it", e: sent, want: pattern.Fields{Source: "s", DetailType: "T", Detail: []byte("{}")}},
		{name: "fields of other types", e: parsed(`{"source":"s","detail-type":"T","account":1,"resources":["a",2],"detail":{}}`), want: pattern.Fields{
			Source: "s", DetailType: "T", Detail: []byte("{}"), Other: []byte(`{"account":1,"resources":["a",2]}`),
		}},
		{name: "cloudevents", e: parsed(`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"x","time":"2026-01-02T03:04:05.9Z","data":{"a":1}}`), want: pattern.Fields{
			Version: "0", ID: "1", Source: "/s", DetailType: "t", Resources: []string{"x"}, Time: "2026-01-02T03:04:05Z", Detail: []byte(`{"a":1}`),
		}},
		{name: "from the log", e: event.Event{ID: "1", Source: "s", Type: "t", Time: time.Unix(0, 0), Metadata: []byte(`{"account":"1","region":"r","resources":["a"]}`)}, want: pattern.Fields{
			Version: "0", ID: "1", Source: "s", DetailType: "t", Account: "1", Region: "r", Time: "1970-01-01T00:00:00Z", Resources: []string{"a"},
		}},
		{name: "plain", e: parsed(`[1]`), want: pattern.Fields{Version: "0", Detail: []byte(`[1]`)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := pattern.Fields{ID: "left over", Resources: []string{"left over"}, Other: []byte("left over")}
			codec.Fields(&tt.e, &got)
			if len(got.Resources) == 0 {
				got.Resources = nil
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestFieldsMatchAsRaw holds that a pattern gives one verdict on an event as it came and on its fields.
func TestFieldsMatchAsRaw(t *testing.T) {
	events := []string{
		`{"version":"0","id":"e-1","detail-type":"T","source":"s","account":"1","time":"2026-01-02T03:04:05Z","region":"r","resources":["a","b"],"detail":{"x":[1]}}`,
		`{"source":"s","detail-type":"U","detail":{"x":2},"replay-name":"again"}`,
		`{"source":"s","detail-type":"U","detail":{},"account":1}`,
		`{"id":null,"time":null,"source":"s","detail-type":"U","detail":{}}`,
		` { "detail" : {"x":"é"} , "detail-type":"T","source":"\u0073" } `,
	}
	for _, text := range []string{
		`{"source":["s"]}`, `{"detail-type":["T"]}`, `{"account":["1"]}`, `{"account":[1]}`, `{"account":[{"exists":false}]}`, `{"resources":["b"]}`,
		`{"time":[{"prefix":"2026"}]}`, `{"replay-name":[{"exists":true}]}`, `{"detail":{"x":[1]}}`, `{"detail":{"x":["é"]}}`, `{"version":["0"]}`, `{"id":[{"exists":false}]}`, `{"id":[null]}`, `{"time":[null]}`,
	} {
		p, err := pattern.CompileString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range events {
			want, err := p.Match([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			e, _ := decoded(t, raw, event.Auto)
			var f pattern.Fields
			codec.Fields(&e, &f)
			if got, err := p.MatchFields(&f); got != want || err != nil {
				t.Errorf("%s on %s: %t, %v; as it came %t", text, raw, got, err, want)
			}
		}
	}
}

func TestFieldsDoNotAllocate(t *testing.T) {
	e, _ := decoded(t, `{"version":"0","id":"e-1","detail-type":"T","source":"s","account":"1","time":"2026-01-02T03:04:05Z","region":"r","resources":["a"],"detail":{}}`, event.Auto)
	var f pattern.Fields
	if n := testing.AllocsPerRun(100, func() { codec.Fields(&e, &f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFields(b *testing.B) {
	e := event.Event{Raw: sample(137)}
	if err := codec.Decode(&e, event.Auto, 0); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var f pattern.Fields
	for b.Loop() {
		codec.Fields(&e, &f)
	}
}
