package putevents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// daemon is what the sources share.
type daemon struct {
	mu      sync.Mutex
	shared  map[string]any
	handler http.Handler
	mounts  int
}

func (d *daemon) env() sources.Env {
	return sources.Env{
		Now: func() time.Time { return now },
		Mount: func(pattern string, h http.Handler) (func(), error) {
			mux := http.NewServeMux()
			mux.Handle(pattern, h)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.handler = mux
			d.mounts++
			return func() { d.handler, d.mounts = nil, d.mounts-1 }, nil
		},
		Shared: func(key string, make func() any) any {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.shared == nil {
				d.shared = map[string]any{}
			}
			if d.shared[key] == nil {
				d.shared[key] = make()
			}
			return d.shared[key]
		},
	}
}

// pipe is a pipeline that settles what it gets by a rule and keeps it.
type pipe struct {
	src  *Source
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	events []event.Event
}

func (d *daemon) pipe(t *testing.T, bus, pattern string, outcome func(event.Event) event.Outcome) *pipe {
	t.Helper()
	s, err := Open(t.Context(), Config{Bus: bus, Pattern: config.Pattern{JSON: []byte(pattern)}}, d.env())
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{src: s.(*Source), done: make(chan struct{})}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(t.Context())
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for m := range msgs {
			p.take(m, outcome)
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *pipe) take(m *message.Message, outcome func(event.Event) event.Outcome) {
	b := event.FromMessage(m)
	for i := range b.Events {
		if err := codec.Decode(&b.Events[i], event.EventBridge, 0); err != nil {
			b.Settle(i, event.Poisoned, err)
			continue
		}
		p.mu.Lock()
		p.events = append(p.events, b.Events[i].Clone())
		p.mu.Unlock()
		b.Settle(i, outcome(b.Events[i]), nil)
	}
}

func (p *pipe) types() (types []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		types = append(types, e.Type)
	}
	return types
}

func (p *pipe) close() {
	p.stop()
	<-p.done
	_ = p.src.Close()
}

func commit(event.Event) event.Outcome { return event.Committed }

// call sends one request and gives status and body.
func (d *daemon) call(t *testing.T, op, body string, header ...string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("X-Amz-Target", op)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, req)
	return rec.Code, strings.TrimSpace(rec.Body.String())
}

func (d *daemon) put(t *testing.T, entries string) (int, answerPut) {
	t.Helper()
	status, body := d.call(t, "AWSEvents.PutEvents", `{"Entries":`+entries+`}`)
	var out answerPut
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return status, out
}

