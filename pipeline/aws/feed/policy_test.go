package feed

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	queueARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
	ruleARN  = "arn:aws:events:eu-west-1:123456789012:rule/platform/orders"
	bus      = "events.amazonaws.com"
)

func TestMerge(t *testing.T) {
	own := Let(bus, queueARN, ruleARN)
	mine, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	old := own
	old.Resource = "arn:aws:sqs:eu-west-1:123456789012:other"
	oldJSON, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	theirs := `{"Sid":"theirs","Effect":"Allow","Principal":{"AWS":"*"},"Action":["sqs:*"],"Resource":"*","Condition":{"Bool":{"x":true}}}`
	for _, tt := range []struct {
		name, policy, want string // want: its statements
		changed            bool
		bad                string
	}{
		{name: "none", want: "[" + string(mine) + "]", changed: true},
		{name: "one of others", policy: `{"Version":"2008-10-17","Id":"i","Statement":` + theirs + `}`, want: "[" + theirs + "," + string(mine) + "]", changed: true},
		{name: "an older one of ours", policy: `{"Statement":[` + string(oldJSON) + `,` + theirs + `]}`, want: "[" + string(mine) + "," + theirs + "]", changed: true},
		{name: "the same, written otherwise", policy: `{"Statement":[` + strings.Replace(string(mine), `"Effect":"Allow",`, "", 1)[:len(mine)-len(`"Effect":"Allow",`)-1] + `,"Effect":"Allow"}]}`, changed: false},
		{name: "no JSON", policy: "x", bad: "cannot be read"},
	} {
		got, changed, err := Merge(tt.policy, own)
		if tt.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil || changed != tt.changed {
			t.Errorf("%s: changed %v, %v", tt.name, changed, err)
			continue
		}
		if !changed {
			if got != tt.policy {
				t.Errorf("%s: %s", tt.name, got)
			}
			continue
		}
		var doc struct {
			Version, Id string //nolint:revive // AWS' spelling
			Statement   json.RawMessage
		}
		if err := json.Unmarshal([]byte(got), &doc); err != nil {
			t.Fatal(err)
		}
		if string(doc.Statement) != tt.want || doc.Version == "" || strings.Contains(tt.policy, `"Id":"i"`) && doc.Id != "i" || strings.Contains(tt.policy, "2008") && doc.Version != "2008-10-17" {
			t.Errorf("%s:\n%s\nwant the statements\n%s", tt.name, got, tt.want)
		}
	}
}

func TestAllows(t *testing.T) {
	statement := func(change map[string]string) string {
		s := map[string]string{"Effect": `"Allow"`, "Principal": `{"Service":"events.amazonaws.com"}`, "Action": `"sqs:SendMessage"`, "Resource": `"` + queueARN + `"`}
		var parts []string
		for k, v := range change {
			s[k] = v
		}
		for k, v := range s {
			parts = append(parts, `"`+k+`":`+v)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for _, tt := range []struct {
		name   string
		change map[string]string
		more   string
		want   bool
	}{
		{name: "plain", want: true},
		{name: "for the rule", change: map[string]string{"Condition": `{"ArnEquals":{"aws:SourceArn":"` + ruleARN + `"}}`}, want: true},
		{name: "for rules", change: map[string]string{"Condition": `{"ArnLike":{"aws:SourceArn":["x","arn:aws:events:*:123456789012:rule/*"]}}`}, want: true},
		{name: "for another rule", change: map[string]string{"Condition": `{"ArnEquals":{"AWS:SourceArn":"` + ruleARN + `2"}}`}},
		{name: "for another account", change: map[string]string{"Condition": `{"StringEquals":{"aws:SourceAccount":"1"}}`}},
		{name: "conditions not known", change: map[string]string{"Condition": `{"Bool":{"aws:SecureTransport":"true"}}`}, want: true},
		{name: "everybody", change: map[string]string{"Principal": `"*"`}, want: true},
		{name: "everybody of AWS", change: map[string]string{"Principal": `{"AWS":"*"}`}, want: true},
		{name: "services", change: map[string]string{"Principal": `{"Service":["sns.amazonaws.com","events.amazonaws.com"]}`}, want: true},
		{name: "another service", change: map[string]string{"Principal": `{"Service":"sns.amazonaws.com"}`}},
		{name: "all actions", change: map[string]string{"Action": `["sqs:*"]`}, want: true},
		{name: "another action", change: map[string]string{"Action": `"sqs:ReceiveMessage"`}},
		{name: "spelled in capitals", change: map[string]string{"Action": `"SQS:SendMessage"`}, want: true},
		{name: "all queues", change: map[string]string{"Resource": `"*"`}, want: true},
		{name: "another queue", change: map[string]string{"Resource": `"` + queueARN + `2"`}},
		{name: "denied beside", more: `,{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`},
		{name: "denied without TLS", more: `,{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, want: true},
	} {
		if got := Allows(`{"Statement":[`+statement(tt.change)+tt.more+`]}`, bus, queueARN, ruleARN); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if Allows("", bus, queueARN, ruleARN) || Allows("{}", bus, queueARN, ruleARN) || !Allows(`{"Statement":`+statement(nil)+`}`, bus, queueARN, ruleARN) {
		t.Error("an empty policy allows, or a single statement does not")
	}
}

// Names that differ in their signs alone give other statements.
func TestSids(t *testing.T) {
	a, b := Let(bus, queueARN, ruleARN).Sid, Let(bus, queueARN, strings.Replace(ruleARN, "platform/orders", "platform-orders", 1)).Sid
	if a == b || !strings.HasPrefix(a, "LeatRulePlatformOrders") || notAlphanumeric.MatchString(a) {
		t.Errorf("%s, %s", a, b)
	}
}
