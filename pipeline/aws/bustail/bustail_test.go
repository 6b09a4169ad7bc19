package bustail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/pipeline/aws/mototest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

// clients speak to the fake without a network, or to an emulator.
func clients(t *testing.T, transport http.RoundTripper, endpoint string) (*aws.SQS, *aws.EventBridge) {
	t.Helper()
	cfg, err := aws.Load(t.Context(), aws.Settings{Endpoint: endpoint}, transport, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	return aws.NewSQS(cfg), aws.NewEventBridge(cfg)
}

func put(t *testing.T, bus *aws.EventBridge, on, source, typ, detail string) {
	t.Helper()
	out, err := bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
		EventBusName: &on, Source: &source, DetailType: &typ, Detail: &detail, TraceHeader: awssdk.String("Root=1-5759e988-bd862e3fe1be46a994272793"),
	}}})
	if err != nil || out.FailedEntryCount > 0 {
		t.Fatal(err, out)
	}
}

func typesOf(t *testing.T, ms []Message) (out []string) {
	t.Helper()
	for _, m := range ms {
		var e map[string]any
		if err := json.Unmarshal(m.Body, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e["detail-type"].(string))
	}
	return out
}

// left is what the fake still holds of watches.
func left(c *awsfake.Cloud, buses ...string) (names []string) {
	for _, b := range buses {
		names = append(names, c.Rules(b)...)
	}
	return append(names, c.Queues()...)
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name  string
		o     Options
		want  []string
		calls int // of PutEvents
	}{
		{name: "everything", o: Options{Bus: "shop"}, want: []string{"A", "B"}, calls: 2},
		{name: "a pattern", o: Options{Bus: "shop", Pattern: "{\n \"detail-type\": [\"B\"]\n}"}, want: []string{"B"}, calls: 2},
		{name: "a probe", o: Options{Bus: "shop", Probe: true}, want: []string{"A", "B"}, calls: 3},
		{name: "a probe beside a pattern", o: Options{Bus: "shop", Probe: true, Pattern: `{"detail-type":["B"]}`}, want: []string{"B"}, calls: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := awsfake.New(nil)
				cloud.CreateBus("shop")
				queues, bus := clients(t, cloud.Transport(), "")
				tail, err := Open(t.Context(), queues, bus, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				for name, want := range map[string]string{"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "300"} {
					if got := cloud.QueueAttribute(tail.Name, name); got != want {
						t.Errorf("%s is %q", name, got)
					}
				}
				if tt.o.Probe { // the first round brings the probe alone
					if ms, err := tail.Receive(t.Context()); err != nil || len(ms) > 0 {
						t.Errorf("%v, %v", typesOf(t, ms), err)
					}
				}
				if _, live := tail.Live(); live != tt.o.Probe {
					t.Errorf("live: %t", live)
				}
				put(t, bus, "shop", "s", "A", `{"n":1.50}`)
				put(t, bus, "shop", "s", "B", `{}`)
				ms, err := tail.Receive(t.Context())
				if got := typesOf(t, ms); err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("%v, %v", got, err)
				}
				if !strings.HasPrefix(ms[0].Trace, "Root=1-5759e988") {
					t.Errorf("trace %q", ms[0].Trace)
				}
				tail.Done(t.Context(), ms)
				if n := cloud.Calls("PutEvents"); n != tt.calls {
					t.Errorf("%d calls of PutEvents, want %d", n, tt.calls)
				}
				if err := tail.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if got := left(cloud, "shop"); len(got) > 0 {
					t.Errorf("left behind: %v", got)
				}
			})
		})
	}
}

// A delivery of the same event in another message is not shown; a replay of it is.
func TestRedeliveriesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		queues, bus := clients(t, cloud.Transport(), "")
		tail, err := Open(t.Context(), queues, bus, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close(t.Context())
		event := `{"id":"e1","detail-type":"A","source":"s","detail":{}}`
		for _, body := range []string{event, event, strings.Replace(event, "{", `{"replay-name":"r",`, 1), "no JSON", "no JSON"} {
			cloud.Send(tail.Name, awsfake.Message{Body: body})
		}
		ms, err := tail.Receive(t.Context())
		if err != nil || len(ms) != 4 { // what is no event has the message's id
			t.Errorf("%d messages, %v", len(ms), err)
		}
		time.Sleep(2 * hidden) // nothing was done with them: they come again, and are not given
		if again, err := tail.Receive(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("again: %d, %v", len(again), err)
		}
		if n := len(cloud.Messages(tail.Name)); n != 0 {
			t.Errorf("%d messages left", n)
		}
	})
}

// Whatever call fails for good, nothing is left, and the error names the action that the role needs.
func TestNothingIsLeftOfHalfASetUp(t *testing.T) {
	for op, need := range map[string]string{
		"DescribeEventBus": "events:DescribeEventBus", "PutRule": "events:PutRule", "CreateQueue": "sqs:CreateQueue",
		"GetQueueAttributes": "sqs:GetQueueAttributes", "SetQueueAttributes": "sqs:SetQueueAttributes", "PutTargets": "events:PutTargets",
	} {
		for _, f := range []awsfake.Fault{{Code: "AccessDeniedException", Status: 400}, {Lost: true}, {Cut: true}, {Code: "InternalFailure", Status: 500}} {
			t.Run(fmt.Sprintf("%s %+v", op, f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cloud := awsfake.New(func(called string, _ int) awsfake.Fault {
						if called == op {
							return f
						}
						return awsfake.Fault{}
					})
					queues, bus := clients(t, cloud.Transport(), "")
					tail, err := Open(t.Context(), queues, bus, Options{})
					if err == nil && f.Cut && op == "SetQueueAttributes" { // its answer holds nothing that could be cut
						err = tail.Close(t.Context())
					} else if err == nil {
						t.Fatal("no error")
					}
					if f.Code == "AccessDeniedException" && (!strings.Contains(err.Error(), need) || !errors.Is(err, fs.ErrPermission)) {
						t.Errorf("the error does not name %s: %v", need, err)
					}
					if got := left(cloud, "default"); len(got) > 0 {
						t.Errorf("left behind: %v", got)
					}
				})
			})
		}
	}
}

