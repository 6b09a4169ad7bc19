package awsfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// do makes one call as a client would, and gives its answer or its error's code.
func do(t *testing.T, c *Cloud, op string, in any) (out map[string]any, code string) {
	t.Helper()
	target := "AmazonSQS."
	if strings.Contains(op, "Event") { // of a bus; those of rules are written with :Event behind
		target = "AWSEvents."
	}
	op = strings.TrimSuffix(op, ":Event")
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", target+op)
	res, err := c.Transport().RoundTrip(r)
	if err != nil {
		return nil, err.Error()
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err.Error()
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatalf("%s: %q: %v", op, answer, err)
	}
	if res.StatusCode != http.StatusOK {
		_, code, _ = strings.Cut(out["__type"].(string), "#")
	}
	return out, code
}

type m = map[string]any

func receive(t *testing.T, c *Cloud, queue string, wait int) (bodies, handles []string) {
	t.Helper()
	out, code := do(t, c, "ReceiveMessage", m{"QueueUrl": "x/" + queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait, "MessageSystemAttributeNames": []string{"All"}})
	if code != "" {
		t.Fatal(code)
	}
	list, _ := out["Messages"].([]any)
	for _, x := range list {
		bodies = append(bodies, x.(m)["Body"].(string))
		handles = append(handles, x.(m)["ReceiptHandle"].(string))
	}
	return bodies, handles
}

func TestVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(nil)
		c.CreateQueue(Queue{Name: "dead"})
		c.CreateQueue(Queue{Name: "q", Visibility: 5 * time.Second, Dead: "dead", MaxReceives: 3})
		c.Send("q", Message{Body: "a"})
		began := time.Now()
		var last string
		for n := range 3 {
			got, handles := receive(t, c, "q", 20)
			if at := time.Since(began); !slices.Equal(got, []string{"a"}) || at != time.Duration(n)*5*time.Second {
				t.Errorf("receive %d: %v after %s", n, got, at)
			}
			if last != "" {
				// An older handle says yes and deletes nothing.
				if _, code := do(t, c, "DeleteMessage", m{"QueueUrl": "x/q", "ReceiptHandle": last}); code != "" || len(c.Messages("q")) != 1 {
					t.Errorf("delete with an old handle: %s, %d left", code, len(c.Messages("q")))
				}
				if _, code := do(t, c, "ChangeMessageVisibility", m{"QueueUrl": "x/q", "ReceiptHandle": last, "VisibilityTimeout": 9}); code != codeParameter {
					t.Errorf("change with an old handle: %s", code)
				}
			}
			last = handles[0]
		}
		if got, _ := receive(t, c, "q", 20); got != nil || len(c.Messages("dead")) != 1 || len(c.Messages("q")) != 0 {
			t.Errorf("the fourth receive gave %v; %d dead", got, len(c.Messages("dead")))
		}
	})
}

func TestFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(nil)
		c.CreateQueue(Queue{Name: "q.fifo", Visibility: 30 * time.Second})
		for i, body := range []string{"a0", "b0", "a1", "a2", "b1"} {
			c.Send("q.fifo", Message{Body: body, Group: body[:1], Dedup: fmt.Sprint(i)})
		}
		got, handles := receive(t, c, "q.fifo", 0)
		if fmt.Sprint(got) != "[a0 b0 a1 a2 b1]" {
			t.Errorf("received %v", got)
		}
		for _, i := range []int{0, 2} {
			if _, code := do(t, c, "ChangeMessageVisibility", m{"QueueUrl": "x/q.fifo", "ReceiptHandle": handles[i], "VisibilityTimeout": 0}); code != "" {
				t.Error(code)
			}
		}
		if got, _ := receive(t, c, "q.fifo", 0); got != nil {
			t.Errorf("%v while a2 of the group is in flight", got)
		}
		do(t, c, "DeleteMessage", m{"QueueUrl": "x/q.fifo", "ReceiptHandle": handles[3]})
		if got, _ := receive(t, c, "q.fifo", 0); fmt.Sprint(got) != "[a0 a1]" {
			t.Errorf("then %v", got)
		}
		time.Sleep(time.Minute)
		if _, code := do(t, c, "DeleteMessage", m{"QueueUrl": "x/q.fifo", "ReceiptHandle": handles[1]}); code != codeParameter {
			t.Errorf("delete after the time was over: %q", code)
		}
		send := m{"QueueUrl": "x/q.fifo", "MessageBody": "x", "MessageGroupId": "c", "MessageDeduplicationId": "same"}
		for _, wait := range []time.Duration{0, dedupWindow - 1, 2} {
			time.Sleep(wait)
			if _, code := do(t, c, "SendMessage", send); code != "" {
				t.Error(code)
			}
		}
		if n := len(c.Messages("q.fifo")); n != 4+2 {
			t.Errorf("%d messages, want b0 a0 a1 b1 and two of c", n)
		}
	})
}

