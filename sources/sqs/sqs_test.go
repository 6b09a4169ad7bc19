package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/race"
	"github.com/leatdev/leat/sources"
)

func bodies(b *event.Batch) (out []string) {
	for i := range b.Events {
		out = append(out, string(b.Events[i].Raw))
	}
	return out
}

func fill(cloud *awsfake.Cloud, queue string, n int) {
	for i := range n {
		cloud.Send(queue, awsfake.Message{Body: fmt.Sprint(i), Dedup: fmt.Sprint("d", i)})
	}
}

// Whatever subset of a batch of ten cannot be deleted at first, each message is deleted in the end and nothing else is.
func TestEachSubsetOfADeleteFails(t *testing.T) {
	step := 1
	if testing.Short() || race.Enabled {
		step = 17
	}
	for subset := 0; subset < 1<<most; subset += step {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(func(op string, n int) awsfake.Fault {
				if op == "DeleteMessageBatch" && n == 0 {
					return awsfake.Fault{Fail: uint16(subset)}
				}
				return awsfake.Fault{}
			})
			cloud.CreateQueue(awsfake.Queue{Name: "q"})
			fill(cloud, "q", most)
			s := start(t, cloud, Config{Queue: "q"}, nil)
			settle(s.next(), event.Committed)
			s.end()
			if n := cloud.Deleted("q"); n != most {
				t.Errorf("subset %010b: %d deleted", subset, n)
			}
			failed := 0
			for i := range most {
				failed += subset >> i & 1
			}
			if n := s.Counts().DeleteFailed.Load(); n != int64(failed) {
				t.Errorf("subset %010b: %d failures counted, want %d", subset, n, failed)
			}
		})
	}
}

// A message stays hidden for as long as it is in hand, whether the pipeline has it or it waits in the source.
func TestHeldMessagesStayHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q", Visibility: 5 * time.Second})
		fill(cloud, "q", 30)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		first := s.next()
		time.Sleep(20 * time.Minute) // nobody takes the others
		if n := cloud.InFlight("q"); n != 30 {
			t.Errorf("%d of 30 messages still hidden", n)
		}
		for _, m := range cloud.Messages("q") {
			if m.Receives != 1 {
				t.Errorf("message %s was handed out %d times", m.Body, m.Receives)
			}
		}
		settle(first, event.Committed)
		for n := len(first.Events); n < 30; {
			b := s.next()
			n += len(b.Events)
			settle(b, event.Committed)
		}
		s.end()
		if left := cloud.Messages("q"); len(left) > 0 || s.Counts().Lost.Load() > 0 {
			t.Errorf("%d messages left, %d lost", len(left), s.Counts().Lost.Load())
		}
	})
}

// A message that becomes visible while it is in hand is not passed on again; its newer handle deletes it.
func TestLostHandle(t *testing.T) {
	for _, queue := range []string{"q", "q.fifo"} {
		synctest.Test(t, func(t *testing.T) {
			expire := make(chan struct{}, 1)
			cloud := awsfake.New(func(op string, _ int) awsfake.Fault {
				select {
				case <-expire:
					return awsfake.Fault{Expire: true}
				default:
					return awsfake.Fault{}
				}
			})
			cloud.CreateQueue(awsfake.Queue{Name: queue})
			fill(cloud, queue, 1)
			s := start(t, cloud, Config{Queue: queue}, nil)
			b := s.next()
			expire <- struct{}{}
			time.Sleep(time.Minute)
			if n := s.Counts().Again.Load(); n != 1 {
				t.Errorf("came again %d times, want 1", n)
			}
			settle(b, event.Committed)
			s.end()
			if n := cloud.Deleted(queue); n != 1 {
				t.Errorf("%s: %d deleted", queue, n)
			}
		})
	}
}

func TestReturnWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		fill(cloud, "q", 1)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		for _, want := range []time.Duration{0, 1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			began := time.Now()
			b := s.next()
			if got := time.Since(began); got < want || got > want+100*time.Millisecond {
				t.Errorf("came after %s, want %s", got, want)
			}
			settle(b, event.Released)
		}
		s.end()
	})
	if got := returnAfter(1000); got != 15*time.Minute {
		t.Errorf("the longest wait is %s", got)
	}
}

// What is in hand when the pipeline stops is visible at once.
func TestStopGivesBackAtOnce(t *testing.T) {
	for _, queue := range []string{"q", "q.fifo"} {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: queue})
			fill(cloud, queue, 25)
			s := start(t, cloud, Config{Queue: queue}, nil)
			b := s.next()
			s.stop()
			for m := range s.msgs {
				settle(event.FromMessage(m), event.Released)
			}
			settle(b, event.Released)
			s.end()
			if n := cloud.InFlight(queue); n != 0 {
				t.Errorf("%s: %d messages hidden", queue, n)
			}
			if n := len(cloud.Messages(queue)); n != 25 {
				t.Errorf("%s: %d messages of 25", queue, n)
			}
		})
	}
}

