package dynamodb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// TestHoles holds that what somebody deleted by hand is said by every reader, and taken for the end by none.
func TestHoles(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	w := openStore(t, dynamodb.Config{Client: c})
	s := openStore(t, dynamodb.Config{Client: c, Table: w.TableName(), Patience: 40 * time.Millisecond})
	name := event.Stream{Type: "s", ID: "1"}
	for n := range 100 { // more than a head holds the places of
		u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: name, Events: []event.Event{{ID: fmt.Sprint(n), Type: "T"}}}}}
		if err := w.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(pk, sk string) {
		t.Helper()
		table := s.TableName()
		_, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: &table, Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if h, err := s.Head(t.Context()); err != nil || h.Position != 100 { // else the hole would be the end that it sees
		t.Fatal(h, err)
	}
	drop("L#0", dynamodb.Pad(50))
	for what, o := range map[string]eventstore.ReadOptions{"upwards": {}, "downwards": {Backwards: true}, "from it": {From: 50}, "before it": {To: 49, Max: 49}, "behind it": {From: 51}} {
		n := 0
		var err error
		for _, err = range s.ReadAll(t.Context(), o) {
			n++
		}
		switch sound := what == "before it" || what == "behind it"; {
		case sound && err != nil:
			t.Errorf("%s: %v", what, err)
		case !sound && (!errors.Is(err, eventstore.ErrCorrupt) || !strings.Contains(err.Error(), "event 50 of the log is missing")):
			t.Errorf("%s: %d events, %v", what, n, err)
		}
	}
	last := func(err error, after int64) error {
		for _, err = range s.Subscribe(t.Context(), eventstore.SubscribeOptions{After: after}) {
			if err != nil {
				break
			}
		}
		return err
	}
	if err := last(nil, 0); !errors.Is(err, eventstore.ErrCorrupt) {
		t.Errorf("a follower: %v", err)
	}
	stream := func() (err error) {
		for _, err = range s.ReadStream(t.Context(), name, eventstore.ReadOptions{}) {
		}
		return err
	}
	if err := stream(); !errors.Is(err, eventstore.ErrCorrupt) {
		t.Errorf("the stream: %v", err)
	}
	v, err := s.Verify(t.Context(), func(f eventstore.Fault) {
		if f.Position != 50 && f.Stream != name {
			t.Errorf("%+v", f)
		}
	})
	if err != nil || v.Faults == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	drop("S1#s#1", dynamodb.Pad(1))
	if err := stream(); !errors.Is(err, eventstore.ErrCorrupt) || !strings.Contains(err.Error(), "places") {
		t.Errorf("without its places: %v", err)
	}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: name, Events: []event.Event{{ID: "3", Type: "T"}}}}}
	if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err == nil {
		t.Error("a repeat of an event whose place is gone went through")
	}
}

// meanwhile calls run once, before the first call that it is for.
type meanwhile struct {
	once  sync.Once
	op    string
	holds string // in the request
	run   func()
}

func (m *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+m.op) && bytes.Contains(body, []byte(m.holds)) {
		m.once.Do(m.run)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// two opens a table twice, the second time over m.
func two(t *testing.T, m *meanwhile) (s, slow *dynamodb.Store) {
	t.Helper()
	server := fake(t, nil)
	s = openStore(t, dynamodb.Config{Client: client(t, server.URL)})
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: server.URL}, m, 8)
	if err != nil {
		t.Fatal(err)
	}
	return s, openStore(t, dynamodb.Config{Client: aws.NewDynamoDB(cfg), Table: s.TableName()})
}

// TestParkedPiecesGone: a large entry that is edited or dropped while it is read comes whole, or not at all.
func TestParkedPiecesGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(s *dynamodb.Store, id int64) error
		want string
	}{
		{"edited", func(s *dynamodb.Store, id int64) error {
			return s.EditParked(context.Background(), id, bytes.Repeat([]byte("n"), 500<<10))
		}, "n 512000"},
		{"dropped", func(s *dynamodb.Store, id int64) error {
			_, err := s.DropParked(context.Background(), poison.Filter{IDs: []int64{id}})
			return err
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &meanwhile{op: "GetItem", holds: `{"S":"P"}`}
			s, reader := two(t, m)
			if err := s.Park(t.Context(), poison.Entry{Pipeline: "p", Step: "s", Key: "k", Payload: bytes.Repeat([]byte("o"), 800<<10)}); err != nil {
				t.Fatal(err)
			}
			var id int64
			for e, err := range s.ListParked(t.Context(), poison.Filter{}) {
				if id = e.ID; err != nil {
					t.Fatal(err)
				}
			}
			m.run = func() {
				if err := tt.do(s, id); err != nil {
					t.Error(err)
				}
			}
			got := ""
			for e, err := range reader.ListParked(t.Context(), poison.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = fmt.Sprintf("%c %d", e.Payload[0], len(e.Payload))
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestSlowJournal: an owner of a table who is slow with the rows of a large write does not write over those of the next.
func TestSlowJournal(t *testing.T) {
	t.Parallel()
	d := &table.Def{Name: "t", Version: 1, Key: []string{"k"}, Columns: []table.Column{{Name: "k", Type: table.Text}, {Name: "n", Type: table.Text}}}
	m := &meanwhile{op: "TransactWriteItems", holds: `W#t#1`}
	s, slow := two(t, m)
	write := func(s *dynamodb.Store, rows, value int, from, to, epoch int64) error {
		w := &table.Write{Def: d, Checkpoint: &table.Checkpoint{Relay: "r", LogID: "log", From: from, To: to, Epoch: epoch}}
		for n := range rows {
			w.Put = append(w.Put, table.Row{fmt.Sprint(n), fmt.Sprint(value)})
		}
		return s.Tables().Apply(context.Background(), w)
	}
	if _, err := slow.Tables().Ensure(t.Context(), d, "d", "r", "log"); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Tables().Take(t.Context(), d, "r", 1); err != nil {
		t.Fatal(err)
	}
	m.run = func() { // its lease is over; the next owner finishes the write and goes on
		if _, err := s.Tables().Take(context.Background(), d, "r", 2); err != nil {
			t.Error(err)
		}
		if err := write(s, 1, 7, 1, 2, 2); err != nil {
			t.Error(err)
		}
	}
	if err := write(slow, 300, 1, 0, 1, 1); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for row, err := range s.Tables().Scan(t.Context(), d, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got[row[0].(string)] = fmt.Sprint(row[1])
	}
	if len(got) != 300 || got["0"] != "7" || got["299"] != "1" {
		t.Errorf("%d rows; row 0 is %s, row 299 is %s", len(got), got["0"], got["299"])
	}
}