func TestRefuses(t *testing.T) {
	c := New(nil)
	c.CreateQueue(Queue{Name: "q"})
	c.CreateQueue(Queue{Name: "q.fifo"})
	attributes := m{}
	for i := range 11 {
		attributes[fmt.Sprint("a", i)] = m{"DataType": "String", "StringValue": "x"}
	}
	many := make([]m, 11)
	for i := range many {
		many[i] = m{"Id": fmt.Sprint(i), "MessageBody": "x"}
	}
	half := strings.Repeat("x", 600<<10)
	for _, tt := range []struct {
		name, op string
		in       m
		want     string
	}{
		{"no queue", "SendMessage", m{"QueueUrl": "x/nope", "MessageBody": "x"}, "QueueDoesNotExist"},
		{"empty body", "SendMessage", m{"QueueUrl": "x/q"}, "MissingParameter"},
		{"NUL", "SendMessage", m{"QueueUrl": "x/q", "MessageBody": "\x00"}, "InvalidMessageContents"},
		{"large", "SendMessage", m{"QueueUrl": "x/q", "MessageBody": half + half}, codeParameter},
		{"attributes", "SendMessage", m{"QueueUrl": "x/q", "MessageBody": "x", "MessageAttributes": attributes}, codeParameter},
		{"empty attribute", "SendMessage", m{"QueueUrl": "x/q", "MessageBody": "x", "MessageAttributes": m{"a": m{"DataType": "String"}}}, codeParameter},
		{"no group", "SendMessage", m{"QueueUrl": "x/q.fifo", "MessageBody": "x", "MessageDeduplicationId": "d"}, "MissingParameter"},
		{"no dedup", "SendMessage", m{"QueueUrl": "x/q.fifo", "MessageBody": "x", "MessageGroupId": "g"}, codeParameter},
		{"empty batch", "SendMessageBatch", m{"QueueUrl": "x/q"}, "EmptyBatchRequest"},
		{"eleven", "SendMessageBatch", m{"QueueUrl": "x/q", "Entries": many}, "TooManyEntriesInBatchRequest"},
		{"same id", "SendMessageBatch", m{"QueueUrl": "x/q", "Entries": []m{many[0], many[0]}}, "BatchEntryIdsNotDistinct"},
		{"large batch", "SendMessageBatch", m{"QueueUrl": "x/q", "Entries": []m{{"Id": "1", "MessageBody": half}, {"Id": "2", "MessageBody": half}}}, "BatchRequestTooLong"},
		{"handle", "DeleteMessage", m{"QueueUrl": "x/q", "ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"},
		{"long wait", "ReceiveMessage", m{"QueueUrl": "x/q", "WaitTimeSeconds": 21}, codeParameter},
		{"no entries", "PutEvents", m{}, "ValidationException"},
		{"much", "PutEvents", m{"Entries": []m{{"Source": "s", "DetailType": "t", "Detail": half}, {"Source": "s", "DetailType": "t", "Detail": half}}}, "ValidationException"},
		{"no bus", "DescribeEventBus", m{"Name": "nope"}, "ResourceNotFoundException"},
	} {
		if _, code := do(t, c, tt.op, tt.in); code != tt.want {
			t.Errorf("%s: %q, want %s", tt.name, code, tt.want)
		}
	}
}

func TestPutEvents(t *testing.T) {
	c := New(nil)
	out, code := do(t, c, "PutEvents", m{"Entries": []m{
		{"Source": "s", "DetailType": "t", "Detail": "{}"},
		{"Source": "s", "DetailType": "t", "Detail": "[]"},
		{"Source": "aws.s3", "DetailType": "t", "Detail": "{}"},
		{"Source": "s", "Detail": "{}"},
		{"Source": "s", "DetailType": "t", "Detail": "{}", "EventBusName": "nope"},
	}})
	var codes []string
	list, _ := out["Entries"].([]any)
	for _, e := range list {
		s, _ := e.(m)["ErrorCode"].(string)
		codes = append(codes, s)
	}
	if want := []string{"", "MalformedDetail", "NotAuthorizedForSourceException", "InvalidArgument", ""}; code != "" || !slices.Equal(codes, want) || out["FailedEntryCount"] != 3.0 {
		t.Errorf("%s %v", code, out)
	}
	if n := len(c.Events("default")); n != 1 {
		t.Errorf("%d events", n)
	}
}

// Each fault does what it says, over a listener too.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		kept  int // messages after one SendMessage
		want  string
	}{
		{fault: Fault{}, kept: 1},
		{fault: Fault{Code: "RequestThrottled", Status: 400}, want: "RequestThrottled"},
		{fault: Fault{Lost: true}, kept: 1, want: "EOF"},
		{fault: Fault{Cut: true}, kept: 1, want: "EOF"},
	} {
		c := New(func(string, int) Fault { return tt.fault })
		c.CreateQueue(Queue{Name: "q"})
		send := m{"QueueUrl": "x/q", "MessageBody": "x"}
		if _, code := do(t, c, "SendMessage", send); !strings.Contains(code, tt.want) || (code == "") != (tt.want == "") {
			t.Errorf("%+v: %q", tt.fault, code)
		}
		if n := len(c.Messages("q")); n != tt.kept {
			t.Errorf("%+v: %d messages", tt.fault, n)
		}
		srv := httptest.NewServer(c)
		body, _ := json.Marshal(send)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
		res, err := srv.Client().Do(r)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if broken := tt.fault.Lost || tt.fault.Cut; broken != (err != nil) || broken && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("over a listener, %+v: %v", tt.fault, err)
		}
		srv.Close()
	}
}

// The same seed makes the same faults.
func TestPlan(t *testing.T) {
	show := func(seed uint64) string {
		p, out := Rough(seed), ""
		for n := range 100 {
			out += fmt.Sprintf("%+v\n", p.Faults("SendMessageBatch", n))
		}
		return out
	}
	first, again, other := show(1), show(1), show(2)
	if first != again || first == other {
		t.Error("the plan does not go by its seed")
	}
}