// A group stops at its first failure and goes on with it, in order; the other groups go on meanwhile.
func TestGroupStopsAtItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q.fifo"})
		for i := range 12 {
			g := string(rune('a' + i%3))
			cloud.Send("q.fifo", awsfake.Message{Body: fmt.Sprint(g, i/3), Group: g, Dedup: fmt.Sprint(i)})
		}
		s := start(t, cloud, Config{Queue: "q.fifo"}, nil)
		var got []string
		failures, runs := 0, 0
		for len(got) < 12 {
			b := s.next()
			back := map[string]bool{}
			for i, body := range bodies(b) {
				group := b.Lane(i)
				if group != body[:1] {
					t.Errorf("%s is in lane %q", body, group)
				}
				runs = max(runs, strings.Count(strings.Join(bodies(b), " "), group))
				if body == "b1" && failures < 2 {
					failures++
					back[group] = true
				}
				if back[group] { // with those behind it
					b.Settle(i, event.Released, nil)
					continue
				}
				got = append(got, body)
				b.Settle(i, event.Committed, nil)
			}
		}
		s.end()
		if runs < 2 {
			t.Error("no batch had two events of a group")
		}
		if failures != 2 || fmt.Sprint(got[len(got)-3:]) != "[b1 b2 b3]" {
			t.Errorf("the failing group held others up: %v", got)
		}
		sort.SliceStable(got, func(i, j int) bool { return got[i][0] < got[j][0] })
		if diff := cmp.Diff(strings.Fields("a0 a1 a2 a3 b0 b1 b2 b3 c0 c1 c2 c3"), got); diff != "" {
			t.Error(diff)
		}
	})
}

// Full queues: 0.2 calls for a message and no more; an idle queue: three receives in a minute.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(string, int) awsfake.Fault { return awsfake.Fault{Delay: 10 * time.Millisecond} })
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		const messages = 6000
		fill(cloud, "q", messages)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		before, widest := cloud.Calls(""), int64(0)
		for n := 0; n < messages; {
			b := s.next()
			n += len(b.Events)
			settle(b, event.Committed)
			widest = max(widest, s.Counts().Receivers.Load())
		}
		calls := cloud.Calls("") - before
		if per := float64(calls) / messages; per > 0.21 {
			t.Errorf("%.3f calls for each message", per)
		}
		if widest != 8 {
			t.Errorf("%d receivers at full queues, want 8", widest)
		}
		time.Sleep(2 * time.Minute)
		if n := s.Counts().Receivers.Load(); n != 1 {
			t.Errorf("%d receivers after two idle minutes, want 1", n)
		}
		idle := cloud.Calls("")
		time.Sleep(10 * time.Minute)
		if n := cloud.Calls("") - idle; n > 30 {
			t.Errorf("%d calls in ten idle minutes", n)
		}
		began := time.Now()
		fill(cloud, "q", 1)
		settle(s.next(), event.Committed)
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("a message after an idle time took %s", took)
		}
		s.end()
	})
}

func TestMetadataAndKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q.fifo"})
		cloud.Send("q.fifo", awsfake.Message{
			ID: "m1", Body: "{}", Group: "g", Dedup: "mine", Trace: "Root=1-5759e988-bd862e3fe1be46a994272793",
			Attributes: map[string]awsfake.Attribute{
				"tenant": {DataType: "String", StringValue: "a<b"}, "n": {DataType: "Number", StringValue: "7"}, "bin": {DataType: "Binary", BinaryValue: []byte{0, 255}},
			},
		})
		s := start(t, cloud, Config{Queue: "q.fifo"}, nil)
		b := s.next()
		var got map[string]string
		if err := json.Unmarshal(b.Events[0].Metadata, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"tenant": "a<b", "n": "7", "bin": "AP8=", "MessageId": "m1", "MessageGroupId": "g", "MessageDeduplicationId": "mine",
			"SentTimestamp": "946684800000", "ApproximateReceiveCount": "1", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
			"SequenceNumber": "00000000000000000001",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		if key := b.Key(0); key != "mine" {
			t.Errorf("key %q, want the producer's deduplication id", key)
		}
		settle(b, event.Committed)
		s.end()
	})
}

// A digest that the queue makes of the body is no id: two events may say the same.
func TestKeyOfContentBasedDeduplication(t *testing.T) {
	s := &Source{fifo: true, content: true}
	s.env.MaxEventSize = 100
	for _, tt := range []struct{ dedup, want string }{{digest("{}"), "m"}, {"mine", "mine"}} {
		id, body := "m", "{}"
		h := s.read(received(id, body, map[string]string{"MessageDeduplicationId": tt.dedup}))
		if h.key != tt.want {
			t.Errorf("%s: key %q, want %q", tt.dedup, h.key, tt.want)
		}
	}
}

