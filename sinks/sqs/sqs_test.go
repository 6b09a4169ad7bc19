package sqs

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/race"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/message"
	"github.com/leatdev/leat/sinks/sinktest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

// observer is a queue of a cloud that can go down.
type observer struct {
	*awsfake.Cloud
	queue string
}

func (o observer) Break(testing.TB) { o.Cloud.Break() }
func (o observer) Mend(testing.TB)  { o.Cloud.Mend() }

func (o observer) Bodies(testing.TB) (out []string) {
	for _, m := range o.Messages(o.queue) {
		out = append(out, m.Body)
	}
	return out
}

func conformance(t *testing.T, queue string, f sinktest.Features) {
	sinktest.Run(t, f, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: queue})
		srv := httptest.NewServer(cloud)
		t.Cleanup(srv.Close)
		s, err := Open(t.Context(), Config{Queue: queue, Settings: aws.Settings{Endpoint: srv.URL}}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		return s, observer{cloud, queue}
	})
}

func TestConformance(t *testing.T) {
	conformance(t, "orders", sinktest.Features{Unordered: true})
}

func TestConformanceFIFO(t *testing.T) {
	conformance(t, "orders.fifo", sinktest.Features{Idempotent: true})
}

func opened(t *testing.T, cloud *awsfake.Cloud, c Config) *Sink {
	t.Helper()
	s, err := open(c, sinks.Env{}, cloud.Transport())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expr(s string) config.Expr { return config.Expr{Source: s} }

func TestMessage(t *testing.T) {
	text := func(s string) awsfake.Attribute { return awsfake.Attribute{DataType: "String", StringValue: s} }
	standard := map[string]awsfake.Attribute{"id": text("e-000001"), "type": text("Tested"), "source": text("sinktest")}
	for _, tt := range []struct {
		name   string
		config Config
		change func(*event.Recorded)
		want   awsfake.Message
	}{
		{name: "standard", config: Config{Queue: "q"}, want: awsfake.Message{Attributes: standard}},
		{name: "fair", config: Config{Queue: "q", Group: expr("metadata.tenant")}, change: func(e *event.Recorded) { e.SetMeta("tenant", "acme") },
			want: awsfake.Message{Attributes: standard, Group: "acme"}},
		{name: "fair without a tenant", config: Config{Queue: "q", Group: expr("metadata.tenant")}, want: awsfake.Message{Attributes: standard}},
		{name: "delay", config: Config{Queue: "q", Delay: 3 * time.Second}, want: awsfake.Message{Attributes: standard, Delay: 3 * time.Second}},
		{name: "attributes", config: Config{Queue: "q", Attributes: map[string]config.Expr{"n": expr("data.n"), "s": expr("stream"), "none": expr("subject")}},
			want: awsfake.Message{Attributes: map[string]awsfake.Attribute{"n": text("1"), "s": text("test/1")}}},
		{name: "trace", config: Config{Queue: "q"}, change: func(e *event.Recorded) { e.SetMeta("AWSTraceHeader", "Root=1-2-3") },
			want: awsfake.Message{Attributes: standard, Trace: "Root=1-2-3"}},
		{name: "fifo", config: Config{Queue: "q.fifo"}, want: awsfake.Message{Attributes: standard, Group: "test/1", Dedup: "e-000001"}},
		{name: "fifo by data", config: Config{Queue: "q.fifo", Group: expr("data.n")}, want: awsfake.Message{Attributes: standard, Group: "1", Dedup: "e-000001"}},
		{name: "fifo by expressions", config: Config{Queue: "q.fifo", Group: expr(`"t" + string(data.n)`), Deduplication: expr("data.n")}, want: awsfake.Message{Attributes: standard, Group: "t1", Dedup: "1"}},
		{name: "watermill", config: Config{Queue: "q", Watermill: true, Attributes: map[string]config.Expr{}}, want: awsfake.Message{Attributes: map[string]awsfake.Attribute{message.WatermillUUID: text("e-000001")}}},
		{name: "fifo without a stream", config: Config{Queue: "q.fifo"}, change: func(e *event.Recorded) { e.Stream = event.Stream{} },
			want: awsfake.Message{Attributes: standard, Group: "sinktest", Dedup: "e-000001"}},
		{name: "names that SQS does not take", config: Config{Queue: "q.fifo"}, change: func(e *event.Recorded) { e.ID, e.Stream.ID = "é", "a b" },
			want: awsfake.Message{Attributes: map[string]awsfake.Attribute{"id": text("é"), "type": text("Tested"), "source": text("sinktest")}, Group: message.Digest("test/a b"), Dedup: message.Digest("é")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: tt.config.Queue})
			batch := sinktest.Events(1, 1)
			if tt.change != nil {
				tt.change(&batch[0])
			}
			if err := opened(t, cloud, tt.config).Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			got := cloud.Messages(tt.config.Queue)
			tt.want.Body = string(batch[0].Raw)
			for i := range got {
				got[i].ID, got[i].Sent = "", time.Time{}
			}
			if diff := cmp.Diff([]awsfake.Message{tt.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What SQS would refuse is poison and not sent; the others of the batch are.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*event.Recorded)
		code   string
	}{
		{"empty", func(e *event.Recorded) { e.Raw = nil }, event.CodeMalformed},
		{"U+FFFE", func(e *event.Recorded) { e.Raw = []byte("\"\uFFFE\"") }, event.CodeMalformed},
		{"attribute", func(e *event.Recorded) { e.Type = "a\x01" }, event.CodeMalformed},
		{"large", func(e *event.Recorded) { e.Raw = []byte(strings.Repeat("x", 1<<20)) }, event.CodeTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: "q"})
			sinktest.Refuses(t, opened(t, cloud, Config{Queue: "q"}), observer{cloud, "q"}, tt.code, tt.change)
		})
	}
}

