package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// sharedStore serves a store that shares its table with a Lambda.
func sharedStore(t *testing.T) (*running, *lambdatest.Lambda) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	fake := dynamofake.New(nil)
	t.Cleanup(fake.Close)
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: fake.URL}, http.DefaultTransport, 8)
	if err != nil {
		t.Fatal(err)
	}
	c := aws.NewDynamoDB(cfg)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	st, err := dynamodb.Open(t.Context(), dynamodb.Config{Client: c, Table: "leat", Create: true, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: 20 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, st), l
}

// The routes answer on a shared table as they do on any store.
func TestServerlessCapturesOnSharedTable(t *testing.T) {
	r, _ := sharedStore(t)
	answersAsCaptured(t, r)
}

func TestServerlessEndToEndOnSharedTable(t *testing.T) {
	endToEnd(t, func() *running {
		r, _ := sharedStore(t)
		return r
	})
}

// What the Lambda has written is answered at once, to the nanosecond, and what is written here is there at once.
func TestServerlessBesideTheLambda(t *testing.T) {
	r, l := sharedStore(t)
	id, err := l.Create(t.Context(), "golden", "created", "text")
	if err != nil {
		t.Fatal(err)
	}
	golden := "/streams/golden/" + id
	details := func(revision int) string {
		t.Helper()
		_, said, updated := l.Head(t, id)
		if said != fmt.Sprint(revision) {
			t.Errorf("the Lambda's head says %s, want %d", said, revision)
		}
		return fmt.Sprintf("{\n  \"stream\": {\n    \"streamId\": %q,\n    \"streamType\": \"golden\",\n    \"revision\": %d,\n    \"updatedAt\": %q\n  }\n}\n", id, revision, updated)
	}
	if got := r.do(t, "GET", golden+"/details", ""); got.status != 200 || got.body != details(1) {
		t.Errorf("%d %s, want %s", got.status, got.body, details(1))
	}
	const event = `{"event":{"eventType":"changed","payload":"{}"}}`
	if got := r.do(t, "PUT", golden+"/events/2", event); got.status != 201 || got.body != details(2) {
		t.Errorf("%d %s, want %s", got.status, got.body, details(2))
	}
	if status, err := l.Append(t.Context(), "golden", id, 3, "more", "x"); status != 201 {
		t.Errorf("%d %v", status, err)
	}
	if got := r.do(t, "PUT", golden+"/events/3", event); got.status != 409 {
		t.Errorf("%d %s", got.status, got.body)
	}
	var page struct {
		EventPage struct {
			Events []struct{ EventType, Payload, CreatedAt string }
		}
	}
	if err := json.Unmarshal([]byte(r.do(t, "GET", golden+"/events", "").body), &page); err != nil || len(page.EventPage.Events) != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	theirs, last := l.Events(t, id)
	for i, e := range page.EventPage.Events {
		if e.EventType+" "+e.Payload != theirs[i] || i == 2 && e.CreatedAt != last {
			t.Errorf("event %d: %+v, there %s at %s", i+1, e, theirs[i], last)
		}
	}
	// Thirty clients of both write the next revision: one is told 201, of leat's others nobody 500.
	answers := make([]int, 30)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			if i%2 == 0 {
				answers[i], _ = l.Append(t.Context(), "golden", id, 4, "race", "x")
			} else {
				answers[i] = r.do(t, "PUT", golden+"/events/4", event).status
			}
		})
	}
	all.Wait()
	won := 0
	for i, status := range answers {
		if status == 201 {
			won++
		} else if status != 409 && (i%2 == 1 || status != 500) {
			t.Errorf("caller %d is told %d", i, status)
		}
	}
	if won != 1 {
		t.Errorf("%d won: %v", won, answers)
	}
}
