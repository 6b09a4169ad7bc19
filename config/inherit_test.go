package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Shared is what plugins of the test have in common.
type Shared struct {
	Region string `yaml:"region,omitempty" doc:"region"`
	Role   struct {
		ARN     string `yaml:"arn,omitempty" doc:"ARN"`
		Session string `yaml:"session,omitempty" doc:"session"`
	} `yaml:"role,omitempty" doc:"role"`
}

type bucket struct {
	Bucket string `yaml:"bucket" doc:"bucket"`
	Shared `yaml:",inline"`
}

func TestPluginsInheritSettings(t *testing.T) {
	RegisterSettings[Shared]("aws")
	defer func() { delete(inherited.types, "aws") }()
	RegisterPlugin(Registration{Kind: KindSink, Name: "bucket", Config: reflect.TypeFor[bucket]()})
	defer func() { delete(registry.m[KindSink], "bucket") }()
	c, ds := LoadBytes("p.yaml", []byte(`
aws: { region: eu-west-1, role: { arn: a, session: s } }
pipelines:
  p:
    source: { sqs: { queue: b } }
    steps:
      - append: { stream: "s/{{ id }}" }
      - name: one
        forward: { bucket: { bucket: x } }
      - name: two
        forward: { bucket: { bucket: y, region: us-east-1, role: { session: mine } } }
`), Options{})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	one, two := bucket{Bucket: "x"}, bucket{Bucket: "y"}
	one.Region, one.Role.ARN, one.Role.Session = "eu-west-1", "a", "s"
	two.Region, two.Role.ARN, two.Role.Session = "us-east-1", "a", "mine"
	for i, want := range []bucket{one, two} {
		if diff := cmp.Diff(want, c.Pipelines[0].Steps[i+1].Forward.Sink.Config); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	printed := string(Print(c))
	if !strings.Contains(printed, "aws:\n  region: eu-west-1\n") {
		t.Errorf("printed:\n%s", printed)
	}
	again, ds := LoadBytes("again.yaml", []byte(printed), Options{})
	if ds.HasErrors() || string(Print(again)) != printed {
		t.Errorf("it does not load again: %v", ds)
	}
	_, ds = LoadBytes("p.yaml", []byte("aws: { regoin: x }\n"), Options{})
	if got := ds[0].Text(false); !strings.Contains(got, `p.yaml:1:8: error[unknown_field]: aws has no field "regoin"`) || !strings.Contains(got, `did you mean "region"`) {
		t.Errorf("a mistake: %s", got)
	}
	if !strings.Contains(string(Schema()), `"region"`) {
		t.Error("the schema does not know the settings")
	}
}