// Whatever subset of ten entries fails: exactly those are named, and sent again they arrive.
func TestEachSubsetFails(t *testing.T) {
	step := 1
	if testing.Short() || race.Enabled {
		step = 17
	}
	for subset := 0; subset < 1<<limits.Entries; subset += step {
		cloud := awsfake.New(func(op string, n int) awsfake.Fault {
			if op != "SendMessageBatch" || n > 0 {
				return awsfake.Fault{}
			}
			return awsfake.Fault{Fail: uint16(subset)}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		s := opened(t, cloud, Config{Queue: "q"})
		batch := sinktest.Events(0, limits.Entries)
		err := s.Write(t.Context(), batch)
		var again []event.Recorded
		for i, err := range sinktest.Outcomes(err, len(batch)) {
			failed := err != nil
			if failed != (subset>>i&1 == 1) {
				t.Fatalf("subset %010b: #%d: failed %t, %v", subset, i, failed, err)
			}
			if failed {
				again = append(again, batch[i])
			}
		}
		if err := s.Write(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if n := len(cloud.Messages("q")); n != limits.Entries {
			t.Fatalf("subset %010b: %d messages", subset, n)
		}
	}
}

// Under every plan of faults, events that a relay writes again until they are taken arrive once and in the order of
// their group.
func TestFIFOUnderFaults(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() || race.Enabled {
		seeds = 15
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(awsfake.Rough(seed).Faults)
			cloud.CreateQueue(awsfake.Queue{Name: "q.fifo"})
			s := opened(t, cloud, Config{Queue: "q.fifo"})
			left := sinktest.Events(0, 60)
			for i := range left {
				left[i].Stream.ID = fmt.Sprint(i * int(seed+1) % 7)
			}
			for tries := 0; len(left) > 0 && tries < 1000; tries++ {
				err := s.Write(t.Context(), left)
				var again []event.Recorded
				for i, err := range sinktest.Outcomes(err, len(left)) {
					if err != nil {
						again = append(again, left[i])
					}
					if event.IsPoison(err) {
						t.Fatalf("seed %d: poisoned: %v", seed, err)
					}
				}
				left = again
				time.Sleep(time.Second)
			}
			last, n := map[string]string{}, 0
			for _, m := range cloud.Messages("q.fifo") {
				if m.Dedup <= last[m.Group] {
					t.Errorf("seed %d: %s after %s", seed, m.Dedup, last[m.Group])
				}
				last[m.Group] = m.Dedup
				n++
			}
			if n != 60 {
				t.Errorf("seed %d: %d messages", seed, n)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// A missing queue is an outage with clear words; one that is made later is found, and one that goes is noticed.
func TestMissingQueue(t *testing.T) {
	cloud := awsfake.New(nil)
	s := opened(t, cloud, Config{Queue: "orders"})
	missing := func() {
		t.Helper()
		err := s.Write(t.Context(), sinktest.Events(0, 3))
		if _, down := event.AsUnavailable(err); !down || !strings.Contains(err.Error(), "queue orders: does not exist in this region and account") {
			t.Errorf("got %v", err)
		}
	}
	missing()
	for range 2 {
		cloud.CreateQueue(awsfake.Queue{Name: "orders"})
		if err := s.Write(t.Context(), sinktest.Events(0, 3)); err != nil {
			t.Error(err)
		}
		cloud.DeleteQueue("orders")
		missing()
	}
}

func TestCalls(t *testing.T) {
	cloud := awsfake.New(nil)
	cloud.CreateQueue(awsfake.Queue{Name: "q"})
	s := opened(t, cloud, Config{Queue: "q"})
	if err := s.Write(t.Context(), sinktest.Events(0, 1000)); err != nil {
		t.Fatal(err)
	}
	if n := cloud.Calls("SendMessageBatch"); n != 100 {
		t.Errorf("%d calls for 1000 events", n)
	}
	batch := sinktest.Events(0, 20)
	for i := range batch {
		batch[i].Raw = []byte(strings.Repeat("x", 300<<10))
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n := cloud.Calls("SendMessageBatch"); n != 107 {
		t.Errorf("%d calls for 20 events of 300 KiB, want 7", n-100)
	}
}

func TestValidate(t *testing.T) {
	many := map[string]config.Expr{}
	for i := range 11 {
		many[fmt.Sprint("a", i)] = expr("id")
	}
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{c: Config{Queue: "q"}},
		{c: Config{}, want: "names no queue"},
		{c: Config{Queue: "q", Delay: time.Millisecond}, want: "whole seconds"},
		{c: Config{Queue: "q.fifo", Delay: time.Second}, want: "FIFO queue delays"},
		{c: Config{Queue: "q", Attributes: many}, want: "at most 10"},
		{c: Config{Queue: "q", Attributes: map[string]config.Expr{"AWS.x": expr("id")}}, want: "no name of an attribute"},
		{c: Config{Queue: "q", Deduplication: expr("id")}, want: "a standard queue tells no repeats"},
		{c: Config{Queue: "q", Settings: aws.Settings{Endpoint: "ftp://x"}}, want: "endpoint"},
	} {
		err := tt.c.Validate()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want …%s…", tt.c, err, tt.want)
		}
	}
}
