package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
)

// region is a fake of AWS behind a listener, with the environment that leads there.
func region(t *testing.T, faults func(op string, n int) awsfake.Fault) (*awsfake.Cloud, []string) {
	t.Helper()
	cloud := awsfake.New(faults)
	srv := httptest.NewServer(cloud)
	t.Cleanup(srv.CloseClientConnections) // a kill -9 leaves a long poll behind
	return cloud, []string{
		"AWS_ENDPOINT_URL=" + srv.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_CA_BUNDLE=",
	}
}

// startTail starts the program with its output on a pipe, of which the test has the reading end.
func startTail(t *testing.T, env []string, args ...string) (*child, *os.File) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c := &child{cmd: exec.Command(self, append([]string{"tail"}, args...)...), done: make(chan struct{})}
	c.cmd.Dir = t.TempDir()
	c.cmd.Env = append(append(os.Environ(), childEnv+"=1", "NO_COLOR=1", "GORACE=atexit_sleep_ms=10"), env...)
	c.stderr = newStderr(t)
	c.cmd.Stdout, c.cmd.Stderr = w, c.stderr.f
	c.start(t)
	w.Close()
	return c, r
}

// says waits until the program has said something.
func (c *child) says(t *testing.T, words string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(c.stderr.String(), words) {
		select {
		case <-c.done:
			t.Fatalf("leat ended before it said %q:\n%s", words, c.stderr.String())
		case <-deadline:
			t.Fatalf("leat does not say %q:\n%s", words, c.stderr.String())
		case <-time.After(2 * time.Millisecond): // another process: there is nothing but asking
		}
	}
}

// do makes a call of the API of the fake.
func do(t *testing.T, env []string, target string, in any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimPrefix(env[0], "AWS_ENDPOINT_URL="), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", target)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", target, res.Status)
	}
}

type fields = map[string]any

func putOn(t *testing.T, env []string, bus, typ, detail string) {
	t.Helper()
	do(t, env, "AWSEvents.PutEvents", fields{"Entries": []fields{{"EventBusName": bus, "Source": "shop", "DetailType": typ, "Detail": detail}}})
}

func nothingLeft(t *testing.T, cloud *awsfake.Cloud, c *child) {
	t.Helper()
	if names := append(cloud.Rules("shop"), cloud.Queues()...); len(names) > 0 {
		t.Errorf("left behind: %v\n%s", names, c.stderr.String())
	}
}

func TestTailBus(t *testing.T) {
	cloud, env := region(t, nil)
	cloud.CreateBus("shop")
	c, out := startTail(t, env, "bus", "shop", "--pattern", `{"source":["shop"]}`, "--expr", "data.n > 1", "--limit", "2", "--probe")
	c.says(t, "live: the rule acts after")
	for _, n := range []string{"1", "2.50", "3"} {
		putOn(t, env, "shop", "Counted", `{"n":`+n+`}`)
	}
	if code := c.exit(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.stderr.String())
	}
	var got []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		got = append(got, lines.Text())
	}
	if len(got) != 2 || !strings.Contains(got[0], `"account":"123456789012"`) || !strings.HasSuffix(got[0], `"detail":{"n":2.50}}`) || !strings.HasSuffix(got[1], `"detail":{"n":3}}`) {
		t.Errorf("it wrote %q", got)
	}
	if !strings.Contains(c.stderr.String(), "2 events shown, 1 did not match") {
		t.Errorf("it said:\n%s", c.stderr.String())
	}
	nothingLeft(t, cloud, c)
}

