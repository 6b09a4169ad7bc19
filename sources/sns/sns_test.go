package sns

import (
	"errors"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/aws/feed"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
	"github.com/leatdev/leat/sources/sqs"
)

func TestMain(m *testing.M) { awstest.Main(m, "us-east-1") }

const topic = "arn:aws:sns:eu-west-1:123456789012:orders"

func configOf(endpoint string) Config {
	return Config{
		Topic: topic, Queue: "orders-projection", Provision: true, Filter: Filter{Policy: config.Pattern{JSON: []byte(`{"tenant":["acme"]}`)}},
		Settings: aws.Settings{Endpoint: endpoint}, Reading: sqs.Reading{Wait: 2 * time.Second},
	}
}

func env(log *strings.Builder) sources.Env {
	e := sources.Env{Pipeline: "projection"}
	if log != nil {
		e.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	return e
}

// read reads n events and gives their data, sorted.
func read(t *testing.T, c Config, log *strings.Builder, n int) (got []string) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c, env(log))
	if err != nil {
		t.Fatal(err)
	}
	got = sourcetest.Read(t, s, n, func(e *event.Event) string {
		if err := codec.Decode(e, event.Auto, 0); err != nil {
			t.Error(err)
		}
		codec.FillMetadata(e)
		return string(e.Data) + " of " + e.Meta("tenant")
	})
	slices.Sort(got)
	return got
}

