package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

func sharing(table string) *dynamodb.SharedTable {
	return &dynamodb.SharedTable{Table: table, Poll: 10 * time.Millisecond}
}

// commit commits one append and gives its result.
func commit(t testing.TB, st eventstore.Store, name event.Stream, expect eventstore.Expect, events ...event.Event) eventstore.Result {
	t.Helper()
	u := &eventstore.Unit{Pipeline: "p", Appends: []eventstore.Append{{Stream: name, Expect: expect, Origin: "p", Events: events}}}
	if err := st.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	return u.Result
}

func ev(id, typ, data string) event.Event { return event.Event{ID: id, Type: typ, Data: []byte(data)} }

// read gives a stream as "revision type payload".
func read(t testing.TB, st eventstore.Store, name event.Stream) (out []string) {
	t.Helper()
	for e, err := range st.ReadStream(t.Context(), name, eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s %s", e.Revision, e.Type, serverless.Payload(&e.Event)))
	}
	return out
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("differs (-want +got):\n%s", d)
	}
}

func verify(t testing.TB, st eventstore.Store) eventstore.Verified {
	t.Helper()
	v, err := st.Verify(t.Context(), func(f eventstore.Fault) { t.Errorf("%+v", f) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestShared goes through what the two sides see of each other.
func TestShared(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	table := lambdatest.Table(t, c)
	l := &lambdatest.Lambda{Client: c, Table: table}
	old, err := l.Create(t.Context(), "golden", "created", `{"a":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := l.Append(t.Context(), "golden", old, 2, "changed", "text, not JSON"); status != 201 {
		t.Fatal(status, err)
	}
	// Nothing looks for the Lambda's events here but those who ask.
	st := openStore(t, dynamodb.Config{Client: c, Shared: &dynamodb.SharedTable{Table: table, Poll: time.Hour}})
	name := event.Stream{Type: "golden", ID: old}
	same(t, read(t, st, name), []string{`1 created {"a":1}`, `2 changed text, not JSON`})

	// An event of the Lambda is one of leat's, with the time of its commit there.
	_, _, updated := l.Head(t, old)
	for e, err := range st.ReadStream(t.Context(), name, eventstore.ReadOptions{From: 2}) {
		if err != nil || e.Origin != serverless.Origin || sharedTime(e.Time) != updated || e.ID == "" || string(e.Data) != `"text, not JSON"` || e.Position != 2 {
			t.Errorf("%+v, %v", e, err)
		}
	}
	for i, err := range st.Streams(t.Context(), eventstore.StreamsOptions{Type: "golden", Prefix: old}) {
		if err != nil || i.Revision != 2 || sharedTime(i.Updated) != updated {
			t.Errorf("%+v, %v; updated at %s there", i, err, updated)
		}
	}

	// What leat appends, the Lambda reads, and goes on behind it.
	r := commit(t, st, name, eventstore.Revision(2), ev("e3", "paid", `{"b":2}`))
	if r.Status != eventstore.Done || r.Written[0].Last != 3 {
		t.Fatalf("%+v", r)
	}
	same(t, func() []string { all, _ := l.Events(t, old); return all }(), []string{`created {"a":1}`, "changed text, not JSON", `paid {"b":2}`})
	typ, revision, updated := l.Head(t, old)
	if _, last := l.Events(t, old); typ != "golden" || revision != "3" || updated != last {
		t.Errorf("the head says %s %s %s, the last event %s", typ, revision, updated, last)
	}
	if status, _ := l.Append(t.Context(), "golden", old, 3, "late", "x"); status != 409 {
		t.Errorf("the Lambda's repeat of a revision: %d", status)
	}
	if status, err := l.Append(t.Context(), "golden", old, 4, "sent", "x"); status != 201 {
		t.Errorf("%d %v", status, err)
	}

	// An append that comes behind the Lambda's is told the revision that is there; a repeat is known by its id.
	var conflict *eventstore.ConflictError
	if r := commit(t, st, name, eventstore.Revision(3), ev("e4", "mine", "1")); !errors.As(r.Err, &conflict) || conflict.Actual != 4 {
		t.Errorf("%+v", r)
	}
	if r := commit(t, st, name, eventstore.Any, ev("e3", "paid", `{"b":2}`)); r.Status != eventstore.Repeated || r.Written[0].Last != 3 {
		t.Errorf("%+v", r)
	}
	if r := commit(t, st, name, eventstore.Any, ev("e5", "a", "1"), ev("e6", "b", "2")); r.Status != eventstore.Done || r.Written[0].First != 5 || r.Written[0].Last != 6 {
		t.Errorf("%+v", r)
	}

	// A stream that leat begins is the Lambda's too, unless its id is none that the Lambda has.
	made := event.Stream{Type: "golden", ID: uuid.NewString()}
	if r := commit(t, st, made, eventstore.NoStream, ev("1", "created", "1"), ev("2", "changed", "2")); r.Status != eventstore.Done {
		t.Errorf("%+v", r)
	}
	if status, err := l.Append(t.Context(), "golden", made.ID, 3, "sent", "3"); status != 201 {
		t.Errorf("%d %v", status, err)
	}
	same(t, read(t, st, made), []string{"1 created 1", "2 changed 2", "3 sent 3"})
	if r := commit(t, st, event.Stream{Type: "golden", ID: "order-1"}, eventstore.NoStream, ev("1", "created", "1")); r.Status != eventstore.Done {
		t.Errorf("%+v", r)
	}

	// An id belongs to one type there.
	other := event.Stream{Type: "other", ID: old}
	if r := commit(t, st, other, eventstore.Any, ev("1", "T", "1")); r.Status != eventstore.Refused || !strings.Contains(r.Err.Error(), `one of type "golden" already`) {
		t.Errorf("%+v", r)
	}
	if r := commit(t, st, other, eventstore.Revision(6), ev("1", "T", "1")); !errors.As(r.Err, &conflict) || conflict.Actual != 0 {
		t.Errorf("%+v", r)
	}
	fresh := uuid.NewString()
	both := &eventstore.Unit{Appends: []eventstore.Append{
		{Stream: event.Stream{Type: "a", ID: fresh}, Events: []event.Event{ev("1", "T", "1")}},
		{Stream: event.Stream{Type: "b", ID: fresh}, Events: []event.Event{ev("1", "T", "1")}},
	}}
	alone := []*eventstore.Unit{{Appends: both.Appends[:1]}, {Appends: both.Appends[1:]}}
	if err := st.Commit(t.Context(), append([]*eventstore.Unit{both}, alone...), eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if both.Result.Status != eventstore.Refused || alone[0].Result.Status != eventstore.Done || alone[1].Result.Status != eventstore.Refused {
		t.Errorf("%+v %+v %+v", both.Result, alone[0].Result, alone[1].Result)
	}
	// What is no text cannot be written there.
	if r := commit(t, st, made, eventstore.Any, ev("9", "T", "\xff")); r.Status != eventstore.Refused || !strings.Contains(r.Err.Error(), "UTF-8") {
		t.Errorf("%+v", r)
	}
	many := make([]event.Event, 99)
	for i := range many {
		many[i] = ev(fmt.Sprint("m", i), "T", "1")
	}
	if r := commit(t, st, made, eventstore.Any, many...); !errors.Is(r.Err, eventstore.ErrTooLarge) {
		t.Errorf("%+v", r)
	}
	if r := commit(t, st, made, eventstore.Any, many[:55]...); r.Status != eventstore.Done {
		t.Errorf("%+v", r)
	}
	if v := verify(t, st); v.Streams != 4 {
		t.Errorf("%+v", v)
	}
	// The table that leat only shares has the Lambda's items and nothing else.
	if all, _ := l.Events(t, made.ID); len(all) != 58 {
		t.Errorf("%d events", len(all))
	}
}

func sharedTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// TestFinder has the daemon find by itself what the Lambda writes: in streams that it knows, in new ones, in new types,
// and in a stream that is longer than a page.
func TestFinder(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	st := openStore(t, dynamodb.Config{Client: c, Shared: sharing(l.Table)})
	next := func(after int64) []event.Recorded {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for p, err := range st.Subscribe(ctx, eventstore.SubscribeOptions{After: after}) {
			if err != nil {
				t.Fatal(err)
			}
			return p.Events
		}
		t.Fatal("nothing came")
		return nil
	}
	var ids []string
	for i, typ := range []string{"a", "a", "b|ü"} {
		id, err := l.Create(t.Context(), typ, "created", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if got := next(int64(i)); len(got) != 1 || got[0].Stream != (event.Stream{Type: typ, ID: id}) || got[0].Revision != 1 || got[0].Position != int64(i)+1 {
			t.Fatalf("%+v", got)
		}
	}
	for i := range int64(3) {
		if status, err := l.Append(t.Context(), "a", ids[1], i+2, "more", "x"); status != 201 {
			t.Fatal(status, err)
		}
		if got := next(3 + i); len(got) != 1 || got[0].Revision != i+2 {
			t.Fatalf("%+v", got)
		}
	}
	// A daemon that starts finds what was written while none was there.
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(700) {
		if status, err := l.Append(t.Context(), "a", ids[0], i+2, "more", fmt.Sprint(i)); status != 201 {
			t.Fatal(status, err)
		}
	}
	st = openStore(t, dynamodb.Config{Client: c, Table: st.TableName(), Shared: sharing(l.Table)})
	for after := int64(6); after < 706; {
		got := next(after)
		for _, e := range got {
			if after++; e.Position != after || e.Revision != after-5 {
				t.Fatalf("%d: %+v", after, e)
			}
		}
	}
	if v := verify(t, st); v.Events != 706 || v.Streams != 3 {
		t.Errorf("%+v", v)
	}
}

// TestCatchUp takes a table over that nobody has looked at before, with two daemons at once and streams of all lengths.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	const streams = 150
	want := 0
	for i := range streams {
		id, err := l.Create(t.Context(), fmt.Sprint("t", i%3), "created", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		want++
		for r := range int64(i % 7) {
			if status, err := l.Append(t.Context(), fmt.Sprint("t", i%3), id, r+2, "more", strings.Repeat("x", i)); status != 201 {
				t.Fatal(status, err)
			}
			want++
		}
	}
	cfg := dynamodb.Config{Client: c, Table: fmt.Sprint("leat-", tables.Add(1)), Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}}
	stores := []*dynamodb.Store{openStore(t, cfg), openStore(t, cfg)}
	var all sync.WaitGroup
	for _, st := range stores {
		all.Go(func() {
			if _, err := st.CatchUp(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if v := verify(t, stores[1]); v.Events != int64(want) || v.Streams != streams {
		t.Errorf("%+v, want %d events of %d streams", v, want, streams)
	}
}

// TestSharedVerify: what is wrong in the shared table is said, of the stream that has it.
func TestSharedVerify(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	cfg := dynamodb.Config{Client: c, Table: fmt.Sprint("leat-", tables.Add(1)), Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}}
	st := openStore(t, cfg)
	ids := map[string]string{}
	for _, what := range []string{"sound", "changed", "gone", "cut", "behind", "broken", "later"} {
		id, err := l.Create(t.Context(), what, "created", "1")
		if err != nil {
			t.Fatal(err)
		}
		ids[what] = id
		if r := commit(t, st, event.Stream{Type: what, ID: id}, eventstore.Revision(1), ev("2", "T", "2"), ev("3", "T", "3")); r.Status != eventstore.Done {
			t.Fatal(r.Err)
		}
	}
	if status, err := l.Append(t.Context(), "later", ids["later"], 4, "T", "x"); status != 201 {
		t.Fatal(status, err)
	}
	put := func(key lambdatest.Attributes, update string, values lambdatest.Attributes) {
		t.Helper()
		if _, err := c.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: &l.Table, Key: key, UpdateExpression: &update, ExpressionAttributeValues: values}); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(id string, revision int64) {
		t.Helper()
		if _, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: &l.Table, Key: lambdatest.Attributes{"PK": lambdatest.S(id), "SK": lambdatest.N(revision)}}); err != nil {
			t.Fatal(err)
		}
	}
	put(lambdatest.Attributes{"PK": lambdatest.S(ids["changed"]), "SK": lambdatest.N(2)}, "SET Payload = :p", lambdatest.Attributes{":p": lambdatest.S("9")})
	drop(ids["gone"], 0)
	drop(ids["cut"], 2)
	put(lambdatest.Attributes{"PK": lambdatest.S(ids["behind"]), "SK": lambdatest.N(0)}, "SET StreamRevision = :r", lambdatest.Attributes{":r": lambdatest.N(2)})

	put(lambdatest.Attributes{"PK": lambdatest.S(ids["broken"]), "SK": lambdatest.N(0)}, "SET UpdatedAt = :t", lambdatest.Attributes{":t": lambdatest.S("yesterday")})

	found := map[string]string{}
	v, err := st.Verify(t.Context(), func(f eventstore.Fault) { found[f.Stream.Type] += f.What })
	if err != nil || v.Faults != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	for what, words := range map[string]string{
		"changed": "differ in type or payload", "gone": "does not have the stream", "cut": "a revision is missing in the shared table: 2 of", "broken": "cannot be read", "behind": "the log has 3 events, the shared table's head says 2",
	} {
		if !strings.Contains(found[what], words) {
			t.Errorf("%s: %q", what, found[what])
		}
	}
	// Nothing is appended to what is not sound, and all else goes on.
	for what, id := range ids {
		r := commit(t, st, event.Stream{Type: what, ID: id}, eventstore.Any, ev("new", "T", "5"))
		switch what {
		case "gone", "behind", "broken":
			if !errors.Is(r.Err, eventstore.ErrCorrupt) {
				t.Errorf("%s: %+v", what, r)
			}
		default:
			if r.Status != eventstore.Done {
				t.Errorf("%s: %+v", what, r)
			}
		}
	}
	// In one batch too.
	one := func(what string) *eventstore.Unit {
		return &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: what, ID: ids[what]}, Events: []event.Event{ev("batch", "T", "6")}}}}
	}
	batch := []*eventstore.Unit{one("sound"), one("broken"), one("later")}
	if err := st.Commit(t.Context(), batch, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if batch[0].Result.Status != eventstore.Done || batch[1].Result.Status != eventstore.Refused || batch[2].Result.Status != eventstore.Done {
		t.Errorf("%+v %+v %+v", batch[0].Result, batch[1].Result, batch[2].Result)
	}
	// An event that the head does not know of is nobody's: it is said, and not tried for ever.
	at := lambdatest.Attributes{"PK": lambdatest.S(ids["sound"]), "SK": lambdatest.N(6)}
	put(at, "SET Payload = :p", lambdatest.Attributes{":p": lambdatest.S("stray")})
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "sound", ID: ids["sound"]}, Events: []event.Event{ev("z", "T", "1")}}}}
	if err := st.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); !errors.Is(err, eventstore.ErrCorrupt) {
		t.Errorf("%v, %+v", err, u.Result)
	}
}

// TestSharedLarge takes in what is as large as the shared table takes it, also where leat's item would be larger.
func TestSharedLarge(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	cfg := dynamodb.Config{Client: c, Table: fmt.Sprint("leat-", tables.Add(1)), Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}}
	st := openStore(t, cfg)
	for what, payload := range map[string]string{
		"json":   `{"a":"` + strings.Repeat("0123456789abcdef", 25550) + `"}`,
		"quotes": strings.Repeat(`"<>`, 130_000),
	} {
		id, err := l.Create(t.Context(), what, "T", payload)
		if err != nil {
			t.Fatal(err)
		}
		same(t, read(t, st, event.Stream{Type: what, ID: id}), []string{"1 T " + payload})
	}
	noise := make([]byte, 399_900)
	for i := range noise {
		noise[i] = byte('#' + rand.N(90))
	}
	id, err := l.Create(t.Context(), "noise", "T", `"`+strings.ReplaceAll(string(noise), `\`, "x")+strings.Repeat("y", 9_000)+`"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range st.ReadStream(t.Context(), event.Stream{Type: "noise", ID: id}, eventstore.ReadOptions{}) {
		if err != nil {
			t.Errorf("%v", err)
		}
	}
	if v := verify(t, st); v.Events != 3 {
		t.Errorf("%+v", v)
	}
}