func TestStartFails(t *testing.T) {
	refuse := func(op, code string, status int) func(string, int) awsfake.Fault {
		return func(o string, _ int) awsfake.Fault {
			if o == op {
				return awsfake.Fault{Code: code, Status: status}
			}
			return awsfake.Fault{}
		}
	}
	for _, tt := range []struct {
		name   string
		config Config
		env    map[string]string
		faults func(string, int) awsfake.Fault
		want   string
	}{
		{name: "missing", config: Config{Queue: "nope"}, want: "sqs: queue nope: does not exist in this region and account: AWS.SimpleQueueService.NonExistentQueue"},
		{name: "missing by URL", config: Config{Queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/nope"}, want: "does not exist in this region and account"},
		{name: "denied", config: Config{Queue: "q"}, faults: refuse("GetQueueUrl", "AccessDenied", http.StatusForbidden), want: "the role or user needs sqs:GetQueueUrl there"},
		{name: "wrong key", config: Config{Queue: "q"}, faults: refuse("GetQueueUrl", "InvalidClientTokenId", http.StatusForbidden), want: "AWS does not take the credentials"},
		{name: "down", config: Config{Queue: "q"}, faults: refuse("GetQueueAttributes", "InternalFailure", 500), want: "sqs: queue q: InternalFailure"},
		{name: "no region", config: Config{Queue: "q"}, env: map[string]string{"AWS_REGION": ""}, want: "no AWS region: set region"},
		{name: "no credentials", config: Config{Queue: "q"}, env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, want: "no AWS credentials: set AWS_ACCESS_KEY_ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			synctest.Test(t, func(t *testing.T) {
				cloud := awsfake.New(tt.faults)
				cloud.CreateQueue(awsfake.Queue{Name: "q"})
				s := open(tt.config, sources.Env{}, cloud.Transport())
				_, err := s.Subscribe(t.Context(), "")
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want …%s…", err, tt.want)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// lines gathers what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A queue that is deleted while leat runs is waited for with back-off: few calls, few lines, and it goes on by itself.
func TestQueueGoneWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		out := &lines{}
		s := start(t, cloud, Config{Queue: "q", Reading: Reading{Receivers: Receivers{Min: 4}}}, slog.New(slog.NewTextHandler(out, nil)))
		fill(cloud, "q", 1)
		settle(s.next(), event.Committed)
		time.Sleep(time.Second)
		cloud.DeleteQueue("q")
		time.Sleep(time.Minute)
		before := cloud.Calls("ReceiveMessage")
		time.Sleep(time.Hour)
		if n := cloud.Calls("ReceiveMessage") - before; n > 250 || n < 100 {
			t.Errorf("%d receives in an hour without the queue", n)
		}
		if said := out.String(); !strings.Contains(said, "does not exist in this region and account") || strings.Count(said, "\n") > 150 {
			t.Errorf("logged %d lines: %.300s", strings.Count(said, "\n"), said)
		}
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		fill(cloud, "q", 1)
		settle(s.next(), event.Committed)
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := s.Counts().Receivers.Load(); n != 4 {
			t.Errorf("%d receivers once the queue is back, want 4", n)
		}
		s.end()
	})
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{c: Config{Queue: "q"}},
		{c: Config{Queue: "q/r"}, want: "queue"},
		{c: Config{Queue: "q", Settings: aws.Settings{Endpoint: "localhost"}}, want: "endpoint"},
		{c: Config{Queue: "q", Reading: Reading{Wait: 1500 * time.Millisecond}}, want: "whole seconds"},
		{c: Config{Queue: "q", Reading: Reading{Receivers: Receivers{Min: 4, Max: 2}}}, want: "min 4 is above max 2"},
	} {
		err := tt.c.Validate()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want …%s…", tt.c, err, tt.want)
		}
	}
}

// A delete that goes on failing is given up when the source is closed, not before.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(op string, _ int) awsfake.Fault {
			if op == "DeleteMessageBatch" {
				return awsfake.Fault{Code: "InternalFailure", Status: 500}
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		fill(cloud, "q", 3)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		settle(s.next(), event.Committed)
		time.Sleep(20 * time.Second)
		if n := cloud.InFlight("q"); n != 3 {
			t.Errorf("%d of 3 undeleted messages hidden", n)
		}
		began := time.Now()
		s.end()
		if took := time.Since(began); took < closeWithin || took > closeWithin+time.Second {
			t.Errorf("Close took %s", took)
		}
		synctest.Wait()
		if n := s.Counts().Undeleted.Load(); n != 3 {
			t.Errorf("%d counted as undeleted, want 3", n)
		}
	})
}