// However a tail ends, but by kill -9, nothing is left, within seconds.
func TestTailLeavesNothing(t *testing.T) {
	send := func(signals ...syscall.Signal) func(t *testing.T, c *child, out *os.File) {
		return func(t *testing.T, c *child, _ *os.File) {
			for _, s := range signals {
				if err := c.cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, tt := range map[string]struct {
		args []string
		end  func(t *testing.T, c *child, out *os.File)
		code int
		busy bool // events come without end, and nobody reads
	}{
		"SIGINT":                    {end: send(syscall.SIGINT)},
		"SIGTERM twice":             {end: send(syscall.SIGTERM, syscall.SIGTERM)}, // as timeout(1) does
		"SIGHUP":                    {end: send(syscall.SIGHUP)},
		"the pipe closes":           {end: func(_ *testing.T, _ *child, out *os.File) { out.Close() }},
		"the time is over":          {args: []string{"--for", "100ms"}, end: send()},
		"too few within the time":   {args: []string{"--for", "100ms", "--limit", "1"}, end: send(), code: 1},
		"a reader who stands still": {end: send(syscall.SIGTERM), busy: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, env := region(t, nil)
			cloud.CreateBus("shop")
			c, out := startTail(t, env, append([]string{"bus", "shop"}, tt.args...)...)
			c.says(t, "is in place")
			if tt.busy {
				for range 4 { // more than a pipe holds
					putOn(t, env, "shop", "Large", `{"x":"`+strings.Repeat("x", 60<<10)+`"}`)
				}
				b := make([]byte, 1)
				if _, err := out.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			tt.end(t, c, out)
			if code := c.exit(t, time.Minute); code != tt.code {
				t.Errorf("exit code %d:\n%s", code, c.stderr.String())
			}
			nothingLeft(t, cloud, c)
		})
	}
}

// What kill -9 leaves is removed by the next tail, or by --sweep, once its time is over.
func TestTailSweepsAfterKill(t *testing.T) {
	cloud, env := region(t, nil)
	cloud.CreateBus("shop")
	for _, next := range [][]string{{"--sweep"}, {"bus", "shop", "--for", "50ms"}} {
		c, _ := startTail(t, env, "bus", "shop")
		c.says(t, "is in place")
		c.kill()
		name := cloud.Rules("shop")[0]
		if again, _ := startTail(t, env, "--sweep"); again.exit(t, time.Minute) != 0 || len(cloud.Rules("shop")) != 1 || len(cloud.Queues()) != 1 {
			t.Errorf("a tail that may live is swept: %v, %v", cloud.Rules("shop"), cloud.Queues())
		}
		past := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		do(t, env, "AWSEvents.TagResource", fields{"ResourceARN": "arn:aws:events:eu-west-1:" + awsfake.Account + ":rule/shop/" + name, "Tags": []fields{{"Key": "leat:tail", "Value": past}}})
		do(t, env, "AmazonSQS.TagQueue", fields{"QueueUrl": "x/" + name, "Tags": fields{"leat:tail": past}})
		after, _ := startTail(t, env, next...)
		if code := after.exit(t, time.Minute); code != 0 {
			t.Errorf("%v: exit code %d:\n%s", next, code, after.stderr.String())
		}
		nothingLeft(t, cloud, after)
	}
}

// Where the clean-up is refused the command says what is left, and fails.
func TestTailSaysWhatItLeaves(t *testing.T) {
	cloud, env := region(t, func(op string, _ int) awsfake.Fault {
		if op == "DeleteQueue" {
			return awsfake.Fault{Code: "AccessDenied", Status: 403}
		}
		return awsfake.Fault{}
	})
	c, _ := startTail(t, env, "bus", "--for", "50ms")
	if code := c.exit(t, time.Minute); code != 1 || !strings.Contains(c.stderr.String(), "queue leat-tail-") || !strings.Contains(c.stderr.String(), "is left behind: denied") {
		t.Errorf("exit code %d:\n%s", code, c.stderr.String())
	}
	if len(cloud.Rules("default")) != 0 || len(cloud.Queues()) != 1 {
		t.Errorf("left: %v, %v", cloud.Rules("default"), cloud.Queues())
	}
}

func TestTailBadInput(t *testing.T) {
	denied := func(called string) func(op string, _ int) awsfake.Fault {
		return func(op string, _ int) awsfake.Fault {
			if op == called {
				return awsfake.Fault{Code: "AccessDeniedException", Status: 400}
			}
			return awsfake.Fault{}
		}
	}
	for _, tt := range []struct {
		args   []string
		faults func(op string, n int) awsfake.Fault
		env    string
		code   int
		words  []string
	}{
		{args: []string{"bus", "shopp"}, code: 3, words: []string{"bus shopp: does not exist", `Did you mean "shop"?`}},
		{args: []string{"bus", "shop"}, faults: denied("PutRule"), code: 3, words: []string{"the role or user needs events:PutRule"}},
		{args: []string{"bus", "shop"}, env: "AWS_ACCESS_KEY_ID=", code: 3, words: []string{"no AWS credentials: set AWS_ACCESS_KEY_ID"}},
		{args: []string{"bus", "shop"}, env: "AWS_REGION=", code: 3, words: []string{"no AWS region"}},
		{args: []string{"bus", "shop", "--endpoint-url", "localhost:1"}, code: 2, words: []string{"is no http or https URL"}},
		{args: []string{"bus", "shop", "-p", `{"source":"shop"}`}, code: 2, words: []string{"--pattern:1:11: Event pattern is not valid. Reason:", "\n            ^"}},
		{args: []string{"bus", "shop", "-p", "none.json"}, code: 3, words: []string{"--pattern takes JSON or a file", "none.json"}},
		{args: []string{"bus", "shop", "-e", "data.n >"}, code: 2, words: []string{"--expr:1:", "^"}},
		{args: []string{"bus", "shop", "--template", "{{ dat.n }}"}, code: 2, words: []string{"--template:1:4:", "did you mean data.n?"}},
		{args: []string{"bus", "shop", "-o", "xml"}, code: 2, words: []string{`-o is pretty, json or template, not "xml"`}},
		{args: []string{"bus", "shop", "-o", "template"}, code: 2, words: []string{"--template TEXT belong together"}},
		{args: []string{"bus", "shop", "other"}, code: 2, words: []string{"at most 1"}},
		{args: []string{"queue", "orders"}, code: 3, words: []string{"queue orders: does not exist"}},
		{args: []string{"bus", "shop", "--since", "1h"}, code: 2, words: []string{"a bus keeps no events"}},
		{args: []string{"queue", "q", "--since", "soon"}, code: 2, words: []string{`"soon" is no time`}},
		{args: []string{"queue", "or ders"}, code: 2, words: []string{"is no name of a queue"}},
		{args: []string{"queue", "limited", "--follow"}, code: 2, words: []string{"every look is one: it is not followed"}},
		{args: nil, code: 2, words: []string{"leat tail wants one of bus, pipeline, queue"}},
		{args: []string{"pipeline", "orders", "stepp"}, code: 2, words: []string{"names no stage"}},
		{args: []string{"pipeline", "orders", "--server", "127.0.0.1:1"}, code: 3, words: []string{"no daemon answers"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			cloud, env := region(t, tt.faults)
			cloud.CreateBus("shop")
			cloud.CreateQueue(awsfake.Queue{Name: "dead"})
			cloud.CreateQueue(awsfake.Queue{Name: "limited", Dead: "dead", MaxReceives: 3})
			c, _ := startTail(t, append(env, tt.env), tt.args...)
			code := c.exit(t, time.Minute)
			for _, w := range tt.words {
				if !strings.Contains(c.stderr.String(), w) {
					t.Errorf("it does not say %q", w)
				}
			}
			if code != tt.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, tt.code, c.stderr.String())
			}
			if rules := cloud.Rules("shop"); len(rules) > 0 {
				t.Errorf("left behind: %v", rules)
			}
		})
	}
}

func TestTailQueue(t *testing.T) {
	cloud, env := region(t, nil)
	cloud.CreateQueue(awsfake.Queue{Name: "dead"})
	cloud.CreateQueue(awsfake.Queue{Name: "q", Dead: "dead", MaxReceives: 3})
	cloud.Send("q",
		awsfake.Message{ID: "m1", Body: `{"id":"e1","detail-type":"A","source":"s","detail":{"n":1.50}}`, Attributes: map[string]awsfake.Attribute{"k": {DataType: "String", StringValue: "v"}}},
		awsfake.Message{ID: "m2", Body: "no JSON"}, awsfake.Message{ID: "m3", Body: `{"n":7}`})
	for n, tt := range []struct {
		args []string
		want []string
		say  string
	}{
		{args: []string{"queue", "q"}, want: []string{`"message_id":"m1"`, `"body_text":"no JSON"`, `"body":{"n":7}`}, say: "a look counts as a receive"},
		{args: []string{"queue", "q", "--since", "2100-01-01"}, say: "0 events shown"},
		{args: []string{"queue", "q", "--expr", "data.n > 1", "--template", "{{ type }} {{ data.n }} {{ metadata.k }}"}, want: []string{"A 1.50 v", " 7 "}, say: "3 messages received as often as the queue allows: the next receive moves them to dead"},
	} {
		c, out := startTail(t, env, tt.args...)
		if code := c.exit(t, time.Minute); code != 0 || !strings.Contains(c.stderr.String(), tt.say) {
			t.Errorf("exit code %d:\n%s", code, c.stderr.String())
		}
		var got []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			got = append(got, lines.Text())
		}
		if !slices.EqualFunc(got, tt.want, strings.Contains) {
			t.Errorf("it wrote %q", got)
		}
		if m := cloud.Messages("q"); len(m) != 3 || m[0].Receives != n+1 || cloud.InFlight("q") != 0 {
			t.Errorf("%d messages, %d in flight", len(m), cloud.InFlight("q"))
		}
	}
}