func TestMoto(t *testing.T) {
	endpoint := mototest.Start(t)
	settings := aws.Settings{Endpoint: endpoint, Region: "eu-west-1"}
	cfg, err := aws.Load(t.Context(), settings, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	topics := sns.NewFromConfig(cfg)
	c := configOf(endpoint)
	c.Visibility = 2 * time.Second // moto answers receives that were broken off: their messages are hidden for so long
	start := func(c Config) error {
		s, err := Open(t.Context(), c, env(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Subscribe(t.Context(), "")
		return err
	}
	if err := start(c); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "leat makes no topic") {
		t.Errorf("no topic: %v", err)
	}
	// moto's account is the ARN's.
	if _, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: awssdk.String("orders")}); err != nil {
		t.Fatal(err)
	}
	looking := c
	looking.Provision = false
	if err := start(looking); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the queue orders-projection does not exist") || !strings.Contains(err.Error(), "--terraform") {
		t.Errorf("no queue: %v", err)
	}
	if found := looking.Check(t.Context(), env(nil)); check.Worst(found) != check.Problem {
		t.Errorf("doctor: %+v", found)
	}
	f, err := c.connect(t.Context(), env(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	set := f.(*setup)
	done, err := set.Provision(t.Context())
	if err != nil || len(done) != 6 {
		t.Fatalf("%q, %v", done, err)
	}
	if done, err := set.Provision(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("the second time: %q, %v", done, err)
	}
	if found := looking.Check(t.Context(), env(nil)); check.Worst(found) != check.OK {
		t.Errorf("doctor: %+v", found)
	}

	publish := func(body, tenant string) {
		t.Helper()
		if _, err := topics.Publish(t.Context(), &sns.PublishInput{TopicArn: awssdk.String(topic), Message: &body, MessageAttributes: map[string]types.MessageAttributeValue{"tenant": {DataType: awssdk.String("String"), StringValue: &tenant}}}); err != nil {
			t.Fatal(err)
		}
	}
	publish(`{"n":1}`, "acme")
	publish(`{"n":2}`, "other")
	publish(`{"version":"0","id":"e","detail-type":"T","source":"s","detail":{"n":3}}`, "acme")
	var log strings.Builder
	if diff := cmp.Diff([]string{`{"n":1} of acme`, `{"n":3} of acme`}, read(t, looking, &log, 2)); diff != "" {
		t.Errorf("wrapped (-want +got):\n%s", diff)
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("%s", log.String())
	}

	// The filter and the form of the config become the subscription's.
	raw := c
	raw.Raw, raw.Filter = true, Filter{Policy: config.Pattern{JSON: []byte(`{"kind":["large"]}`)}, Scope: "body"}
	log.Reset()
	if found := raw.Check(t.Context(), env(nil)); check.Worst(found) != check.Warning {
		t.Errorf("another filter: %+v", found)
	}
	set.c = raw.here()
	if done, err := set.Provision(t.Context()); err != nil || len(done) != 3 {
		t.Errorf("%q, %v", done, err)
	}
	publish(`{"kind":"small"}`, "acme")
	publish(`{"kind":"large"}`, "acme")
	if diff := cmp.Diff([]string{`{"kind":"large"} of acme`}, read(t, raw, &log, 1)); diff != "" {
		t.Errorf("raw (-want +got):\n%s", diff)
	}

	// Somebody else's queue is left alone.
	other := c
	other.Queue = "theirs"
	if _, err := set.queues.Client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: awssdk.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if err := start(other); err == nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "adopt: true") {
		t.Errorf("%v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := configOf("http://127.0.0.1:1")
	c.Attempts = 1
	s, err := Open(t.Context(), c, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no answer from 127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if found := c.Check(t.Context(), env(nil)); check.Worst(found) != check.Unreachable {
		t.Errorf("%+v", found)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{name: "good", change: func(*Config) {}},
		{name: "topic", change: func(c *Config) { c.Topic = "orders" }, want: "topic: "},
		{name: "queue", change: func(c *Config) { c.Queue = "" }, want: "queue: "},
		{name: "FIFO queue", change: func(c *Config) { c.Queue = "q.fifo" }, want: "a standard topic does not deliver"},
		{name: "FIFO topic", change: func(c *Config) { c.Topic, c.Queue = topic+".fifo", "q.fifo" }},
		{name: "FIFO topic, standard dead letters", change: func(c *Config) { c.Topic, c.Queue, c.DeadLetters.Undelivered = topic+".fifo", "q.fifo", "d" }, want: "must be the name of a FIFO queue"},
		{name: "ARN to provision", change: func(c *Config) { c.Queue = "arn:aws:sqs:eu-west-1:123456789012:q" }, want: "by its name"},
		{name: "adopt", change: func(c *Config) { c.Provision, c.Adopt = false, true }, want: "adopt: "},
		{name: "endpoint", change: func(c *Config) { c.Endpoint = "x" }, want: "endpoint: "},
		{name: "visibility", change: func(c *Config) { c.Visibility = time.Millisecond }, want: "visibility: "},
	} {
		c := configOf("")
		tt.change(&c)
		if err := c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want …%s…", tt.name, err, tt.want)
		}
	}
}

func TestTemplatesAndRights(t *testing.T) {
	c := configOf("")
	text := "Resources:\n" + c.CloudFormation("projection")
	var doc struct {
		Resources map[string]struct {
			Type string `yaml:"Type"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Resources) != 6 {
		t.Errorf("%v, %d resources\n%s", err, len(doc.Resources), text)
	}
	for _, m := range regexp.MustCompile(`!(?:GetAtt|Ref) ([A-Za-z0-9]+)`).FindAllStringSubmatch(text, -1) {
		if _, ok := doc.Resources[m[1]]; !ok {
			t.Errorf("%s names %s, which is not there\n%s", m[0], m[1], text)
		}
	}
	tf := c.Terraform("projection")
	if !strings.Contains(tf, `resource "aws_sns_topic_subscription" "orders_projection"`) || strings.Count(tf, "{") != strings.Count(tf, "}") {
		t.Error(tf)
	}
	if got := c.Permissions(); len(got) != 4 || got[0].Resource[0] != "arn:aws:sqs:eu-west-1:*:orders-projection" || got[3].Resource[2] != "arn:aws:sqs:eu-west-1:*:"+feed.Beside("orders-projection", "failed", false) {
		t.Errorf("%+v", got)
	}
	c.Provision = false
	if got := c.Permissions(); len(got) != 2 {
		t.Errorf("%+v", got)
	}
}
