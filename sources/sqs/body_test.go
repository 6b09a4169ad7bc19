package sqs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func pointer(name, bucket, key string) string {
	return fmt.Sprintf(`[%q,{"s3BucketName":%q,"s3Key":%q}]`, name, bucket, key)
}

func TestPointers(t *testing.T) {
	for _, tt := range []struct {
		body   string
		want   string
		nested bool
	}{
		{body: pointer(pointers[0], "b", "k/é +"), want: "s3://b/k/é +"},
		{body: " \n" + pointer(pointers[1], "b", "k"), want: "s3://b/k"},
		{body: `{"Type":"Notification","Message":` + string(event.Quote(pointer(pointers[0], "b", "k"))) + `}`, want: "s3://b/k", nested: true},
		{body: `{"Type":"Other","Message":` + string(event.Quote(pointer(pointers[0], "b", "k"))) + `}`},
		{body: `{"Type":"Notification","Message":{"S3Pointer":1}}`},
		{body: pointer("somebody's.S3Pointer", "b", "k")},
		{body: pointer(pointers[0], "", "k")},
		{body: `["` + pointers[0] + `"]`},
		{body: `["` + pointers[0] + `","b","k"]`},
		{body: `["` + pointers[0] + `",{"s3BucketName":1,"s3Key":2}]`},
		{body: `["` + pointers[0] + `",{"s3BucketName":"b"`},
		{body: ""},
		{body: `["a"`},
		{body: `{}`},
	} {
		o, nested := pointerOf(tt.body)
		got := ""
		if o != nil {
			got = o.String()
		}
		if got != tt.want || nested != tt.nested {
			t.Errorf("%s: %q, nested %v; want %q, %v", tt.body, got, nested, tt.want, tt.nested)
		}
	}
}

// The body of the extended client is fetched, inside an SNS notification too, and deleted with its message.
func TestBodiesInS3(t *testing.T) {
	for _, remove := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: "q"})
			cloud.PutObject("large", "a/1 ü", `{"n":1}`)
			cloud.PutObject("dotted.bucket", "2", `{"n":"\""}`)
			cloud.Send("q", awsfake.Message{Body: pointer(pointers[0], "large", "a/1 ü")})
			cloud.Send("q", awsfake.Message{Body: `{"Type":"Notification","TopicArn":"t","Message":` + string(event.Quote(pointer(pointers[0], "dotted.bucket", "2"))) + `}`})
			// The client signs for another region first: the bucket says where it is.
			s := start(t, cloud, Config{Queue: "q", Settings: aws.Settings{Region: "us-east-1"}, Reading: Reading{S3: Pointers{Delete: remove}}}, nil)
			b := s.next()
			want := []string{`{"n":1}`, `{"Type":"Notification","TopicArn":"t","Message":"{\"n\":\"\\\"\"}"}`}
			if diff := cmp.Diff(want, bodies(b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := cloud.Objects(); n != 2 {
				t.Errorf("%d objects while the events are in hand", n)
			}
			settle(b, event.Committed)
			s.end()
			if want := map[bool]int{false: 2, true: 0}[remove]; cloud.Objects() != want {
				t.Errorf("delete %v: %d objects left", remove, cloud.Objects())
			}
		})
	}
}

func TestBodiesThatCannotBeHad(t *testing.T) {
	for _, tt := range []struct {
		name  string
		c     Pointers
		key   string
		code  string
		words string
	}{
		{name: "gone", key: "nope", code: event.CodeBody, words: "s3://large/nope is gone: NoSuchKey"},
		{name: "too large", key: "huge", code: event.CodeTooLarge, words: "limits.event_size"},
		{name: "another bucket", c: Pointers{Buckets: []string{"ours"}}, key: "1", code: event.CodeBody, words: "s3.buckets does not name"},
		{name: "kept", c: Pointers{Mode: keepPointers}, key: "1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: "q"})
			cloud.PutObject("large", "huge", strings.Repeat("x", 1<<20+1))
			cloud.PutObject("large", "1", "{}")
			body := pointer(pointers[0], "large", tt.key)
			cloud.Send("q", awsfake.Message{Body: body})
			s := start(t, cloud, Config{Queue: "q", Reading: Reading{S3: tt.c}}, nil)
			b := s.next()
			var err error
			if b.Refused != nil {
				err = b.Refused(0)
			}
			if event.Code(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.words) || string(b.Events[0].Raw) != body {
				t.Errorf("%s: %v, body %s", tt.name, err, b.Events[0].Raw)
			}
			settle(b, event.Poisoned)
			s.end()
		})
	}
}

