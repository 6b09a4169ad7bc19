package sns

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/message"
	"github.com/leatdev/leat/sinks/sinktest"
)

func TestMain(m *testing.M) { awstest.Main(m, "us-east-1") }

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		topic string
		f     sinktest.Features
	}{
		{topic, sinktest.Features{Unordered: true, MaxBody: 200 << 10}},
		{fifo, sinktest.Features{Idempotent: true, MaxBody: 200 << 10}},
	} {
		t.Run(tt.topic, func(t *testing.T) {
			sinktest.Run(t, tt.f, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
				f := &fakeTopic{}
				return opened(t, f, Config{Topic: tt.topic}), f
			})
		})
	}
}

// opened is a sink whose topic is the fake.
func opened(t *testing.T, f *fakeTopic, c Config) sinks.Sink {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	c.Settings = aws.Settings{Endpoint: srv.URL}
	s, err := Open(t.Context(), c, sinks.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expr(s string) config.Expr { return config.Expr{Source: s} }

func TestMessage(t *testing.T) {
	standard := map[string]string{"id": "e-000001", "type": "Tested", "source": "sinktest"}
	traceparent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		name   string
		c      Config
		change func(*event.Recorded)
		want   published
		bad    string // code of its poison
	}{
		{name: "standard", c: Config{Topic: topic}, want: published{Attributes: standard}},
		{name: "subject", c: Config{Topic: topic, Subject: config.Text{Source: "{{ type }} of {{ source }}"}}, want: published{Attributes: standard, Subject: "Tested of sinktest"}},
		{name: "no subject", c: Config{Topic: topic, Subject: config.Text{Source: "{{ subject }}"}}, want: published{Attributes: standard}},
		{name: "long subject", c: Config{Topic: topic, Subject: config.Text{Source: strings.Repeat("x", 101)}}, bad: event.CodeMalformed},
		{name: "subject of lines", c: Config{Topic: topic, Subject: config.Text{Source: "a\nb"}}, bad: event.CodeMalformed},
		{name: "fair", c: Config{Topic: topic, Group: expr("metadata.tenant")}, change: func(e *event.Recorded) { e.SetMeta("tenant", "acme") }, want: published{Attributes: standard, Group: "acme"}},
		{name: "attributes", c: Config{Topic: topic, Attributes: map[string]config.Expr{"n": expr("data.n + 1"), "s": expr("stream"), "none": expr("subject"), "big": expr("data.n > 0")}},
			want: published{Attributes: map[string]string{"n": "2", "s": "test/1", "big": "true"}}},
		{name: "watermill", c: Config{Topic: topic, Watermill: true, Attributes: map[string]config.Expr{}}, want: published{Attributes: map[string]string{message.WatermillUUID: "e-000001"}}},
		{name: "trace", c: Config{Topic: topic, Attributes: map[string]config.Expr{}}, change: func(e *event.Recorded) { e.SetMeta("traceparent", traceparent) },
			want: published{Attributes: map[string]string{"traceparent": traceparent}}},
		{name: "fifo", c: Config{Topic: fifo}, want: published{Attributes: standard, Group: "test/1", Dedup: "e-000001"}},
		{name: "fifo by data", c: Config{Topic: fifo, Group: expr("data.n"), Deduplication: expr(`type + "-" + string(data.n)`)}, want: published{Attributes: standard, Group: "1", Dedup: "Tested-1"}},
		{name: "fifo without a stream", c: Config{Topic: fifo}, change: func(e *event.Recorded) { e.Stream = event.Stream{} }, want: published{Attributes: standard, Group: "sinktest", Dedup: "e-000001"}},
		{name: "empty", c: Config{Topic: topic}, change: func(e *event.Recorded) { e.Raw = nil }, bad: event.CodeMalformed},
		{name: "NUL", c: Config{Topic: topic}, change: func(e *event.Recorded) { e.Raw = []byte("\x00") }, bad: event.CodeMalformed},
		{name: "large", c: Config{Topic: topic}, change: func(e *event.Recorded) { e.Raw = []byte(strings.Repeat("x", 256<<10)) }, bad: event.CodeTooLarge},
		{name: "expression", c: Config{Topic: topic, Group: expr("data.n > type")}, bad: event.CodeExpression},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeTopic{}
			s := opened(t, f, tt.c)
			batch := sinktest.Events(1, 1)
			if tt.change != nil {
				tt.change(&batch[0])
			}
			err := s.Write(t.Context(), batch)
			if tt.bad != "" {
				if err := sinktest.Outcomes(err, 1)[0]; !event.IsPoison(err) || event.Code(err) != tt.bad || len(f.messages()) > 0 {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Body = string(batch[0].Raw)
			if diff := cmp.Diff([]published{tt.want}, f.messages()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever subset of ten a topic does not take, each event has its own outcome: throttled ones come again, refused ones
// are poison.
func TestOutcomes(t *testing.T) {
	for subset := range 1 << 10 {
		if subset%7 != 0 && testing.Short() {
			continue
		}
		f := &fakeTopic{fail: func(_, i int) string {
			switch {
			case subset>>i&1 == 0:
				return ""
			case i%2 == 0:
				return "Throttled"
			}
			return "InvalidParameter"
		}}
		s, err := open(Config{Topic: topic}, sinks.Env{}, direct{f})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), sinktest.Events(0, 10))
		for i, err := range sinktest.Outcomes(err, 10) {
			_, down := event.AsUnavailable(err)
			switch hit := subset>>i&1 == 1; {
			case !hit && err != nil, hit && i%2 == 0 && !down, hit && i%2 == 1 && !event.IsPoison(err):
				t.Fatalf("subset %010b, event %d: %v", subset, i, err)
			}
		}
	}
}

// A FIFO topic: what stands behind a message that was not taken waits, and comes in order the next time.
func TestOrder(t *testing.T) {
	f := &fakeTopic{fail: func(n, i int) string {
		if n == 1 && i == 0 {
			return "InternalError"
		}
		return ""
	}}
	s := opened(t, f, Config{Topic: fifo})
	batch := sinktest.Events(0, 9)
	for i := range batch {
		batch[i].Stream.ID = fmt.Sprint(i % 3)
	}
	for i, err := range sinktest.Outcomes(s.Write(t.Context(), batch), len(batch)) {
		if (err != nil) != (i == 3 || i == 6) {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	last := map[string]string{}
	for _, m := range f.messages() {
		if m.Body <= last[m.Group] {
			t.Errorf("group %s: %s after %s", m.Group, m.Body, last[m.Group])
		}
		last[m.Group] = m.Body
	}
	if n := len(f.messages()); n != 9 {
		t.Errorf("%d messages of 9", n)
	}
}

// One bad entry that makes SNS refuse the whole call does not take the others with it; batches keep to the limits of
// count and bytes.
func TestCalls(t *testing.T) {
	f := &fakeTopic{refuse: func(n int) (string, int) {
		if n == 0 {
			return "InvalidParameter", 400
		}
		return "", 0
	}}
	s := opened(t, f, Config{Topic: topic})
	if err := s.Write(t.Context(), sinktest.Events(0, 10)); err != nil || len(f.messages()) != 10 || f.calls != 11 {
		t.Errorf("%v: %d messages by %d calls", err, len(f.messages()), f.calls)
	}
	f = &fakeTopic{}
	s = opened(t, f, Config{Topic: topic})
	batch := sinktest.Events(0, 20)
	for i := range batch {
		batch[i].Raw = []byte(strings.Repeat("x", 80<<10))
	}
	if err := s.Write(t.Context(), batch); err != nil || f.calls != 7 {
		t.Errorf("%v: %d calls for 20 messages of 80 KiB, want 7", err, f.calls)
	}
}

func TestMissingTopic(t *testing.T) {
	f := &fakeTopic{}
	s := opened(t, f, Config{Topic: topic + "-other"})
	err := s.Write(t.Context(), sinktest.Events(0, 1))
	if _, down := event.AsUnavailable(err); !down || aws.KindOf(err) != aws.Missing || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("%v", err)
	}
}

func TestValidate(t *testing.T) {
	many := map[string]config.Expr{}
	for i := range 10 {
		many[fmt.Sprint("a", i)] = expr("id")
	}
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{c: Config{Topic: topic}},
		{c: Config{Topic: fifo, Deduplication: expr("id")}},
		{c: Config{Topic: "orders"}, want: "topic: "},
		{c: Config{Topic: topic, Deduplication: expr("id")}, want: "deduplication: a standard topic"},
		{c: Config{Topic: topic, Attributes: many}},
		{c: Config{Topic: topic, Attributes: many, Watermill: true}, want: "at most 10, here are 11"},
		{c: Config{Topic: topic, Attributes: map[string]config.Expr{"Amazon.x": expr("id")}}, want: "no name of an attribute"},
		{c: Config{Topic: topic, Settings: aws.Settings{Endpoint: "x"}}, want: "endpoint: "},
	} {
		if err := tt.c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want …%s…", tt.c, err, tt.want)
		}
	}
}