// The stages of a running daemon, and the next daemon in its place.
func TestTailPipeline(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	file := write(t, dir, "p.yaml", `
pipelines:
  orders:
    source: { put_events: {} }
    steps:
      - name: large
        filter: data.n > 1
      - append: { stream: "order/{{ data.n }}" }
`)
	if none, _ := startTail(t, nil, "pipeline", "orders", "--server", addr); none.exit(t, time.Minute) != 3 {
		t.Errorf("without a daemon:\n%s", none.stderr.String())
	}
	run := func() *child {
		d := startLeat(t, dir, nil, "run", file, "--listen", addr)
		if !d.ready(t, addr) {
			t.Fatal(d.stderr.String())
		}
		return d
	}
	d := run()
	if miss, _ := startTail(t, nil, "pipeline", "order", "--server", addr); miss.exit(t, time.Minute) != 2 || !strings.Contains(miss.stderr.String(), `did you mean "orders"?`) {
		t.Errorf("a name that is nearly right:\n%s", miss.stderr.String())
	}
	c, out := startTail(t, nil, "pipeline", "orders", "step/large", "append", "--server", addr, "--template", "{{ id }} {{ data.n }} {{ stream }}")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	put := func() { // until the tail, in another process, listens
		for ctx.Err() == nil {
			body := `{"Entries":[{"Source":"s","DetailType":"T","Detail":"{\"n\":1}"},{"Source":"s","DetailType":"T","Detail":"{\"n\":2}"}]}`
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", strings.NewReader(body))
			req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
			req.Header.Set("Content-Type", "application/x-amz-json-1.1")
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	go put()
	lines := bufio.NewScanner(out)
	seen := map[string]bool{}
	for len(seen) < 3 && lines.Scan() {
		_, shape, _ := strings.Cut(lines.Text(), " ")
		seen[shape] = true
	}
	if !seen["1 "] || !seen["2 "] || !seen["2 order/2"] {
		t.Errorf("seen: %v\n%s", seen, c.stderr.String())
	}
	d.kill()
	c.says(t, "waiting for the next one")
	d = run()
	c.says(t, "the daemon is back")
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if code := c.exit(t, time.Minute); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.stderr.String())
	}
	d.kill()
}
