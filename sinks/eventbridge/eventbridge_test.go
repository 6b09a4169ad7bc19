package eventbridge

import (
	"encoding/json"
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
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

// observer is a bus of a cloud that can go down.
type observer struct {
	*awsfake.Cloud
	bus string
}

func (o observer) Break(testing.TB) { o.Cloud.Break() }
func (o observer) Mend(testing.TB)  { o.Cloud.Mend() }

// Bodies puts the entries together again.
func (o observer) Bodies(t testing.TB) (out []string) {
	for _, e := range o.Events(o.bus) {
		id, ok := rawjson.Get([]byte(e.Detail), "metadata", "id")
		detail, err := rawjson.Delete([]byte(e.Detail), []string{"metadata"})
		if !ok || err != nil {
			t.Errorf("no id in %.100s", e.Detail)
		}
		out = append(out, fmt.Sprintf(`{"id":%s,"source":%q,"detail-type":%q,"detail":%s}`, id, e.Source, e.DetailType, detail))
	}
	return out
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Features{Unordered: true, Compacts: true, Objects: true}, func(t *testing.T) (sinks.Sink, sinktest.Observer) {
		cloud := awsfake.New(nil)
		cloud.CreateBus("orders")
		srv := httptest.NewServer(cloud)
		t.Cleanup(srv.Close)
		s, err := Open(t.Context(), Config{Bus: "orders", Settings: aws.Settings{Endpoint: srv.URL}}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		return s, observer{cloud, "orders"}
	})
}

func one(change func(e *event.Recorded)) []event.Recorded {
	b := sinktest.Events(1, 1)
	if change != nil {
		change(&b[0])
	}
	return b
}

func TestEntry(t *testing.T) {
	at := json.Number(fmt.Sprint(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix()))
	base := awsfake.Entry{Source: "sinktest", DetailType: "Tested", Detail: `{"n":1,"metadata":{"id":"e-000001"}}`, EventBusName: "default", Time: at}
	with := func(change func(*awsfake.Entry)) awsfake.Entry {
		e := base
		change(&e)
		return e
	}
	for _, tt := range []struct {
		name   string
		config Config
		change func(*event.Recorded)
		want   awsfake.Entry
	}{
		{name: "plain", want: base},
		{name: "id elsewhere", config: Config{IDField: "eventId"}, want: with(func(e *awsfake.Entry) { e.Detail = `{"n":1,"eventId":"e-000001"}` })},
		{name: "id nowhere", config: Config{IDField: none}, want: with(func(e *awsfake.Entry) { e.Detail = `{"n":1}` })},
		{name: "an id is there", change: func(e *event.Recorded) { e.Data = []byte(`{"metadata":{"id":"theirs"}}`) },
			want: with(func(e *awsfake.Entry) { e.Detail = `{"metadata":{"id":"theirs"}}` })},
		{name: "metadata is something else", change: func(e *event.Recorded) { e.Data = []byte(`{"metadata":7}`) },
			want: with(func(e *awsfake.Entry) { e.Detail = `{"metadata":7}` })},
		{name: "no data", change: func(e *event.Recorded) { e.Data = nil }, want: with(func(e *awsfake.Entry) { e.Detail = `{"metadata":{"id":"e-000001"}}` })},
		{name: "subject", change: func(e *event.Recorded) { e.Subject = "order/7" }, want: with(func(e *awsfake.Entry) { e.Resources = []string{"order/7"} })},
		{name: "resources it came with", change: func(e *event.Recorded) { e.Subject, e.Metadata = "s", []byte(`{"resources":["a","b"]}`) },
			want: with(func(e *awsfake.Entry) { e.Resources = []string{"a", "b"} })},
		{name: "resources of the config", config: Config{Resources: []config.Text{{Source: "r"}, {Source: "{{ data.missing }}"}, {Source: "about/{{ subject }}"}}}, change: func(e *event.Recorded) { e.Subject = "s" },
			want: with(func(e *awsfake.Entry) { e.Resources = []string{"r", "about/s"} })},
		{name: "trace", change: func(e *event.Recorded) { e.SetMeta("AWSTraceHeader", "Root=1-2-3") }, want: with(func(e *awsfake.Entry) { e.TraceHeader = "Root=1-2-3" })},
		{name: "cloudevents", change: func(e *event.Recorded) { e.Raw = []byte(`{"specversion":"1.0","id":"e-000001"}`) },
			want: with(func(e *awsfake.Entry) {
				e.Detail = `{"specversion":"1.0","id":"e-000001","metadata":{"id":"e-000001"}}`
			})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(nil)
			s := open(tt.config, sinks.Env{}, cloud.Transport())
			if err := s.Write(t.Context(), one(tt.change)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]awsfake.Entry{tt.want}, cloud.Events("default")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What EventBridge would refuse is poison and not sent; the others of the batch are.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*event.Recorded)
		code   string
	}{
		{"no source", func(e *event.Recorded) { e.Source = "" }, event.CodeMalformed},
		{"no type", func(e *event.Recorded) { e.Type = "" }, event.CodeMalformed},
		{"array", func(e *event.Recorded) { e.Data = []byte(`[]`) }, event.CodeMalformed},
		{"AWS' source", func(e *event.Recorded) { e.Source = "aws.s3" }, event.CodeSink},
		{"long type", func(e *event.Recorded) { e.Type = strings.Repeat("é", 129) }, event.CodeSink},
		{"long source", func(e *event.Recorded) { e.Source = strings.Repeat("x", 257) }, event.CodeSink},
		{"large", func(e *event.Recorded) { e.Data = []byte(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`) }, event.CodeTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(nil)
			sinktest.Refuses(t, open(Config{}, sinks.Env{}, cloud.Transport()), observer{cloud, "default"}, tt.code, tt.change)
		})
	}
}

// Whatever subset of ten entries fails, exactly those are named, as outages or as poison by their code.
func TestEachSubsetFails(t *testing.T) {
	step := 1
	if testing.Short() || race.Enabled {
		step = 17
	}
	for subset := 0; subset < 1<<limits.Entries; subset += step {
		code, down := "ThrottlingException", true
		switch subset % 3 {
		case 1:
			code = "InternalFailure"
		case 2:
			code, down = "MalformedDetail", false
		}
		cloud := awsfake.New(func(op string, _ int) awsfake.Fault { return awsfake.Fault{Fail: uint16(subset), EntryCode: code} })
		s := open(Config{}, sinks.Env{}, cloud.Transport())
		err := s.Write(t.Context(), sinktest.Events(0, limits.Entries))
		for i, err := range sinktest.Outcomes(err, limits.Entries) {
			_, unavailable := event.AsUnavailable(err)
			switch is := subset>>i&1 == 1; {
			case is != (err != nil), is && unavailable != down, is && event.IsPoison(err) == down:
				t.Fatalf("subset %010b, %s: #%d: %v", subset, code, i, err)
			}
		}
	}
}

// A missing bus is an outage with clear words, and nothing is put there; a bus that goes while events flow is noticed.
func TestMissingBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		s := open(Config{Bus: "orders"}, sinks.Env{}, cloud.Transport())
		missing := func() {
			t.Helper()
			err := s.Write(t.Context(), sinktest.Events(0, 3))
			if _, down := event.AsUnavailable(err); !down || !strings.Contains(err.Error(), "bus orders: does not exist in this region and account") {
				t.Errorf("got %v", err)
			}
		}
		missing()
		if n := cloud.Calls("PutEvents"); n != 0 {
			t.Errorf("%d calls put events on a bus that is not there", n)
		}
		cloud.CreateBus("orders")
		if err := s.Write(t.Context(), sinktest.Events(0, 3)); err != nil {
			t.Error(err)
		}
		cloud.DeleteBus("orders")
		time.Sleep(checkEvery)
		missing()
	})
}

func TestWholeCallFails(t *testing.T) {
	for _, tt := range []struct {
		fault awsfake.Fault
		wait  time.Duration
		down  bool
		want  string
	}{
		{fault: awsfake.Fault{Code: "ThrottlingException", Status: 400}, down: true, wait: time.Second, want: "throttled"},
		{fault: awsfake.Fault{Code: "InternalFailure", Status: 500}, down: true, want: "InternalFailure"},
		{fault: awsfake.Fault{Code: "AccessDeniedException", Status: 400}, down: true, want: "the role or user needs events:PutEvents there"},
		{fault: awsfake.Fault{Code: "ExpiredTokenException", Status: 400}, down: true, want: "AWS does not take the credentials"},
		{fault: awsfake.Fault{Lost: true}, down: true, want: "EOF"},
		{fault: awsfake.Fault{Cut: true}, down: true, want: "EOF"},
		{fault: awsfake.Fault{Code: "ValidationException", Status: 400}, want: "ValidationException"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			cloud := awsfake.New(func(string, int) awsfake.Fault { return tt.fault })
			err := open(Config{}, sinks.Env{}, cloud.Transport()).Write(t.Context(), sinktest.Events(0, 3))
			after, down := event.AsUnavailable(err)
			if down != tt.down || after != tt.wait || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, down %t, after %s", err, down, after)
			}
			if !tt.down && !event.IsPoison(sinktest.Outcomes(err, 3)[0]) {
				t.Errorf("%v is no poison", err)
			}
		})
	}
}

// Calls are full, and within the limit of bytes.
func TestCalls(t *testing.T) {
	cloud := awsfake.New(nil)
	s := open(Config{}, sinks.Env{}, cloud.Transport())
	if err := s.Write(t.Context(), sinktest.Events(0, 1000)); err != nil {
		t.Fatal(err)
	}
	if n := cloud.Calls("PutEvents"); n != 100 {
		t.Errorf("%d calls for 1000 events", n)
	}
	batch := sinktest.Events(0, 20)
	for i := range batch {
		batch[i].Data = []byte(`{"x":"` + strings.Repeat("x", 300<<10) + `"}`)
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if n := cloud.Calls("PutEvents"); n != 107 {
		t.Errorf("%d calls for 20 events of 300 KiB, want 7", n-100)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{c: Config{}},
		{c: Config{Bus: "arn:aws:events:eu-west-1:123456789012:event-bus/orders"}},
		{c: Config{Bus: "or ders"}, want: "bus"},
		{c: Config{Settings: aws.Settings{Endpoint: "ftp://x"}}, want: "endpoint"},
		{c: Config{IDField: "a..b"}, want: "id_field"},
	} {
		err := tt.c.Validate()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want …%s…", tt.c, err, tt.want)
		}
	}
}