// One failure of each call is made good.
func TestFaultsThatPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(_ string, n int) awsfake.Fault {
			return []awsfake.Fault{{Lost: true}, {Code: "ThrottlingException", Status: 400}, {}}[min(n, 2)]
		})
		warned := 0
		queues, bus := clients(t, cloud.Transport(), "")
		tail, err := Open(t.Context(), queues, bus, Options{Warn: func(error) { warned++ }})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the first two puts of the test fail
			_, _ = bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
				Source: awssdk.String("s"), DetailType: awssdk.String("A"), Detail: awssdk.String("{}"),
			}}})
		}
		var got []string
		for len(got) == 0 {
			ms, err := tail.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = typesOf(t, ms)
		}
		if warned == 0 {
			t.Error("no word about receives that failed")
		}
		if err := tail.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if names := left(cloud, "default"); len(names) > 0 {
			t.Errorf("left behind: %v", names)
		}
	})
}

func TestStopDuringSetUp(t *testing.T) {
	for stopAt := range 6 {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			calls := 0
			cloud := awsfake.New(func(string, int) awsfake.Fault {
				if calls++; calls == stopAt+1 {
					stop()
				}
				return awsfake.Fault{}
			})
			queues, bus := clients(t, cloud.Transport(), "")
			if _, err := Open(ctx, queues, bus, Options{}); !errors.Is(err, context.Canceled) {
				t.Errorf("stopped at call %d: %v", stopAt, err)
			}
			if names := left(cloud, "default"); len(names) > 0 {
				t.Errorf("stopped at call %d, left behind: %v", stopAt, names)
			}
		})
	}
}

// A dead watch is swept once its time is over; a living one renews its time, and what only looks like one stays.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateBus("shop")
		queues, bus := clients(t, cloud.Transport(), "")
		cloud.CreateQueue(awsfake.Queue{Name: Prefix + "of-somebody-else"})
		dead, err := Open(t.Context(), queues, bus, Options{Bus: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		dead.stopRenewing() // kill -9
		alive, err := Open(t.Context(), queues, bus, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := Sweep(t.Context(), queues, bus, time.Now()); err != nil || len(s.Rules)+len(s.Queues) > 0 {
			t.Errorf("%+v, %v", s, err)
		}
		time.Sleep(lease + time.Minute)
		s, err := Sweep(t.Context(), queues, bus, time.Now())
		if err != nil || !slices.Equal(s.Rules, []string{dead.Name}) || !slices.Equal(s.Queues, []string{dead.Name}) || !slices.Contains(s.Alive, alive.Name) {
			t.Errorf("%+v, %v", s, err)
		}
		if err := alive.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := left(cloud, "default", "shop"); !slices.Equal(got, []string{Prefix + "of-somebody-else"}) {
			t.Errorf("left: %v", got)
		}
	})
}

func TestBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		queues, bus := clients(t, cloud.Transport(), "")
		if _, err := Open(t.Context(), queues, bus, Options{Bus: "nope"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "bus nope: does not exist") {
			t.Errorf("no bus: %v", err)
		}
		if _, err := Open(t.Context(), queues, bus, Options{Pattern: `{"source":"s"}`}); err == nil || !strings.Contains(err.Error(), "Event pattern is not valid") {
			t.Errorf("no pattern: %v", err)
		}
		if got := left(cloud, "default"); len(got) > 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// What an emulator, which takes no part of ours for granted, makes of it.
func TestMoto(t *testing.T) {
	url := mototest.Start(t)
	queues, bus := clients(t, nil, url)
	for _, on := range []string{"", "shop"} {
		if on != "" {
			// Buses that are made are not part of leat's clients: the test uses the SDK's own.
			cfg, err := aws.Load(t.Context(), aws.Settings{Endpoint: url}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := eventbridge.NewFromConfig(cfg).CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: &on}); err != nil {
				t.Fatal(err)
			}
		}
		tail, err := Open(t.Context(), queues, bus, Options{Bus: on, Probe: true})
		if err != nil {
			t.Fatal(err)
		}
		for live := false; !live; _, live = tail.Live() {
			if _, err := tail.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		name := on
		if name == "" {
			name = "default"
		}
		put(t, bus, name, "s", "A", `{"n":1}`)
		ms, err := tail.Receive(t.Context())
		if got := typesOf(t, ms); err != nil || !slices.Equal(got, []string{"A"}) {
			t.Errorf("%v, %v", got, err)
		}
		tail.Done(t.Context(), ms)
		if s, err := Sweep(t.Context(), queues, bus, time.Now()); err != nil || !slices.Equal(s.Alive, []string{tail.Name}) && len(s.Alive) != 2 {
			t.Errorf("a living watch: %+v, %v", s, err)
		}
		tail.stopRenewing()
		if s, err := Sweep(t.Context(), queues, bus, time.Now().Add(time.Hour)); err != nil || !slices.Equal(s.Rules, []string{tail.Name}) || !slices.Equal(s.Queues, []string{tail.Name}) {
			t.Errorf("an orphan: %+v, %v", s, err)
		}
		if err := tail.Close(t.Context()); err != nil {
			t.Errorf("after the sweep: %v", err)
		}
	}
	out, err := queues.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	if err != nil || len(out.QueueUrls) > 0 {
		t.Errorf("%v, %v", out.QueueUrls, err)
	}
}
