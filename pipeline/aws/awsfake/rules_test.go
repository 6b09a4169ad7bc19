package awsfake

import (
	"slices"
	"strings"
	"testing"
)

// A rule feeds a queue whose policy lets it in, with the event in EventBridge's shape.
func TestRulesFeedQueues(t *testing.T) {
	c := New(nil)
	c.CreateBus("shop")
	queue := func(name string) string { return "arn:aws:sqs:eu-west-1:" + Account + ":" + name }
	out, code := do(t, c, "PutRule:Event", m{"Name": "r", "EventBusName": "shop", "EventPattern": `{"source":["s"]}`, "Tags": []m{{"Key": "k", "Value": "v"}}})
	if code != "" {
		t.Fatal(code)
	}
	arn := out["RuleArn"].(string)
	policy := func(to, rule string) string {
		return `{"Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + to +
			`","Condition":{"ArnEquals":{"aws:SourceArn":"` + rule + `"}}}]}`
	}
	for name, p := range map[string]string{"in": policy(queue("in"), arn), "other": policy(queue("other"), arn+"x"), "none": ""} {
		if _, code := do(t, c, "CreateQueue", m{"QueueName": name, "Attributes": m{"Policy": p, "VisibilityTimeout": "7"}, "tags": m{"k": name}}); code != "" {
			t.Fatal(code)
		}
		if _, code := do(t, c, "PutTargets:Event", m{"Rule": "r", "EventBusName": "shop", "Targets": []m{{"Id": name, "Arn": queue(name)}}}); code != "" {
			t.Fatal(code)
		}
	}
	if _, code := do(t, c, "PutEvents", m{"Entries": []m{
		{"Source": "s", "DetailType": "T", "Detail": `{"n":1.50}`, "EventBusName": "shop", "TraceHeader": "Root=1"},
		{"Source": "x", "DetailType": "T", "Detail": `{}`, "EventBusName": "shop"},
		{"Source": "s", "DetailType": "T", "Detail": `{}`},
	}}); code != "" {
		t.Fatal(code)
	}
	got := c.Messages("in")
	if len(got) != 1 || got[0].Trace != "Root=1" || !strings.Contains(got[0].Body, `"account":"123456789012"`) || !strings.Contains(got[0].Body, `"detail":{"n":1.50}`) {
		t.Errorf("the queue holds %+v", got)
	}
	if n := len(c.Messages("other")) + len(c.Messages("none")); n != 0 {
		t.Errorf("%d messages passed policies that do not let them", n)
	}
	if _, code := do(t, c, "DeleteRule:Event", m{"Name": "r", "EventBusName": "shop"}); code != "ValidationException" {
		t.Errorf("a rule with targets can be deleted: %q", code)
	}
	if _, code := do(t, c, "RemoveTargets:Event", m{"Rule": "r", "EventBusName": "shop", "Ids": []string{"in", "other", "none"}}); code != "" {
		t.Error(code)
	}
	if _, code := do(t, c, "DeleteRule:Event", m{"Name": "r", "EventBusName": "shop"}); code != "" || len(c.Rules("shop")) != 0 {
		t.Errorf("%q, rules left: %v", code, c.Rules("shop"))
	}
	if _, code := do(t, c, "PutRule:Event", m{"Name": "r", "EventPattern": `{"source":"s"}`}); code != "InvalidEventPatternException" {
		t.Errorf("bad pattern: %q", code)
	}
	if !slices.Equal(c.Queues(), []string{"in", "none", "other"}) {
		t.Errorf("queues: %v", c.Queues())
	}
}
