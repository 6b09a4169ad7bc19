package main

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
)

// onAWS is a pipeline file whose plugins find AWS at the endpoint.
const onAWS = `
aws: { region: eu-west-1, endpoint: "${ENDPOINT}", attempts: 1 }
server: { listen: "off" }
pipelines:
  trade-inventory:
    source:
      SOURCE
    steps:
      - append: { stream: "trade/{{ id }}" }
      - forward: { eventbridge: { bus: orders, region: us-east-1 }, source: leat.inventory }
stores:
  main: { memory: {} }
`

// awsEnv are credentials that nobody checks, and no way to others.
func awsEnv(t *testing.T, endpoint string) {
	t.Helper()
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "ENDPOINT": endpoint,
	} {
		t.Setenv(k, v)
	}
}

// What a source of AWS cannot start without ends the daemon with exit code 3 and words that say what to mend.
func TestAWSThatIsNotThere(t *testing.T) {
	refuse := func(op, code string, status int) func(string, int) awsfake.Fault {
		return func(o string, _ int) awsfake.Fault {
			if o == op {
				return awsfake.Fault{Code: code, Status: status}
			}
			return awsfake.Fault{}
		}
	}
	sqs, bus := "sqs: { queue: orders }", "eventbridge: { bus: platform, queue: orders, pattern: { source: [shop] } }"
	for _, tt := range []struct {
		name, source string
		faults       func(string, int) awsfake.Fault
		env          map[string]string
		words        []string
	}{
		{name: "missing queue", source: "sqs: { queue: nope }", words: []string{"queue nope: does not exist in this region and account"}},
		{name: "denied", source: sqs, faults: refuse("GetQueueAttributes", "AccessDeniedException", 400), words: []string{"the role or user needs sqs:GetQueueAttributes there"}},
		{name: "credentials refused", source: sqs, faults: refuse("GetQueueUrl", "UnrecognizedClientException", 400), words: []string{"AWS does not take the credentials"}},
		{name: "no credentials", source: sqs, env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, words: []string{"no AWS credentials: set AWS_ACCESS_KEY_ID"}},
		{name: "wrong profile", source: "sqs: { queue: orders, profile: nobodys }", words: []string{"nobodys"}},
		{name: "down", source: sqs, faults: refuse("GetQueueUrl", "ServiceUnavailable", 503), words: []string{"queue orders: ServiceUnavailable"}},
		{name: "throttled", source: sqs, faults: refuse("GetQueueUrl", "RequestThrottled", 400), words: []string{"queue orders: throttled"}},
		{name: "nobody listens", source: `sqs: { queue: orders, endpoint: "http://127.0.0.1:1" }`, words: []string{"queue orders: no answer from 127.0.0.1:1"}},
		{name: "wrong endpoint", source: `sqs: { queue: orders, endpoint: "http://sqs.eu-wset-1.invalid" }`, words: []string{"sqs.eu-wset-1.invalid"}},
		{name: "missing bus", source: bus, words: []string{"the bus platform does not exist", "--terraform"}},
		{name: "missing bus, to provision", source: strings.Replace(bus, "{ bus", "{ provision: true, bus", 1), words: []string{"the bus platform does not exist", "leat makes no bus"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(tt.faults)
			cloud.CreateQueue(awsfake.Queue{Name: "orders"})
			srv := httptest.NewServer(cloud)
			defer srv.Close()
			awsEnv(t, srv.URL)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			dir := t.TempDir()
			write(t, dir, "p.yaml", strings.Replace(onAWS, "SOURCE", tt.source, 1))
			leat(t, dir, nil, "run", "p.yaml").want(t, 3, tt.words...)
		})
	}
}

