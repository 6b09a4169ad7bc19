package message

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks/sinktest"
)

func expr(s string) config.Expr { return config.Expr{Source: s} }

func TestMessage(t *testing.T) {
	const parent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
	standard := []Attribute{{"id", "e-000001"}, {"source", "sinktest"}, {"type", "Tested"}}
	body := string(sinktest.Events(1, 1)[0].Raw)
	traced := func(e *event.Recorded) {
		e.SetMeta("traceparent", parent)
		e.SetMeta("tracestate", "v=1")
	}
	many := map[string]config.Expr{}
	for i := range maxAttributes {
		many[string(rune('a'+i))] = expr("'x'")
	}
	for _, tt := range []struct {
		name   string
		config Config
		change func(*event.Recorded)
		most   int
		want   Message
		bad    string // the code of its poison
	}{
		{name: "standard", want: Message{Attributes: standard}},
		{name: "grouped", config: Config{Group: expr("metadata.tenant")}, change: func(e *event.Recorded) { e.SetMeta("tenant", "acme") }, want: Message{Attributes: standard, Group: "acme"}},
		{name: "grouped by nothing", config: Config{Group: expr("metadata.tenant")}, want: Message{Attributes: standard}},
		{name: "attributes", config: Config{Attributes: map[string]config.Expr{"n": expr("data.n + 1"), "s": expr("stream"), "none": expr("subject"), "big": expr("data.n > 0")}},
			want: Message{Attributes: []Attribute{{"big", "true"}, {"n", "2"}, {"s", "test/1"}}}},
		{name: "no stream", config: Config{Attributes: map[string]config.Expr{"s": expr("stream")}}, change: func(e *event.Recorded) { e.Stream = event.Stream{} }},
		{name: "watermill", config: Config{Watermill: true, Attributes: map[string]config.Expr{}}, want: Message{Attributes: []Attribute{{WatermillUUID, "e-000001"}}}},
		{name: "fifo", config: Config{FIFO: true}, want: Message{Attributes: standard, Group: "test/1", Dedup: "e-000001"}},
		{name: "fifo by expressions", config: Config{FIFO: true, Group: expr(`"t" + string(data.n)`), Deduplication: expr("data.n")}, want: Message{Attributes: standard, Group: "t1", Dedup: "1"}},
		{name: "fifo without a stream", config: Config{FIFO: true}, change: func(e *event.Recorded) { e.Stream = event.Stream{} }, want: Message{Attributes: standard, Group: "sinktest", Dedup: "e-000001"}},
		{name: "names that no service takes", config: Config{FIFO: true, Attributes: map[string]config.Expr{}}, change: func(e *event.Recorded) { e.ID, e.Stream.ID = "é", strings.Repeat("x", 128) },
			want: Message{Group: Digest("test/" + strings.Repeat("x", 128)), Dedup: Digest("é")}},
		{name: "no id", config: Config{FIFO: true, Attributes: map[string]config.Expr{}}, change: func(e *event.Recorded) { e.ID = "" }, want: Message{Group: "test/1", Dedup: Digest(body)}},

		{name: "subject", config: Config{Subject: config.Text{Source: "{{ type }} of {{ metadata.tenant }}"}}, change: func(e *event.Recorded) { e.SetMeta("tenant", "acme") },
			want: Message{Attributes: standard, Subject: "Tested of acme"}},
		{name: "empty subject", config: Config{Subject: config.Text{Source: "{{ subject }}"}}, want: Message{Attributes: standard}},
		{name: "long subject", config: Config{Subject: config.Text{Source: strings.Repeat("x", 101)}}, bad: event.CodeMalformed},
		{name: "subject that begins with a space", config: Config{Subject: config.Text{Source: " x"}}, bad: event.CodeMalformed},
		{name: "subject of lines", config: Config{Subject: config.Text{Source: "a\nb"}}, bad: event.CodeMalformed},

		{name: "trace", config: Config{Attributes: map[string]config.Expr{"id": expr("id")}}, change: traced,
			want: Message{Attributes: []Attribute{{"id", "e-000001"}, {"traceparent", parent}, {"tracestate", "v=1"}}}},
		{name: "trace of the config", config: Config{Attributes: map[string]config.Expr{"traceparent": expr("'mine'")}}, change: traced,
			want: Message{Attributes: []Attribute{{"traceparent", "mine"}, {"tracestate", "v=1"}}}},
		{name: "no bytes for a trace", config: Config{Attributes: map[string]config.Expr{}}, change: traced, most: len(body) + len("tracestateStringv=1"),
			want: Message{Attributes: []Attribute{{"tracestate", "v=1"}}}},
		{name: "no place for a trace", config: Config{Attributes: many}, change: traced, want: Message{Attributes: func() (out []Attribute) {
			for i := range maxAttributes {
				out = append(out, Attribute{string(rune('a' + i)), "x"})
			}
			return out
		}()}},

		{name: "empty", change: func(e *event.Recorded) { e.Raw = nil }, bad: event.CodeMalformed},
		{name: "NUL", change: func(e *event.Recorded) { e.Raw = []byte("a\x00b") }, bad: event.CodeMalformed},
		{name: "no UTF-8", change: func(e *event.Recorded) { e.Raw = []byte("\"\xff\"") }, bad: event.CodeMalformed},
		{name: "U+FFFE", change: func(e *event.Recorded) { e.Raw = []byte("\"\uFFFE\"") }, bad: event.CodeMalformed},
		{name: "U+FFFD", config: Config{Attributes: map[string]config.Expr{}}, change: func(e *event.Recorded) { e.Raw = []byte("\"\uFFFD\"") }, want: Message{Body: "\"\uFFFD\""}},
		{name: "attribute", change: func(e *event.Recorded) { e.Type = "a\x01" }, bad: event.CodeMalformed},
		{name: "large", most: len(body), bad: event.CodeTooLarge},
		{name: "expression", config: Config{Group: expr("data.n > type")}, bad: event.CodeExpression},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Service = "SVC"
			m, err := New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			e := sinktest.Events(1, 1)[0]
			if tt.change != nil {
				tt.change(&e)
			}
			if tt.most == 0 {
				tt.most = 1000
			}
			got, err := m.Of(&e, tt.most)
			if tt.bad != "" {
				if !event.IsPoison(err) || event.Code(err) != tt.bad {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Body == "" {
				tt.want.Body = body
			}
			tt.want.Size = len(tt.want.Body) + len(tt.want.Subject)
			for _, a := range tt.want.Attributes {
				tt.want.Size += len(a.Name) + len("String") + len(a.Text)
			}
			if len(got.Attributes) == 0 {
				got.Attributes = nil
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
