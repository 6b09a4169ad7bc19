package sqs

import (
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/aws/awstest"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

func TestMain(m *testing.M) { awstest.Main(m, "eu-west-1") }

// origin is a queue of the fake behind a listener.
type origin struct {
	cloud *awsfake.Cloud
	url   string
	queue string
	sent  atomic.Int64
	group func(n int64) string
}

func newOrigin(t *testing.T, queue string) sourcetest.Origin {
	cloud := awsfake.New(nil)
	// Short, for what a receive that is broken off strands.
	cloud.CreateQueue(awsfake.Queue{Name: queue, Visibility: 2 * time.Second})
	srv := httptest.NewServer(cloud)
	t.Cleanup(srv.Close)
	return &origin{cloud: cloud, url: srv.URL, queue: queue, group: func(int64) string { return "one" }}
}

func (o *origin) Publish(_ testing.TB, bodies []string) {
	for _, b := range bodies {
		n := o.sent.Add(1)
		o.cloud.Send(o.queue, awsfake.Message{Body: b, Group: o.group(n), Dedup: fmt.Sprint("d", n)})
	}
}

func (o *origin) Open(t testing.TB, env sources.Env) sources.Source {
	s, err := Open(t.Context(), Config{Queue: o.queue, Settings: aws.Settings{Endpoint: o.url}, Reading: Reading{Wait: 20 * time.Second}}, env)
	if err != nil {
		t.Fatal(err)
	}
	s.(*Source).settling = 25 * time.Millisecond // the fake is near
	return s
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Unordered: true, Endless: true, Redelivers: true}, func(t *testing.T) sourcetest.Origin {
		return newOrigin(t, "orders")
	})
}

func TestConformanceFIFO(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Endless: true, Redelivers: true}, func(t *testing.T) sourcetest.Origin {
		return newOrigin(t, "orders.fifo")
	})
}
