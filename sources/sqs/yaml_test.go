package sqs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	ebsink "github.com/leatdev/leat/sinks/eventbridge"
	sqssink "github.com/leatdev/leat/sinks/sqs"
	"github.com/leatdev/leat/sources/sqs"
)

const yamlOfAll = `
pipelines:
  p:
    source:
      sqs: { queue: orders, region: eu-west-1, receivers: { max: 4 } }
    steps:
      - append: { stream: "order/{{ id }}" }
      - name: to-bus
        forward: { eventbridge: { bus: orders, endpoint: "http://127.0.0.1:5000", resources: [a] } }
      - name: to-queue
        forward: { sqs: { queue: out.fifo, group: data.tenant, attributes: { tenant: data.tenant } } }
`

func TestYAML(t *testing.T) {
	c, ds := config.LoadBytes("p.yaml", []byte(yamlOfAll), config.Options{})
	if c == nil || len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	p := c.Pipelines[0]
	want := sqs.Config{Queue: "orders", Settings: aws.Settings{Region: "eu-west-1"}, Reading: sqs.Reading{Wait: 20 * time.Second, Receivers: sqs.Receivers{Min: 1, Max: 4}, S3: sqs.Pointers{Mode: "fetch"}}}
	if diff := cmp.Diff(want, p.Source.Plugin.Config); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
	for i, want := range []any{
		ebsink.Config{Bus: "orders", Settings: aws.Settings{Endpoint: "http://127.0.0.1:5000"}, Resources: []config.Text{{Source: "a"}}, IDField: "metadata.id", Trace: "AWSTraceHeader"},
		sqssink.Config{Queue: "out.fifo", Group: config.Expr{Source: "data.tenant"}, Attributes: map[string]config.Expr{"tenant": {Source: "data.tenant"}}},
	} {
		if diff := cmp.Diff(want, p.Steps[i+1].Forward.Sink.Config, cmpopts.IgnoreFields(config.Expr{}, "Pos"), cmpopts.IgnoreFields(config.Text{}, "Pos")); diff != "" {
			t.Errorf("sink (-want +got):\n%s", diff)
		}
	}
	bad := strings.NewReplacer("queue: orders", "queue: or/ders", "group: data.tenant", "group: tenant", "bus: orders", "bus: or ders").Replace(yamlOfAll)
	_, ds = config.LoadBytes("p.yaml", []byte(bad), config.Options{})
	for _, want := range []string{"is no name of a queue", "tenant", "neither a name"} {
		if !strings.Contains(fmt.Sprint(ds), want) {
			t.Errorf("no %q in %v", want, ds)
		}
	}
}
