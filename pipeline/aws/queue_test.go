package aws

import (
	"strings"
	"testing"
)

func TestQueueNames(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Queue
		bad  string
	}{
		{in: "orders", want: Queue{Name: "orders"}},
		{in: "orders.fifo", want: Queue{Name: "orders.fifo"}},
		{in: "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", want: Queue{URL: "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", Name: "orders", Region: "eu-west-1"}},
		{in: "http://localhost:5000/123456789012/orders.fifo", want: Queue{URL: "http://localhost:5000/123456789012/orders.fifo", Name: "orders.fifo"}},
		{in: "arn:aws:sqs:us-east-1:123456789012:orders", want: Queue{Name: "orders", Account: "123456789012", Region: "us-east-1"}},
		{in: "", bad: "names no queue"},
		{in: "or ders", bad: "no name of a queue"},
		{in: "arn:aws:sns:us-east-1:123456789012:orders", bad: "no ARN of a queue"},
		{in: "https://example.com/", bad: "no URL of a queue"},
	} {
		got, err := ParseQueue(tt.in)
		if tt.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%q: %v, want …%s…", tt.in, err, tt.bad)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%q: %+v, %v", tt.in, got, err)
		}
	}
}

func TestPlaceIsTheSameForOneQueue(t *testing.T) {
	in := Settings{Region: "eu-west-1"}
	want := "sqs orders eu-west-1"
	for _, name := range []string{"orders", "arn:aws:sqs:eu-west-1:123456789012:orders", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"} {
		if got := in.Place(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := in.Place("other"); got == want {
		t.Errorf("another queue: %q", got)
	}
}
