package dynamodb_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// clock is one that the test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// TestFinderNets has each of the finder's nets catch what the ones before it miss.
func TestFinderNets(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	var at, skew clock
	at.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c), Now: func() time.Time { return at.now().Add(time.Duration(skew.ns.Load())) }}
	// The store itself does not look within the test.
	cfg := dynamodb.Config{Client: c, Table: fmt.Sprint("leat-", tables.Add(1)), Now: at.now, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}}
	st := openStore(t, cfg)
	id, err := l.Create(t.Context(), "a", "T", "1")
	if err != nil {
		t.Fatal(err)
	}
	revision := int64(1)
	write := func() {
		t.Helper()
		revision++
		if status, err := l.Append(t.Context(), "a", id, revision, "T", "1"); status != 201 {
			t.Fatal(status, err)
		}
	}
	finds := func(st *dynamodb.Store, want int64, when string) {
		t.Helper()
		if err := st.Find(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h, err := st.Head(t.Context()); err != nil || h.Position != want {
			t.Errorf("%s: the log has %d events, %v; want %d", when, h.Position, err, want)
		}
	}
	finds(st, 1, "the first sweep")
	write()
	server.Reset()
	finds(st, 2, "a poll")
	if n := server.Cost().Calls["Scan"]; n != 0 {
		t.Errorf("a poll made %d scans", n)
	}
	skew.ns.Store(int64(-5 * time.Second))
	write()
	finds(st, 3, "a poll, by a clock that is five seconds behind")
	skew.ns.Store(int64(-5 * time.Minute))
	write()
	finds(st, 3, "a poll, by a clock that is five minutes behind")
	at.pass(time.Minute)
	finds(st, 4, "a poll of the minute")
	skew.ns.Store(int64(-24 * time.Hour))
	write()
	at.pass(time.Minute)
	finds(st, 4, "a poll of the minute, by a clock that is a day behind")
	skew.ns.Store(0)
	if _, err := l.Create(t.Context(), "b", "T", "1"); err != nil {
		t.Fatal(err)
	}
	finds(st, 4, "a poll, of a type that is new")
	at.pass(10 * time.Hour)
	finds(st, 6, "a sweep")

	// Another daemon waits for the lease, and looks then; what it asks costs little where nothing is new.
	other := openStore(t, cfg)
	write()
	finds(other, 6, "one that has no lease")
	at.pass(time.Minute)
	finds(other, 7, "one that has taken the lease over")
	finds(st, 7, "one that has lost it")
	server.Reset()
	finds(other, 7, "where nothing is new")
	if cost := server.Cost(); cost.Write > 0 || cost.Read > 6 {
		t.Errorf("a poll with nothing new costs %+v", cost)
	}
	if v := verify(t, st); v.Events != 7 {
		t.Errorf("%+v", v)
	}
}

// TestFinderGoesOn: a stream that cannot be taken in is said, and holds no other up.
func TestFinderGoesOn(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	var at clock
	at.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c), Now: at.now}
	st := openStore(t, dynamodb.Config{Client: c, Now: at.now, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}})
	ids := map[string]string{}
	for _, what := range []string{"a", "b", "c"} {
		id, err := l.Create(t.Context(), what, "T", "1")
		if err != nil {
			t.Fatal(err)
		}
		ids[what] = id
	}
	// The first event of one is gone.
	if _, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: &l.Table, Key: lambdatest.Attributes{"PK": lambdatest.S(ids["a"]), "SK": lambdatest.N(1)}}); err != nil {
		t.Fatal(err)
	}
	for round := range int64(3) { // a sweep, then polls
		if err := st.Find(t.Context()); !errors.Is(err, eventstore.ErrCorrupt) || !strings.Contains(err.Error(), ids["a"]) {
			t.Errorf("round %d: %v", round, err)
		}
		if h, err := st.Head(t.Context()); err != nil || h.Position != 2*(round+1) {
			t.Errorf("round %d: the log has %d events, %v", round, h.Position, err)
		}
		for _, what := range []string{"b", "c"} {
			if status, err := l.Append(t.Context(), what, ids[what], round+2, "T", "1"); status != 201 {
				t.Fatal(status, err)
			}
		}
	}
	// Once it is mended it comes.
	if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: &l.Table, Item: lambdatest.Attributes{
		"PK": lambdatest.S(ids["a"]), "SK": lambdatest.N(1), "RecordType": lambdatest.S("event"), "EventType": lambdatest.S("T"), "Payload": lambdatest.S("1"), "CreatedAt": lambdatest.S("2026-03-01T12:00:00Z"),
	}}); err != nil {
		t.Fatal(err)
	}
	at.pass(10 * time.Hour)
	if err := st.Find(t.Context()); err != nil {
		t.Error(err)
	}
	if v := verify(t, st); v.Events != 9 || v.Streams != 3 {
		t.Errorf("%+v", v)
	}
}