func TestPutEventsDelivers(t *testing.T) {
	d := &daemon{}
	p := d.pipe(t, "", "", commit)
	const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	status, body := d.call(t, "AWSEvents.PutEvents", `{"Entries":[
		{"Source":"shop","DetailType":"Order \"Created\"","Detail":"{\"a\":1}","Time":1767323045.9,"Resources":["arn:1","é"],"TraceHeader":"`+trace+`"},
		{"Source":"shop","DetailType":"T","Detail":" {} ","EventBusName":"arn:aws:events:eu-west-1:123:event-bus/default"}]}`,
		"Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/events/aws4_request, SignedHeaders=host, Signature=0",
		"X-Amzn-Trace-Id", "Root=bad")
	var out answerPut
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || out.FailedEntryCount != 0 || len(out.Entries) != 2 {
		t.Fatalf("%d %s", status, body)
	}
	want := []string{
		`{"version":"0","id":"` + out.Entries[0].EventID + `","detail-type":"Order \"Created\"","source":"shop","account":"000000000000",` +
			`"time":"2026-01-02T03:04:05Z","region":"eu-west-1","resources":["arn:1","é"],"detail":{"a":1}}`,
		`{"version":"0","id":"` + out.Entries[1].EventID + `","detail-type":"T","source":"shop","account":"000000000000",` +
			`"time":"2026-01-02T03:04:05Z","region":"eu-west-1","resources":[],"detail": {} }`,
	}
	for i, e := range p.events {
		if diff := cmp.Diff(want[i], string(e.Raw)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got := p.events[0].Meta("AWSTraceHeader"); got != trace {
		t.Errorf("trace header %q", got)
	}
	if len(p.events[1].Metadata) > 0 {
		t.Errorf("metadata %s", p.events[1].Metadata)
	}
}

func TestEntriesFailSingly(t *testing.T) {
	d := &daemon{}
	p := d.pipe(t, "", "", commit)
	d.pipe(t, "orders", "", commit)
	deep := strings.Repeat(`{\"a\":`, 1000) + "1" + strings.Repeat("}", 1000)
	for _, tt := range []struct{ entry, code, message string }{
		{`{"DetailType":"T","Detail":"{}"}`, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."},
		{`{"Source":"s","Detail":"{}"}`, "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument."},
		{`{"Source":"s","DetailType":"T"}`, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."},
		{`{"Source":"s","DetailType":"T","Detail":""}`, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."},
		{`{"Source":"s","DetailType":"T","Detail":"{"}`, "MalformedDetail", "Detail is malformed."},
		{`{"Source":"s","DetailType":"T","Detail":"[1]"}`, "MalformedDetail", "Detail is malformed."},
		{`{"Source":"s","DetailType":"T","Detail":"{}}, \"x\":{"}`, "MalformedDetail", "Detail is malformed."},
		{`{"Source":"s","DetailType":"T","Detail":"{\"a\":NaN}"}`, "MalformedDetail", "Detail is malformed."},
		{`{"Source":"s","DetailType":"T","Detail":"` + deep + `"}`, "MalformedDetail", "Detail is malformed."},
		{`{"Source":"aws.ec2","DetailType":"T","Detail":"{}"}`, "NotAuthorizedForSource", "Not authorized for the source."},
		{`{"Source":"s","DetailType":"` + strings.Repeat("é", 129) + `","Detail":"{}"}`, "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType has more than 128 characters."},
		{`{"Source":"s","DetailType":"T","Detail":"{}","EventBusName":"nope"}`, "InvalidArgument", "Parameter EventBusName is not valid. Reason: Event bus nope does not exist; pipelines listen to default, orders."},
	} {
		p.mu.Lock()
		p.events = nil
		p.mu.Unlock()
		status, out := d.put(t, `[{"Source":"s","DetailType":"first","Detail":"{}"},`+tt.entry+`,{"Source":"s","DetailType":"last","Detail":"{}"}]`)
		if status != 200 || out.FailedEntryCount != 1 || len(out.Entries) != 3 || out.Entries[0].failed() || out.Entries[2].failed() {
			t.Errorf("%.100s: %d %+v", tt.entry, status, out)
			continue
		}
		if diff := cmp.Diff(result{ErrorCode: tt.code, ErrorMessage: tt.message}, out.Entries[1]); diff != "" {
			t.Errorf("%.100s (-want +got):\n%s", tt.entry, diff)
		}
		if diff := cmp.Diff([]string{"first", "last"}, p.types()); diff != "" {
			t.Errorf("%.100s: the others (-want +got):\n%s", tt.entry, diff)
		}
	}
	// One bad entry alone is no fault of the request.
	if status, out := d.put(t, `[{}]`); status != 200 || out.FailedEntryCount != 1 {
		t.Errorf("alone: %d %+v", status, out)
	}
}

func TestRequestsFailWhole(t *testing.T) {
	d := &daemon{}
	p := d.pipe(t, "", "", commit)
	entry := `{"Source":"s","DetailType":"T","Detail":"{}"}`
	large := func(n int) string {
		return `{"Source":"s","DetailType":"T","Detail":"{\"a\":\"` + strings.Repeat("x", n) + `\"}"}`
	}
	const put = "AWSEvents.PutEvents"
	for _, tt := range []struct {
		name, op, body string
		status         int
		code, message  string
	}{
		{"no entries", put, `{"Entries":[]}`, 400, "ValidationException", "greater than or equal to 1"},
		{"nothing at all", put, `{}`, 400, "ValidationException", "greater than or equal to 1"},
		{"eleven entries", put, `{"Entries":[` + strings.Repeat(entry+",", 10) + entry + `]}`, 400, "ValidationException", "less than or equal to 10"},
		{"beyond the size", put, `{"Entries":[` + large(600_000) + "," + large(500_000) + `]}`, 400, "ValidationException", "Total size of the entries in the request is over the limit."},
		{"a huge body", put, `{"Entries":[` + large(5<<20) + `]}`, 400, "ValidationException", "Total size of the entries in the request is over the limit."},
		{"no JSON", put, `Entries=1`, 400, "SerializationException", "no JSON object"},
		{"invalid UTF-8", put, `{"Entries":[{"Source":"` + "\xff" + `"}]}`, 400, "SerializationException", "no JSON object"},
		{"wrong types", put, `{"Entries":[{"Source":1}]}`, 400, "SerializationException", "Source"},
		{"a wrong time", put, `{"Entries":[{"Source":"s","DetailType":"T","Detail":"{}","Time":1e300}]}`, 400, "SerializationException", "Time"},
		{"another operation", "AWSEvents.PutRule", `{}`, 400, "UnknownOperationException", "rules are pipelines"},
		{"another service", "DynamoDB_20120810.ListTables", `{}`, 400, "UnknownOperationException", "leat's event bus"},
		{"no service", "", `{}`, 400, "UnknownOperationException", "leat's event bus"},
		{"an unknown bus", "AWSEvents.DescribeEventBus", `{"Name":"nope"}`, 400, "ResourceNotFoundException", "Event bus nope does not exist."},
		{"a wrong pattern", "AWSEvents.TestEventPattern", `{"Event":"{}","EventPattern":"{}"}`, 400, "InvalidEventPatternException", "Event pattern is not valid. Reason:"},
		{"no event for a pattern", "AWSEvents.TestEventPattern", `{"Event":"{}","EventPattern":"{\"source\":[\"s\"]}"}`, 400, "ValidationException", "Parameter Event is not valid."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := d.call(t, tt.op, tt.body)
			var got struct {
				Type    string `json:"__type"`
				Message string `json:"message"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if status != tt.status || got.Type != tt.code || !strings.Contains(got.Message, tt.message) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if got := p.types(); len(got) > 0 {
		t.Errorf("delivered %q", got)
	}
}

func TestPipelinesTakeWhatTheirPatternsMatch(t *testing.T) {
	d := &daemon{}
	all := d.pipe(t, "", "", commit)
	created := d.pipe(t, "", `{"detail-type":["Created"]}`, commit)
	big := d.pipe(t, "", `{"detail":{"n":[{"numeric":[">",10]}]}}`, commit)
	other := d.pipe(t, "orders", "", commit)
	status, out := d.put(t, `[{"Source":"s","DetailType":"Created","Detail":"{\"n\":1}"},{"Source":"s","DetailType":"Deleted","Detail":"{\"n\":11}"},
		{"Source":"s","DetailType":"Other","Detail":"{}","EventBusName":"orders"}]`)
	if status != 200 || out.FailedEntryCount != 0 {
		t.Errorf("%d %+v", status, out)
	}
	for _, tt := range []struct {
		p    *pipe
		want []string
	}{{all, []string{"Created", "Deleted"}}, {created, []string{"Created"}}, {big, []string{"Deleted"}}, {other, []string{"Other"}}} {
		if diff := cmp.Diff(tt.want, tt.p.types()); diff != "" {
			t.Errorf("bus %s, pattern %s (-want +got):\n%s", tt.p.src.cfg.Bus, tt.p.src.cfg.Pattern.JSON, diff)
		}
	}
	if d.mounts != 1 {
		t.Errorf("mounted %d times", d.mounts)
	}
	all.close()
	created.close()
	big.close()
	if status, _ := d.put(t, `[{"Source":"s","DetailType":"T","Detail":"{}"}]`); status != 500 {
		t.Errorf("a bus whose pipelines have left: %d", status)
	}
	other.close()
	if d.mounts != 0 {
		t.Error("the last pipeline left the handler behind")
	}
}

func TestOutcomes(t *testing.T) {
	d := &daemon{}
	d.pipe(t, "", "", func(e event.Event) event.Outcome {
		for o := event.Committed; o <= event.Released; o++ {
			if o.String() == e.Type {
				return o
			}
		}
		return event.Committed
	})
	for o := event.Committed; o <= event.Released; o++ {
		code := ""
		if o == event.Released {
			code = "InternalFailure"
		}
		status, out := d.put(t, fmt.Sprintf(`[{"Source":"s","DetailType":"committed","Detail":"{}"},{"Source":"s","DetailType":%q,"Detail":"{}"}]`, o))
		if status != 200 || out.Entries[0].failed() || out.Entries[1].ErrorCode != code {
			t.Errorf("%s: %d %+v", o, status, out)
		}
	}
	if status, body := d.call(t, "AWSEvents.PutEvents", `{"Entries":[{"Source":"s","DetailType":"released","Detail":"{}"}]}`); status != 500 || !strings.Contains(body, "InternalFailure") {
		t.Errorf("all entries gave way: %d %s; the SDKs repeat a 500", status, body)
	}
}

func TestTheAnswerWaitsForThePipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{}
		settle := make(chan event.Outcome)
		d.pipe(t, "", "", func(event.Event) event.Outcome { return <-settle })
		answered := make(chan int)
		put := func() {
			status, _ := d.call(t, "AWSEvents.PutEvents", `{"Entries":[{"Source":"s","DetailType":"T","Detail":"{}"}]}`)
			answered <- status
		}
		go put()
		synctest.Wait()
		select {
		case <-answered:
			t.Fatal("answered before the event was settled")
		default:
		}
		settle <- event.Committed
		if status := <-answered; status != 200 {
			t.Errorf("settled: %d", status)
		}

		// The pipeline holds one, its source one more; a third has to wait, and the first two run out of time.
		start := time.Now()
		go put()
		synctest.Wait()
		go put()
		synctest.Wait()
		go put()
		if status := <-answered; status != 400 || time.Since(start) != 5*time.Second {
			t.Errorf("a full pipeline: %d after %s, want a ThrottlingException after 5s", status, time.Since(start))
		}
		for range 2 {
			if status := <-answered; status != 500 || time.Since(start) != 50*time.Second {
				t.Errorf("a stuck pipeline: %d after %s, want an InternalFailure after 50s", status, time.Since(start))
			}
		}
		settle <- event.Committed
		settle <- event.Committed
	})
}

func TestAStopFailsWhatIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{}
		settle := make(chan event.Outcome)
		p := d.pipe(t, "", "", func(event.Event) event.Outcome { return <-settle })
		answered := make(chan int, 4)
		put := func() {
			status, _ := d.call(t, "AWSEvents.PutEvents", `{"Entries":[{"Source":"s","DetailType":"T","Detail":"{}"}]}`)
			answered <- status
		}
		for range 3 { // one in the pipeline, one in the source, one at its door
			go put()
			synctest.Wait()
		}
		p.stop()
		for range 2 {
			if status := <-answered; status != 500 {
				t.Errorf("waiting when the pipeline stops: %d, want 500", status)
			}
		}
		put()
		if status := <-answered; status != 500 {
			t.Errorf("come when the pipeline has stopped: %d, want 500", status)
		}
		settle <- event.Committed // the one in flight is finished
		if status := <-answered; status != 200 {
			t.Errorf("in flight when the pipeline stops: %d, want 200", status)
		}
	})
}

// TestAPipelineThatHasLeftStillFailsItsEntries: while the daemon stops, pipelines leave one after another, and requests
// are under way. What is for one that has left was acknowledged once as nobody's, and lost.
func TestAPipelineThatHasLeftStillFailsItsEntries(t *testing.T) {
	d := &daemon{}
	first := d.pipe(t, "", `{"source":["a"]}`, commit)
	second := d.pipe(t, "", `{"source":["b"]}`, commit)
	const entries = `[{"Source":"a","DetailType":"T","Detail":"{}"},{"Source":"b","DetailType":"T","Detail":"{}"},{"Source":"c","DetailType":"T","Detail":"{}"}]`
	first.close()
	status, out := d.put(t, entries)
	if status != 200 || out.FailedEntryCount != 1 || out.Entries[0].ErrorCode != codeInternal {
		t.Errorf("one has left: %d %+v", status, out)
	}
	handler := d.handler
	second.close()
	d.handler = handler // a request that came before the handler was taken off
	status, out = d.put(t, entries)
	if status != 200 || out.FailedEntryCount != 2 || out.Entries[1].ErrorCode != codeInternal {
		t.Errorf("both have left: %d %+v", status, out)
	}
	d.pipe(t, "", `{"source":["a"]}`, commit)
	if status, out = d.put(t, entries); status != 200 || out.FailedEntryCount != 0 {
		t.Errorf("it has come again: %d %+v", status, out)
	}
}

func TestLargeEventsAndSmallBatches(t *testing.T) {
	d := &daemon{}
	env := d.env()
	env.MaxEvents, env.MaxEventSize = 2, 300
	s, err := Open(t.Context(), Config{}, env)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range msgs {
			b := event.FromMessage(m)
			sizes = append(sizes, len(b.Events))
			for i := range b.Events {
				if n := len(b.Events[i].Raw); n > 301 {
					t.Errorf("%d bytes", n)
				}
				b.Settle(i, event.Poisoned, nil)
			}
		}
	}()
	entry := `{"Source":"s","DetailType":"T","Detail":"{\"a\":\"` + strings.Repeat("x", 500) + `\"}"}`
	if status, out := d.put(t, `[`+entry+`,`+entry+`,`+entry+`]`); status != 200 || out.FailedEntryCount != 0 {
		t.Errorf("%d %+v", status, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if diff := cmp.Diff([]int{2, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestAsking(t *testing.T) {
	d := &daemon{}
	d.pipe(t, "", "", commit)
	d.pipe(t, "orders", "", commit)
	const one = `{"Name":"orders","Arn":"arn:aws:events:us-east-1:000000000000:event-bus/orders","CreationTime":1767323045,"LastModifiedTime":1767323045}`
	for _, tt := range []struct{ op, body, want string }{
		{"DescribeEventBus", `{"Name":"orders"}`, one},
		{"DescribeEventBus", `{}`, strings.ReplaceAll(one, "orders", "default")},
		{"ListEventBuses", `{}`, `{"EventBuses":[` + strings.ReplaceAll(one, "orders", "default") + `,` + one + `]}`},
		{"ListEventBuses", `{"NamePrefix":"o"}`, `{"EventBuses":[` + one + `]}`},
		{"ListEventBuses", `{"NamePrefix":"x"}`, `{"EventBuses":[]}`},
		{"TestEventPattern", `{"EventPattern":"{\"source\":[\"s\"]}","Event":"{\"id\":\"1\",\"account\":\"1\",\"source\":\"s\",\"time\":\"\",\"region\":\"r\",\"detail-type\":\"T\"}"}`, `{"Result":true}`},
	} {
		if status, body := d.call(t, "AWSEvents."+tt.op, tt.body); status != 200 || body != tt.want {
			t.Errorf("%s %s: %d %s", tt.op, tt.body, status, body)
		}
	}
}

func TestSubscribeNeedsAListener(t *testing.T) {
	for _, mount := range []func(string, http.Handler) (func(), error){nil, func(string, http.Handler) (func(), error) { return nil, io.EOF }} {
		s, err := Open(t.Context(), Config{}, sources.Env{Mount: mount})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Subscribe(t.Context(), ""); err == nil || !strings.HasPrefix(err.Error(), "put_events: ") {
			t.Errorf("error %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := (Config{Bus: "a b"}).Validate(); err == nil {
		t.Error("a bus with a blank in its name")
	}
	if err := (Config{Bus: "a/b.c-1"}).Validate(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Config{Pattern: config.Pattern{JSON: []byte(`{"source":"s"}`)}}, sources.Env{}); err == nil || !strings.Contains(err.Error(), "Event pattern is not valid") {
		t.Errorf("error %v", err)
	}
}

// TestTheAWSCLI has the real CLI publish.
func TestTheAWSCLI(t *testing.T) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "aws") {
			t.Fatal("LEAT_TEST_REQUIRE names aws, and there is no AWS CLI here")
		}
		t.Skip("SKIPPED: no AWS CLI here; what it sees of put_events is not tested")
	}
	d := &daemon{}
	p := d.pipe(t, "", `{"source":["shop"]}`, commit)
	srv := httptest.NewServer(d.handler)
	defer srv.Close()
	run := func(args ...string) (string, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, aws, append([]string{"events", "--endpoint-url", srv.URL, "--output", "json"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_CONFIG_FILE=/dev/null", "AWS_PAGER=",
			"AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	out, err := run("put-events", "--entries", `[{"Source":"shop","DetailType":"OrderCreated","Detail":"{\"amount\":501}","Time":"2026-01-02T03:04:05Z","Resources":["arn:1"]},
		{"Source":"shop","DetailType":"OrderCreated","Detail":"no"}]`)
	var put answerPut
	if err != nil || json.Unmarshal([]byte(out), &put) != nil || put.FailedEntryCount != 1 || put.Entries[1].ErrorCode != "MalformedDetail" {
		t.Fatalf("put-events: %v: %s", err, out)
	}
	want := `{"version":"0","id":"` + put.Entries[0].EventID + `","detail-type":"OrderCreated","source":"shop","account":"000000000000",` +
		`"time":"2026-01-02T03:04:05Z","region":"eu-west-1","resources":["arn:1"],"detail":{"amount":501}}`
	if len(p.events) != 1 || string(p.events[0].Raw) != want {
		t.Errorf("arrived: %s", p.events[0].Raw)
	}
	if out, err := run("put-rule", "--name", "x"); err == nil || !strings.Contains(out, "(UnknownOperationException) when calling the PutRule operation") {
		t.Errorf("put-rule: %v: %s", err, out)
	}
}

func BenchmarkPutEvents(b *testing.B) {
	d := &daemon{}
	s, err := Open(b.Context(), Config{}, d.env())
	if err != nil {
		b.Fatal(err)
	}
	msgs, err := s.Subscribe(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for m := range msgs {
			batch := event.FromMessage(m)
			for i := range batch.Events {
				batch.Settle(i, event.Committed, nil)
			}
		}
	}()
	entry := `{"Source":"shop","DetailType":"OrderCreated","Detail":"{\"order_id\":\"o-1\",\"note\":\"` + strings.Repeat("x", 400) + `\"}"}`
	body := `{"Entries":[` + strings.Repeat(entry+",", 9) + entry + `]}`
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", strings.NewReader(body))
		req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
		rec := httptest.NewRecorder()
		d.handler.ServeHTTP(rec, req)
		if rec.Code != 200 {
			b.Fatal(rec.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/event")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
