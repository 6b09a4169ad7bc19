package eventbridge

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
	"github.com/leatdev/leat/sources/sqs"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

const pattern = `{"source":["trading"],"detail-type":["Allocated","Released"]}`

// env is what the tests' pipeline gives a source; log lines are kept.
func env(log *strings.Builder) sources.Env {
	e := sources.Env{Pipeline: "trade-inventory"}
	if log != nil {
		e.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	return e
}

func configOf(url string, provision bool) Config {
	return Config{
		Bus: "platform", Queue: "trade-inventory", Pattern: config.Pattern{JSON: []byte(pattern)}, Provision: provision,
		Delivery: Delivery{Attempts: 185, Age: 24 * time.Hour}, DeadLetters: feed.DeadLetters{Receives: 10},
		Settings: aws.Settings{Endpoint: url, Attempts: 1}, Reading: sqs.Reading{Wait: 2 * time.Second},
	}
}

// begin subscribes and gives the error; a source that starts is closed with the test.
func begin(t *testing.T, c Config, e sources.Env) (sources.Source, error) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c, e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		stop()
		return nil, err
	}
	t.Cleanup(func() {
		stop()
		for m := range msgs {
			b := event.FromMessage(m)
			for i := range b.Events {
				b.Settle(i, event.Released, nil)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, nil
}

func cloud(t *testing.T) (*awsfake.Cloud, string) {
	c := awsfake.New(nil)
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return c, srv.URL
}

func TestProvisionMakesWhatIsMissing(t *testing.T) {
	c, url := cloud(t)
	c.CreateBus("platform")
	var log strings.Builder
	if _, err := begin(t, configOf(url, true), env(&log)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"trade-inventory", "trade-inventory-failed", "trade-inventory-undelivered"}, c.Queues()); diff != "" {
		t.Errorf("queues: %s", diff)
	}
	if diff := cmp.Diff([]string{"trade-inventory"}, c.Rules("platform")); diff != "" {
		t.Errorf("rules: %s", diff)
	}
	for _, want := range []string{"queue trade-inventory-failed", "queue trade-inventory-undelivered", "rule trade-inventory", "target of rule", "the policy of queue trade-inventory lets", "the policy of queue trade-inventory-undelivered lets"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("warnings:\n%s", log.String())
	}
	for name, want := range map[string]string{"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600"} {
		if got := c.QueueAttribute("trade-inventory", name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}

	// Once more, nothing is done.
	log.Reset()
	calls := changes(c)
	if _, err := begin(t, configOf(url, true), env(&log)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "provisioned") || changes(c) != calls {
		t.Errorf("the second start changed something: %d calls\n%s", changes(c)-calls, log.String())
	}

	// What a hand takes away comes back, and nothing else changes: an added statement of somebody else stays.
	policy := c.QueueAttribute("trade-inventory", "Policy")
	set := setupOf(t, configOf(url, true))
	found, err := set.queues.Look(t.Context(), "trade-inventory")
	if err != nil {
		t.Fatal(err)
	}
	theirs := `{"Version":"2012-10-17","Id":"theirs","Statement":{"Sid":"Theirs","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"` + found.ARN + `","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:eu-west-1:1:t"}}}}`
	if _, err := set.queues.Client.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: &found.URL, Attributes: map[string]string{"Policy": theirs}}); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(t, configOf(url, true), env(nil)); err != nil {
		t.Fatal(err)
	}
	merged := c.QueueAttribute("trade-inventory", "Policy")
	for _, want := range []string{`"Sid":"Theirs"`, `"Id":"theirs"`, policy[strings.Index(policy, `{"Sid"`) : len(policy)-2]} {
		if !strings.Contains(merged, want) {
			t.Errorf("the policy lacks %s:\n%s", want, merged)
		}
	}

	// Another pattern in the config becomes the rule's.
	changed := configOf(url, true)
	changed.Pattern.JSON = []byte(`{"source":["other"]}`)
	log.Reset()
	if _, err := begin(t, changed, env(&log)); err != nil {
		t.Fatal(err)
	}
	r, err := set.rule(t.Context(), "trade-inventory")
	if err != nil || *r.EventPattern != `{"source":["other"]}` || !strings.Contains(log.String(), "pattern of rule trade-inventory") {
		t.Errorf("%v %v\n%s", r, err, log.String())
	}
}

// changes counts the calls that change something.
func changes(c *awsfake.Cloud) (n int) {
	for _, op := range []string{"CreateQueue", "SetQueueAttributes", "TagQueue", "PutRule", "PutTargets", "TagResource"} {
		n += c.Calls(op)
	}
	return n
}

func setupOf(t *testing.T, c Config) *setup {
	t.Helper()
	set, err := c.connect(t.Context(), env(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set.(*setup)
}

// Events that the bus gets arrive, with the policy that was made; others do not.
func TestProvisionedEventsArrive(t *testing.T) {
	for _, queue := range []string{"trade-inventory", "trade-inventory.fifo"} {
		c, url := cloud(t)
		c.CreateBus("platform")
		cfg := configOf(url, true)
		cfg.Queue = queue
		put := func() {
			awscfg, err := aws.Load(t.Context(), cfg.Settings, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer aws.Close(awscfg)
			var entries []types.PutEventsRequestEntry
			for _, typ := range []string{"Allocated", "Other", "Released"} {
				entries = append(entries, types.PutEventsRequestEntry{EventBusName: awssdk.String("platform"), Source: awssdk.String("trading"), DetailType: &typ, Detail: awssdk.String("{}")})
			}
			if _, err := eventbridge.NewFromConfig(awscfg).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := setupOf(t, cfg).Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		put()
		if got := arrive(t, cfg, 2); strings.Join(got, " ") != "Allocated Released" {
			t.Errorf("%s: %v", queue, got)
		}
	}
}

// arrive reads n events and gives their detail-types.
func arrive(t *testing.T, c Config, n int) (got []string) {
	t.Helper()
	s, err := Open(t.Context(), c, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	got = sourcetest.Read(t, s, n, func(e *event.Event) string {
		kind, _ := rawjson.Get(e.Raw, "detail-type")
		return rawjson.Text(kind)
	})
	slices.Sort(got)
	return got
}

// What exists and is not leat's is changed only where that is asked for, and then tagged.
func TestOthersThingsAreLeftAlone(t *testing.T) {
	c, url := cloud(t)
	c.CreateBus("platform")
	c.CreateQueue(awsfake.Queue{Name: "trade-inventory"})
	_, err := begin(t, configOf(url, true), env(nil))
	if err == nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "queue trade-inventory exists, is not as it must be, and is not leat's (it has no tag leat:pipeline): set adopt: true") {
		t.Fatalf("%v", err)
	}
	adopting := configOf(url, true)
	adopting.Adopt = true
	if _, err := begin(t, adopting, env(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(t, configOf(url, true), env(nil)); err != nil {
		t.Errorf("once adopted: %v", err)
	}
	// It is this pipeline's now, and another's pattern does not change its rule.
	other := configOf(url, true)
	other.Pattern.JSON = []byte(`{"source":["x"]}`)
	_, err = begin(t, other, sources.Env{Pipeline: "another"})
	if err == nil || !strings.Contains(err.Error(), "rule trade-inventory belongs to the pipeline trade-inventory of leat") {
		t.Errorf("%v", err)
	}
}

// Without provision nothing is made; what keeps events from arriving stops the start, what spoils them is told.
func TestChecks(t *testing.T) {
	make := func(change func(c *awsfake.Cloud, set *setup)) string {
		c, url := cloud(t)
		c.CreateBus("platform")
		set := setupOf(t, configOf(url, true))
		if _, err := set.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(c, set)
		}
		return url
	}
	rule := func(t *testing.T, set *setup, in *eventbridge.PutRuleInput) {
		t.Helper()
		in.Name, in.EventBusName = awssdk.String("trade-inventory"), awssdk.String("platform")
		if in.EventPattern == nil {
			in.EventPattern = awssdk.String(pattern)
		}
		if _, err := set.events.PutRule(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(c *awsfake.Cloud, set *setup)
		fatal  string
		warns  string
	}{
		{name: "all is well"},
		{name: "no bus", change: func(c *awsfake.Cloud, _ *setup) { c.DeleteBus("platform") }, fatal: "the bus platform does not exist in this region and account: create the bus, or mend its name; AWS takes events"},
		{name: "no queue", change: func(c *awsfake.Cloud, _ *setup) { c.DeleteQueue("trade-inventory") }, fatal: "the queue trade-inventory does not exist"},
		{name: "no target", change: func(_ *awsfake.Cloud, set *setup) {
			if _, err := set.events.RemoveTargets(t.Context(), &eventbridge.RemoveTargetsInput{Rule: awssdk.String("trade-inventory"), EventBusName: awssdk.String("platform"), Ids: []string{targetID}}); err != nil {
				t.Fatal(err)
			}
		}, fatal: "no rule of the bus platform feeds the queue trade-inventory"},
		{name: "policy", change: func(_ *awsfake.Cloud, set *setup) {
			q, err := set.queues.Look(t.Context(), "trade-inventory")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := set.queues.Client.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: &q.URL, Attributes: map[string]string{"Policy": `{"Statement":[]}`}}); err != nil {
				t.Fatal(err)
			}
		}, fatal: "does not let events.amazonaws.com send to it for the rule trade-inventory"},
		{name: "disabled", change: func(_ *awsfake.Cloud, set *setup) {
			rule(t, set, &eventbridge.PutRuleInput{State: types.RuleStateDisabled})
		}, warns: "the rule trade-inventory is disabled"},
		{name: "pattern", change: func(_ *awsfake.Cloud, set *setup) {
			rule(t, set, &eventbridge.PutRuleInput{EventPattern: awssdk.String(`{"detail-type":["Released","Allocated"],"source":["trading","x"]}`)})
		}, warns: `- source: [\"trading\",\"x\"]\n+ source: [\"trading\"]`},
		{name: "input", change: func(_ *awsfake.Cloud, set *setup) {
			q, err := set.queues.Look(t.Context(), "trade-inventory")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := set.events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: awssdk.String("trade-inventory"), EventBusName: awssdk.String("platform"), Targets: []types.Target{{Id: awssdk.String(targetID), Arn: &q.ARN}}}); err != nil {
				t.Fatal(err)
			}
		}, warns: "has no dead-letter queue: what the bus cannot deliver is lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := make(tt.change)
			var log strings.Builder
			_, err := begin(t, configOf(url, false), env(&log))
			if tt.fatal != "" {
				if err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), tt.fatal) || !strings.Contains(err.Error(), "--cloudformation") {
					t.Errorf("%v, want …%s…", err, tt.fatal)
				}
				found := configOf(url, false).Check(t.Context(), env(nil))
				if check.Worst(found) != check.Problem {
					t.Errorf("doctor says %+v", found)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			found := configOf(url, false).Check(t.Context(), env(nil))
			if want := map[bool]check.Severity{true: check.Warning, false: check.OK}[tt.warns != ""]; check.Worst(found) != want {
				t.Errorf("doctor says %+v", found)
			}
			if !strings.Contains(log.String(), tt.warns) || tt.warns == "" && strings.Contains(log.String(), "WARN") {
				t.Errorf("no %q in the log:\n%s", tt.warns, log.String())
			}
		})
	}
}

// Rights that are missing do not keep a source from starting that may read its queue.
func TestLookingMayBeDenied(t *testing.T) {
	c := awsfake.New(func(op string, _ int) awsfake.Fault {
		switch op {
		case "DescribeEventBus", "ListRuleNamesByTarget":
			return awsfake.Fault{Code: "AccessDeniedException", Status: 400}
		}
		return awsfake.Fault{}
	})
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.CreateQueue(awsfake.Queue{Name: "trade-inventory"})
	var log strings.Builder
	if _, err := begin(t, configOf(srv.URL, false), env(&log)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cannot see whether the bus platform exists", "allow events:DescribeEventBus", "cannot see which rules feed the queue"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log.String())
		}
	}
	if found := configOf(srv.URL, false).Check(t.Context(), env(nil)); check.Worst(found) != check.Warning {
		t.Errorf("%+v", found)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := begin(t, configOf("http://127.0.0.1:1", false), env(nil))
	if _, down := event.AsUnavailable(err); !down || !strings.Contains(err.Error(), "no answer from 127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if found := configOf("http://127.0.0.1:1", false).Check(t.Context(), env(nil)); check.Worst(found) != check.Unreachable {
		t.Errorf("%+v", found)
	}
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{`{"a":[1,2],"b":["x"]}`, `{"b":["x"],"a":[2, 1]}`, ""},
		{`{"a":{"b":[{"prefix":"<x"}]}}`, `{"a":{"b":[{"prefix":"y"}],"c":["z"]}}`, "- a.b: [{\"prefix\":\"<x\"}]\n+ a.b: [{\"prefix\":\"y\"}]\n+ a.c: [\"z\"]"},
		{`{"a":[9007199254740993]}`, `{"a":[9007199254740992]}`, "- a: [9007199254740993]\n+ a: [9007199254740992]"},
		{`nonsense`, `{"a":[1]}`, "- (no JSON): nonsense\n+ a: [1]"},
		{``, `{"a":[1]}`, "+ a: [1]"},
	} {
		if got := feed.Difference(tt.a, tt.b); got != tt.want {
			t.Errorf("%s / %s:\n%s\nwant\n%s", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := configOf("", true)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{name: "good", change: func(*Config) {}},
		{name: "bus", change: func(c *Config) { c.Bus = "a b" }, want: "bus: "},
		{name: "bus ARN", change: func(c *Config) { c.Bus = "arn:aws:events:eu-west-1:123456789012:event-bus/x" }},
		{name: "queue", change: func(c *Config) { c.Queue = "a/b" }, want: "queue: "},
		{name: "queue by ARN", change: func(c *Config) { c.Queue = "arn:aws:sqs:eu-west-1:123456789012:q" }, want: "the queue is given by its name"},
		{name: "queue by ARN, no provision", change: func(c *Config) { c.Queue, c.Provision = "arn:aws:sqs:eu-west-1:123456789012:q", false }},
		{name: "rule", change: func(c *Config) { c.Rule = "a/b" }, want: "rule: "},
		{name: "adopt", change: func(c *Config) { c.Provision, c.Adopt = false, true }, want: "adopt: says nothing"},
		{name: "undelivered", change: func(c *Config) { c.DeadLetters.Undelivered = "q.fifo" }, want: "must be the name of a standard queue"},
		{name: "failed", change: func(c *Config) { c.DeadLetters.Failed = "q.fifo" }, want: "failed: \"q.fifo\" must be the name of a standard queue"},
		{name: "pattern", change: func(c *Config) { c.Pattern.JSON = nil }, want: "pattern: is empty"},
		{name: "endpoint", change: func(c *Config) { c.Endpoint = "x" }, want: "endpoint: "},
		{name: "wait", change: func(c *Config) { c.Wait = time.Millisecond }, want: "wait: "},
	} {
		c := good
		tt.change(&c)
		if err := c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want …%s…", tt.name, err, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 80)
	for _, tt := range []struct{ queue, rule, undelivered, failed string }{
		{"orders", "orders", "orders-undelivered", "orders-failed"},
		{"orders.fifo", "orders", "orders-undelivered", "orders-failed.fifo"},
	} {
		c := Config{Queue: tt.queue}
		if got := []string{c.rule(), c.DeadLetters.UndeliveredOf(c.Queue, false), c.DeadLetters.FailedOf(c.Queue)}; !slices.Equal(got, []string{tt.rule, tt.undelivered, tt.failed}) {
			t.Errorf("%s: %v", tt.queue, got)
		}
	}
	c := Config{Queue: long}
	if r := c.rule(); len(r) != 64 || r == long[:64] {
		t.Errorf("%q", r)
	}
	if u := c.DeadLetters.UndeliveredOf(c.Queue, false); len(u) != 80 || !strings.HasSuffix(u, "-undelivered") {
		t.Errorf("%q", u)
	}
}

// The template is YAML, and its names hang together.
func TestTemplates(t *testing.T) {
	for _, queue := range []string{"trade-inventory", "trade-inventory.fifo"} {
		c := configOf("", true)
		c.Queue = queue
		text := "Resources:\n" + c.CloudFormation("trade-inventory")
		var doc struct {
			Resources map[string]struct {
				Type string `yaml:"Type"`
			} `yaml:"Resources"`
		}
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var kinds []string
		for _, r := range doc.Resources {
			kinds = append(kinds, r.Type)
		}
		slices.Sort(kinds)
		if diff := cmp.Diff([]string{"AWS::Events::Rule", "AWS::SQS::Queue", "AWS::SQS::Queue", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::SQS::QueuePolicy"}, kinds); diff != "" {
			t.Errorf("%s\n%s", diff, text)
		}
		for _, m := range regexp.MustCompile(`!(?:GetAtt|Ref) ([A-Za-z0-9]+)`).FindAllStringSubmatch(text, -1) {
			if _, ok := doc.Resources[m[1]]; !ok {
				t.Errorf("%s names %s, which is not there\n%s", m[0], m[1], text)
			}
		}
		tf := c.Terraform("trade-inventory")
		defined := map[string]bool{}
		for _, m := range regexp.MustCompile(`resource "(\w+)" "(\w+)"`).FindAllStringSubmatch(tf, -1) {
			defined[m[1]+"."+m[2]] = true
		}
		for _, m := range regexp.MustCompile(`(aws_sqs_queue|aws_cloudwatch_event_rule)\.(\w+)\.`).FindAllStringSubmatch(tf, -1) {
			if !defined[m[1]+"."+m[2]] {
				t.Errorf("%s is not there\n%s", m[0], tf)
			}
		}
		if len(defined) != 7 || strings.Count(tf, "{") != strings.Count(tf, "}") {
			t.Errorf("%v\n%s", defined, tf)
		}
	}
}

func TestPermissions(t *testing.T) {
	c := configOf("", false)
	c.Region = "eu-west-1"
	if got := c.Permissions(); len(got) != 3 || got[0].Resource[0] != "arn:aws:sqs:eu-west-1:*:trade-inventory" {
		t.Errorf("%+v", got)
	}
	for _, s := range c.Permissions() {
		for _, a := range s.Action {
			if regexp.MustCompile(`Put|Create|Set|Tag`).MatchString(a) && a != "events:ListTagsForResource" && !strings.Contains(a, "ByTarget") && !strings.Contains(a, "Targets") {
				t.Errorf("to look, %s is asked for", a)
			}
		}
	}
	c.Provision = true
	got := c.Permissions()
	if len(got) != 5 || !slices.Contains(got[3].Action, "events:PutRule") || got[3].Resource[0] != "arn:aws:events:eu-west-1:*:rule/platform/trade-inventory" {
		t.Errorf("%+v", got)
	}
}

func TestMoto(t *testing.T) {
	settings := aws.Settings{Endpoint: mototest.Start(t), Region: "eu-west-1"}
	cfg, err := aws.Load(t.Context(), settings, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	buses := eventbridge.NewFromConfig(cfg)
	c := configOf(settings.Endpoint, true)
	c.Settings = settings // with its attempts: moto's first answer may be a 500
	if _, err := begin(t, c, env(nil)); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the bus platform does not exist") {
		t.Fatalf("no bus: %v", err)
	}
	if _, err := buses.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: awssdk.String("platform")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done, err := setupOf(t, c).Provision(t.Context())
		t.Log(done)
		if err != nil {
			t.Fatal(err)
		}
	}
	if done, err := setupOf(t, c).Provision(t.Context()); err != nil || len(done) > 0 {
		t.Errorf("the third time: %v, %v", done, err)
	}
	if found := c.Check(t.Context(), env(nil)); check.Worst(found) != check.OK {
		t.Errorf("%+v", found)
	}
	if _, err := buses.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{EventBusName: awssdk.String("platform"), Source: awssdk.String("trading"), DetailType: awssdk.String("Allocated"), Detail: awssdk.String(`{"n":1}`)}}}); err != nil {
		t.Fatal(err)
	}
	if got := arrive(t, c, 1); got[0] != "Allocated" {
		t.Errorf("%v", got)
	}
}
