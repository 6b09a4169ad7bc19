package peek

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/aws/mototest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

func open(t *testing.T, cloud *awsfake.Cloud, name string) *Queue {
	t.Helper()
	cfg, err := aws.Load(t.Context(), aws.Settings{}, cloud.Transport(), 4)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Open(t.Context(), aws.NewSQS(cfg), name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// look gives the bodies that a look shows.
func look(t *testing.T, q *Queue, most int) (bodies []string, l Looked) {
	t.Helper()
	l, err := q.Look(t.Context(), most, func(m Message) error { bodies = append(bodies, m.Body); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return bodies, l
}

func TestLook(t *testing.T) {
	for _, name := range []string{"q", "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := awsfake.New(nil)
				cloud.CreateQueue(awsfake.Queue{Name: name})
				var want []string
				for i := range 25 {
					body := fmt.Sprint(i)
					want = append(want, body)
					cloud.Send(name, awsfake.Message{Body: body, Group: fmt.Sprint("g", i%5), Dedup: body, Trace: "Root=1",
						Attributes: map[string]awsfake.Attribute{"a": {DataType: "String", StringValue: "x"}}})
				}
				q := open(t, cloud, name)
				first := want
				if q.FIFO {
					first = want[:10] // two of each group: behind them it is locked
				}
				for range 2 {
					if got, l := look(t, q, 100); !slices.Equal(got, first) || l.Seen != len(first) || l.Unreleased != 0 || l.More {
						t.Errorf("%v, %+v", got, l)
					}
				}
				if got, l := look(t, q, 3); !slices.Equal(got, want[:3]) || !l.More {
					t.Errorf("three: %v, %+v", got, l)
				}
				if n := len(cloud.Messages(name)); n != 25 || cloud.InFlight(name) != 0 {
					t.Errorf("%d messages, %d in flight", n, cloud.InFlight(name))
				}
				for i, m := range cloud.Messages(name)[:3] {
					if m.Receives != 3 {
						t.Errorf("message %d was received %d times", i, m.Receives)
					}
				}
			})
		})
	}
}

// What is shown of a message, and that a look which is broken off gives all back.
func TestMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "dead"})
		cloud.CreateQueue(awsfake.Queue{Name: "q", Dead: "dead", MaxReceives: 2})
		for range 12 {
			cloud.Send("q", awsfake.Message{ID: "", Body: "b", Trace: "Root=1", Attributes: map[string]awsfake.Attribute{"a": {DataType: "String", StringValue: "x"}}})
		}
		q := open(t, cloud, "arn:aws:sqs:eu-west-1:"+awsfake.Account+":q")
		if q.MaxReceives != 2 || q.Dead != "dead" || q.Waiting != 12 {
			t.Errorf("%+v", q)
		}
		enough := errors.New("enough")
		l, err := q.Look(t.Context(), 100, func(m Message) error {
			if m.Trace != "Root=1" || m.Receives != 1 || m.Sent.IsZero() || m.Attributes["a"] != "x" {
				t.Errorf("%+v", m)
			}
			return enough
		})
		if !errors.Is(err, enough) || cloud.InFlight("q") != 0 {
			t.Errorf("%v, %d in flight", err, cloud.InFlight("q"))
		}
		ctx, stop := context.WithCancel(t.Context())
		seen := 0
		l, err = q.Look(ctx, 100, func(Message) error { seen++; stop(); return nil })
		if !errors.Is(err, context.Canceled) || cloud.InFlight("q") != 0 || seen == 0 {
			t.Errorf("%v, %d in flight", err, cloud.InFlight("q"))
		}
		if l.Last != 10 { // received twice by now
			t.Errorf("%d messages are at their last receive", l.Last)
		}
		// A killed look gives back after its time.
		if _, err := q.receive(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(hold + time.Second)
		if n := cloud.InFlight("q"); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestReleaseIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(op string, n int) awsfake.Fault {
			if op == "ChangeMessageVisibilityBatch" {
				return []awsfake.Fault{{Code: "InternalFailure", Status: 500}, {Fail: 0b101, EntryCode: "InternalError"}, {}}[min(n, 2)]
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		for range 4 {
			cloud.Send("q", awsfake.Message{Body: "b"})
		}
		if _, l := look(t, open(t, cloud, "q"), 10); l.Unreleased != 0 || cloud.InFlight("q") != 0 {
			t.Errorf("%+v, %d in flight", l, cloud.InFlight("q"))
		}
	})
}

func TestNoQueue(t *testing.T) {
	cloud := awsfake.New(nil)
	cfg, err := aws.Load(t.Context(), aws.Settings{}, cloud.Transport(), 4)
	if err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string]string{"nope": "queue nope: does not exist", "a b": "no name of a queue"} {
		_, err := Open(t.Context(), aws.NewSQS(cfg), name)
		if err == nil || !strings.Contains(err.Error(), words) || errors.Is(err, fs.ErrNotExist) != (name == "nope") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMoto(t *testing.T) {
	cfg, err := aws.Load(t.Context(), aws.Settings{Endpoint: mototest.Start(t)}, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close(cfg)
	client := aws.NewSQS(cfg)
	name := "orders"
	if _, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name}); err != nil {
		t.Fatal(err)
	}
	q, err := Open(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	in := &sqs.SendMessageBatchInput{QueueUrl: &q.URL}
	for i := range 3 {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: awssdk.String(fmt.Sprint(i)), MessageBody: awssdk.String(fmt.Sprint("b", i))})
	}
	if _, err := client.SendMessageBatch(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, l := look(t, q, 10)
		if slices.Sort(got); !slices.Equal(got, []string{"b0", "b1", "b2"}) || l.Unreleased != 0 {
			t.Errorf("%v, %+v", got, l)
		}
	}
}