// While S3 denies or is down the message goes back and comes again; behind it in a FIFO group nothing overtakes it. On its
// last receive it is parked with the reason.
func TestBodiesComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := 3
		cloud := awsfake.New(func(op string, n int) awsfake.Fault {
			if op == "GetObject" && n < down {
				return awsfake.Fault{Code: "AccessDenied", Status: http.StatusForbidden}
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "q.fifo"})
		cloud.PutObject("large", "1", `"fetched"`)
		cloud.Send("q.fifo", awsfake.Message{Body: pointer(pointers[0], "large", "1"), Group: "g", Dedup: "1"})
		cloud.Send("q.fifo", awsfake.Message{Body: `"behind"`, Group: "g", Dedup: "2"})
		began := time.Now()
		s := start(t, cloud, Config{Queue: "q.fifo"}, nil)
		var got []string
		for len(got) < 2 {
			b := s.next()
			got = append(got, bodies(b)...)
			settle(b, event.Committed)
		}
		s.end()
		if diff := cmp.Diff([]string{`"fetched"`, `"behind"`}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if took := time.Since(began); took < 6*time.Second || took > 10*time.Second {
			t.Errorf("it took %s, want the waits of 1, 2 and 4 s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(func(op string, _ int) awsfake.Fault {
			if op == "GetObject" {
				return awsfake.Fault{Code: "SlowDown", Status: http.StatusServiceUnavailable}
			}
			return awsfake.Fault{}
		})
		cloud.CreateQueue(awsfake.Queue{Name: "dead"})
		cloud.CreateQueue(awsfake.Queue{Name: "q", Dead: "dead", MaxReceives: 4})
		cloud.Send("q", awsfake.Message{Body: pointer(pointers[0], "large", "1")})
		s := start(t, cloud, Config{Queue: "q"}, nil)
		b := s.next()
		if err := b.Refused(0); event.Code(err) != event.CodeBody || !strings.Contains(err.Error(), "SlowDown") {
			t.Errorf("%v", err)
		}
		settle(b, event.Poisoned)
		s.end()
		if len(cloud.Messages("dead")) > 0 || len(cloud.Messages("q")) > 0 {
			t.Error("a message is left or in the dead-letter queue")
		}
	})
}

// A message that comes for the last time before the queue's dead-letter queue is refused with words, and never gets there.
func TestLastReceive(t *testing.T) {
	for _, tt := range []struct{ most, want int }{{most: 5, want: 5}, {most: 3, want: 3}, {most: 2, want: 0}, {most: 0, want: 0}} {
		synctest.Test(t, func(t *testing.T) {
			cloud := awsfake.New(nil)
			cloud.CreateQueue(awsfake.Queue{Name: "dead"})
			cloud.CreateQueue(awsfake.Queue{Name: "q", Dead: map[bool]string{true: "dead"}[tt.most > 0], MaxReceives: tt.most})
			cloud.Send("q", awsfake.Message{Body: "{}", Attributes: map[string]awsfake.Attribute{watermillUUID: {DataType: "String", StringValue: "of-the-publisher"}}})
			s := start(t, cloud, Config{Queue: "q"}, nil)
			refused := 0
			for n := 1; n <= max(tt.want, 2); n++ {
				b := s.next()
				if key := b.Key(0); key != "of-the-publisher" {
					t.Errorf("key %q", key)
				}
				if b.Refused != nil && b.Refused(0) != nil {
					refused = n
					if err := b.Refused(0); event.Code(err) != event.CodeReceives || !strings.Contains(err.Error(), fmt.Sprintf("received %d times", n)) {
						t.Errorf("%v", err)
					}
					settle(b, event.Poisoned)
					break
				}
				settle(b, event.Released)
			}
			if refused != tt.want || s.Counts().Last.Load() != int64(min(tt.want, 1)) {
				t.Errorf("maxReceiveCount %d: refused at receive %d, want %d; %d counted", tt.most, refused, tt.want, s.Counts().Last.Load())
			}
			if tt.want > 0 {
				s.end()
				if len(cloud.Messages("dead")) > 0 || cloud.Deleted("q") != 1 {
					t.Errorf("dead-letter queue: %d; deleted %d", len(cloud.Messages("dead")), cloud.Deleted("q"))
				}
				return
			}
			s.end()
		})
	}
}

// What keeps the source from reading is told, and that it is over.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		told := make(chan string, 100)
		s := startIn(t, cloud, Config{Queue: "q"}, sources.Env{Trouble: func(err error) { told <- fmt.Sprint(err) }})
		synctest.Wait()
		cloud.DeleteQueue("q")
		if got := <-told; !strings.Contains(got, "queue q: does not exist") {
			t.Errorf("told %s", got)
		}
		calls := cloud.Calls("ReceiveMessage")
		time.Sleep(10 * time.Minute)
		if n := cloud.Calls("ReceiveMessage") - calls; n > 45 {
			t.Errorf("%d receives in ten minutes without a queue: a hot loop", n)
		}
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		cloud.Send("q", awsfake.Message{Body: "{}"})
		settle(s.next(), event.Committed)
		last := ""
		for len(told) > 0 {
			last = <-told
		}
		if last != "<nil>" {
			t.Errorf("the last word is %s", last)
		}
		s.end()
	})
}

// Every number has its name.
func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(nil)
		cloud.CreateQueue(awsfake.Queue{Name: "q"})
		fill(cloud, "q", 3)
		s := start(t, cloud, Config{Queue: "q"}, nil)
		r := register{}
		s.show(r)
		b := s.next()
		flying := r["sqs_messages_in_flight"]()
		settle(b, event.Committed)
		s.end()
		got := map[string]int64{}
		for name, read := range r {
			if n := read(); n != 0 {
				got[name] = n
			}
		}
		got["sqs_calls_total"] = min(got["sqs_calls_total"], 2) // receives that wait
		want := map[string]int64{"sqs_calls_total": 2, "sqs_messages_received_total": 3, "sqs_messages_deleted_total": 3, "sqs_receivers": 1}
		if diff := cmp.Diff(want, got); diff != "" || flying != 3 {
			b, _ := json.Marshal(got)
			t.Errorf("in flight %d; %s\n%s", flying, b, diff)
		}
	})
}

type register map[string]func() int64

func (r register) Counter(name, _ string, read func() int64) { r[name] = read }
func (r register) Gauge(name, _ string, read func() int64)   { r[name] = read }