// The rights and templates of AWS plugins, as files configure them.
func TestDescribeDeployments(t *testing.T) {
	awsEnv(t, "http://127.0.0.1:1")
	dir := t.TempDir()
	write(t, dir, "p.yaml", strings.Replace(onAWS, "SOURCE", "eventbridge: { bus: platform-events, queue: trade-inventory, pattern: { source: [trading] }, provision: true }", 1))
	for _, tt := range []struct {
		args  string
		out   []string
		not   string
		words string // of an error of usage
	}{
		{args: "source eventbridge --policy p.yaml", out: []string{`"Version": "2012-10-17"`, `"arn:aws:sqs:eu-west-1:*:trade-inventory"`, `"events:PutRule"`}, not: "events:PutEvents"},
		{args: "sink eventbridge --policy p.yaml", out: []string{`"arn:aws:events:us-east-1:*:event-bus/orders"`, "events:PutEvents"}, not: "sqs:"},
		{args: "eventbridge --policy p.yaml", out: []string{`"events:PutEvents"`, `"sqs:ReceiveMessage"`}},
		{args: "source eventbridge --cloudformation p.yaml", out: []string{"Resources:\n  TradeInventoryQueue:\n", `EventPattern: {"source":["trading"]}`}},
		{args: "source eventbridge --terraform p.yaml", out: []string{`resource "aws_cloudwatch_event_target" "trade_inventory"`}},
		{args: "source sqs --policy", out: []string{":orders\""}}, // as in its example
		{args: "source file --policy", words: "file needs no rights on AWS"},
		{args: "source sqs --cloudformation", words: "nothing of its own on AWS"},
		{args: "sink sqs --policy p.yaml", words: "p.yaml: no pipeline uses sqs"},
		{args: "source sqs p.yaml", words: "--policy, --cloudformation and --terraform only"},
		{args: "step append --policy", words: "--policy is for sources and sinks"},
		{args: "source nope --policy", words: `no source or sink is called "nope"`},
	} {
		r := leat(t, dir, nil, append([]string{"describe"}, strings.Fields(tt.args)...)...)
		if tt.words != "" {
			r.want(t, 2, tt.words)
			continue
		}
		r.want(t, 0)
		for _, want := range tt.out {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: no %s in\n%s", tt.args, want, r.out)
			}
		}
		if tt.not != "" && strings.Contains(r.out, tt.not) {
			t.Errorf("%s: %s in\n%s", tt.args, tt.not, r.out)
		}
	}
}

// doctor looks at what AWS plugins need, and takes and sends nothing.
func TestDoctorOnAWS(t *testing.T) {
	const all = `
aws: { region: eu-west-1, endpoint: "${ENDPOINT}", attempts: 1 }
server: { listen: "off" }
pipelines:
  p:
    source: { sqs: { queue: orders } }
    steps:
      - append: { stream: "trade/{{ id }}" }
      - forward: { sqs: { queue: out } }
      - forward: { eventbridge: { bus: platform } }
stores:
  main: { memory: {} }
`
	for _, tt := range []struct {
		name  string
		ready func(c *awsfake.Cloud)
		down  bool
		code  int
		words []string
	}{
		{name: "well", ready: func(c *awsfake.Cloud) {
			c.CreateQueue(awsfake.Queue{Name: "dead"})
			c.CreateQueue(awsfake.Queue{Name: "orders", Dead: "dead", MaxReceives: 5})
			c.CreateQueue(awsfake.Queue{Name: "out"})
			c.CreateBus("platform")
		}, words: []string{"the queue orders is there", "the queue out is there", "the bus platform is there"}},
		{name: "missing", ready: func(c *awsfake.Cloud) { c.CreateQueue(awsfake.Queue{Name: "orders"}) }, code: 1,
			words: []string{"the queue orders has no dead-letter queue", "queue out: does not exist", "bus platform: does not exist"}},
		{name: "nobody answers", down: true, code: 3, words: []string{"no answer from"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := awsfake.New(nil)
			if tt.ready != nil {
				tt.ready(cloud)
			}
			srv := httptest.NewServer(cloud)
			defer srv.Close()
			awsEnv(t, srv.URL)
			if tt.down {
				srv.Close()
			}
			dir := t.TempDir()
			write(t, dir, "p.yaml", all)
			r := leat(t, dir, nil, "doctor", "p.yaml", "--text")
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", r.code, tt.code, r.out, r.err)
			}
			for _, w := range tt.words {
				if !strings.Contains(r.out+r.err, w) {
					t.Errorf("no %q in\n%s%s", w, r.out, r.err)
				}
			}
			if n := cloud.Calls("ReceiveMessage") + cloud.Calls("SendMessageBatch") + cloud.Calls("PutEvents"); n > 0 {
				t.Errorf("doctor made %d calls that take or send", n)
			}
		})
	}
}
