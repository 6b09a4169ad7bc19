package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/client/notify"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

func open(t *testing.T, faults func(op string, n int) awsfake.Fault) (*notify.Receiver, *awsfake.Cloud) {
	t.Helper()
	cloud := awsfake.New(faults)
	cloud.CreateQueue(awsfake.Queue{Name: "changed"})
	r, err := notify.Open(t.Context(), notify.Config{Queue: "changed", Transport: cloud.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, cloud
}

func TestReceiveAndAcknowledge(t *testing.T) {
	r, cloud := open(t, nil)
	const plain = `{"StreamId":"o-1","StreamType":"order","StreamRevision":"18"}`
	cloud.Send("changed",
		awsfake.Message{Body: plain},
		awsfake.Message{Body: `{"Type":"Notification","MessageId":"m","TopicArn":"t","Message":` + string(event.Quote(plain)) + `}`},
		awsfake.Message{Body: "no JSON"},
	)
	var good, bad []notify.Delivery
	for len(good)+len(bad) < 3 {
		got, err := r.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Err != nil {
				bad = append(bad, d)
			} else {
				good = append(good, d)
			}
		}
	}
	// One that is none hurts no others.
	if len(bad) != 1 || bad[0].Body != "no JSON" {
		t.Errorf("bad: %+v", bad)
	}
	for _, d := range good {
		want := notify.Notification{StreamID: "o-1", StreamType: "order", StreamRevision: 18}
		if diff := cmp.Diff(want, d.Notification); diff != "" || d.Stream() != (event.Stream{Type: "order", ID: "o-1"}) || d.Received != 1 {
			t.Errorf("%+v (-want +got):\n%s", d, diff)
		}
	}
	if err := r.Acknowledge(t.Context(), good...); err != nil {
		t.Fatal(err)
	}
	if n, left := cloud.Deleted("changed"), cloud.InFlight("changed"); n != 2 || left != 1 {
		t.Errorf("%d deleted, %d in flight", n, left)
	}
}

func TestAllGoesOnAfterAnError(t *testing.T) {
	r, cloud := open(t, func(op string, n int) awsfake.Fault {
		if op == "ReceiveMessage" && n == 0 {
			return awsfake.Fault{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable}
		}
		return awsfake.Fault{}
	})
	for i := range 25 {
		cloud.Send("changed", awsfake.Message{Body: fmt.Sprintf(`{"StreamId":"%d","StreamType":"order","StreamRevision":"1"}`, i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, failed := map[string]bool{}, 0
	for d, err := range r.All(ctx) {
		if err != nil {
			failed++
			continue
		}
		seen[d.StreamID] = true
		if err := r.Acknowledge(ctx, d); err != nil {
			t.Fatal(err)
		}
		if len(seen) == 25 {
			cancel()
		}
	}
	if failed != 1 || cloud.Deleted("changed") != 25 {
		t.Errorf("%d failures, %d deleted", failed, cloud.Deleted("changed"))
	}
}

func TestParse(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"StreamId":"a","StreamType":"b","StreamRevision":"1"}`:                                            true,
		`{"Message":"{\"StreamId\":\"a\",\"StreamType\":\"b\",\"StreamRevision\":\"1\"}"}`:                  true,
		`{"StreamId":"a","StreamType":"b","StreamRevision":1}`:                                              false,
		`{"StreamId":"a","StreamType":"b","StreamRevision":"0"}`:                                            false,
		`{"StreamId":"a","StreamRevision":"1"}`:                                                             false,
		`{"Type":"SubscriptionConfirmation","Message":"You have chosen to subscribe …","SubscribeURL":"x"}`: false,
		`[]`: false, ``: false, `null`: false, `"x"`: false,
	} {
		n, err := notify.Parse([]byte(body))
		if (err == nil) != ok || ok && n != (notify.Notification{StreamID: "a", StreamType: "b", StreamRevision: 1}) {
			t.Errorf("%s: %+v, %v", body, n, err)
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	cloud := awsfake.New(nil)
	for queue, words := range map[string]string{"": "names no queue", "a b": "no name of a queue", "nothing": "does not exist"} {
		_, err := notify.Open(t.Context(), notify.Config{Queue: queue, Transport: cloud.Transport()})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", queue, err)
		}
	}
	r, _ := open(t, func(op string, _ int) awsfake.Fault {
		if op == "ReceiveMessage" {
			return awsfake.Fault{Code: "AccessDenied", Status: http.StatusForbidden}
		}
		return awsfake.Fault{}
	})
	if _, err := r.Receive(t.Context()); err == nil || !strings.Contains(err.Error(), "sqs:ReceiveMessage") {
		t.Errorf("denied: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
