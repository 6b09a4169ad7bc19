package dynamodb_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// clock is one that the test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// TestFinderNets has each of the finder's nets catch what the ones before it miss.
func TestFinderNets(t *testing.T) {
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