// A FIFO receive whose answer is lost is asked for again: its group does not stay locked until its visibility ends.
func TestLostAnswer(t *testing.T) {
	for _, fault := range []awsfake.Fault{{Lost: true}, {Cut: true}} {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(func(op string, n int) awsfake.Fault {
				if op == "ReceiveMessage" && n == 0 {
					return fault
				}
				return awsfake.Fault{}
			})
			cloud.CreateQueue(awsfake.Queue{Name: "q.fifo", Visibility: 10 * time.Minute})
			fill(cloud, "q.fifo", 3)
			began := time.Now()
			s := start(t, cloud, Config{Queue: "q.fifo"}, nil)
			b := s.next()
			if diff := cmp.Diff([]string{"0", "1", "2"}, bodies(b)); diff != "" {
				t.Error(diff)
			}
			settle(b, event.Committed)
			if took := time.Since(began); took > time.Second {
				t.Errorf("came after %s", took)
			}
			s.end()
			if n := cloud.Deleted("q.fifo"); n != 3 {
				t.Errorf("%d deleted", n)
			}
		})
	}
}

// Without the right to delete the source says so, rarely, and stops to receive rather than to pile up.
func TestDeleteDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(op string, _ int) awsfake.Fault {
			if op == "DeleteMessageBatch" {
				return awsfake.Fault{Code: "AccessDenied", Status: http.StatusForbidden}
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		fill(cloud, "q", 2*backlog)
		out := &lines{}
		s := start(t, cloud, Config{Queue: "q"}, slog.New(slog.NewTextHandler(out, nil)))
		taken := 0
		for quiet := false; !quiet; {
			select {
			case m := <-s.msgs:
				b := event.FromMessage(m)
				taken += len(b.Events)
				settle(b, event.Committed)
			case <-time.After(30 * time.Second):
				quiet = true
			}
		}
		if taken >= 2*backlog || taken < backlog {
			t.Errorf("%d messages taken, none deleted", taken)
		}
		if said := out.String(); !strings.Contains(said, "the role or user needs sqs:DeleteMessage there") || strings.Count(said, "cannot delete") > 4 {
			t.Errorf("logged %d times: %.300s", strings.Count(said, "cannot delete"), said)
		}
		s.end()
	})
}

// A call that extends a message while it is given back does not make it wait longer.
func TestReturnDuringABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(op string, n int) awsfake.Fault {
			if op == "ChangeMessageVisibilityBatch" && n == 0 {
				return awsfake.Fault{Delay: 500 * time.Millisecond}
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q", Visibility: 40 * time.Second})
		fill(cloud, "q", 1)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		b := s.next()
		for cloud.Calls("ChangeMessageVisibilityBatch") == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		began := time.Now()
		settle(b, event.Released)
		settle(s.next(), event.Committed)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("came again after %s", took)
		}
		s.end()
	})
}

// What comes of a group while some of it is with the pipeline waits for that, and goes then together; where one goes back
// that a batch's limits have cut from those behind it, they go back too.
func TestRunsOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q.fifo"})
		send := func(group string, from, to int) {
			for i := from; i < to; i++ {
				cloud.Send("q.fifo", awsfake.Message{Body: fmt.Sprint(group, i), Group: group, Dedup: fmt.Sprint(group, i)})
			}
		}
		send("a", 0, 4)
		s := startIn(t, cloud, Config{Queue: "q.fifo"}, sources.Env{MaxEvents: 3})
		first := s.next()
		if diff := cmp.Diff(strings.Fields("a0 a1 a2"), bodies(first)); diff != "" {
			t.Error(diff)
		}
		send("b", 0, 2)
		var rest []string
		for len(rest) < 3 { // a3, and those of b
			b := s.next()
			rest = append(rest, bodies(b)...)
			settle(b, event.Committed)
		}
		if diff := cmp.Diff(strings.Fields("a3 b0 b1"), rest); diff != "" {
			t.Error(diff)
		}
		settle(first, event.Committed)

		send("c", 0, 9)
		first = s.next() // three of them; the next three wait in the channel, the last in the source
		time.Sleep(time.Second)
		first.Settle(0, event.Committed, nil)
		first.Settle(1, event.Released, nil)
		first.Settle(2, event.Released, nil)
		next := s.next()
		if diff := cmp.Diff(strings.Fields("c3 c4 c5"), bodies(next)); diff != "" {
			t.Error(diff)
		}
		settle(next, event.Released) // sent by then, as the pipeline would
		var got []string
		for len(got) < 8 {
			b := s.next()
			got = append(got, bodies(b)...)
			settle(b, event.Committed)
		}
		if diff := cmp.Diff(strings.Fields("c1 c2 c3 c4 c5 c6 c7 c8"), got); diff != "" {
			t.Error(diff)
		}
		s.end()
	})
}
