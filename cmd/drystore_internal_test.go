package cmd

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/table"
)

func TestDryStore(t *testing.T) {
	ctx := context.Background()
	base, above := memory.Open(memory.Options{}), memory.Open(memory.Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stream := event.Stream{Type: "order", ID: "1"}
	add := func(s eventstore.Store, n int, within func(context.Context, table.Tx, []event.Recorded) error, expect eventstore.Expect, mark string) *eventstore.Unit {
		t.Helper()
		u := &eventstore.Unit{Pipeline: "p", Inbox: &eventstore.Mark{Key: mark}, Within: within}
		a := eventstore.Append{Stream: stream, Expect: expect, Origin: "p"}
		for i := range n {
			a.Events = append(a.Events, event.Event{ID: fmt.Sprintf("%s-%d", mark, i), Type: "A", Source: "s", Data: []byte("{}")})
		}
		u.Appends = []eventstore.Append{a}
		must(s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}))
		return u
	}
	def := &table.Def{Name: "t", Version: 1, Key: []string{"id"}, Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "n", Type: table.Numeric}}}
	row := func(id string, n int64) table.Row { return table.Row{id, apd.New(n, 0)} }
	_, err := base.Tables().Ensure(ctx, def, "d", "r", "")
	must(err)
	must(base.Tables().Apply(ctx, &table.Write{Def: def, Put: []table.Row{row("a", 1), row("b", 2), row("c", 3)}}))
	add(base, fetchPage+5, nil, eventstore.Any, "old")

	s := newDryStore(above, base, base.Tables(), nil)
	_, err = s.Tables().Ensure(ctx, def, "d", "r", "")
	must(err)
	revisions := func(o eventstore.ReadOptions) (out []int64) {
		for e, err := range s.ReadStream(ctx, stream, o) {
			must(err)
			out = append(out, e.Revision)
		}
		return out
	}
	if d := cmp.Diff([]int64{fetchPage + 5, fetchPage + 4}, revisions(eventstore.ReadOptions{Backwards: true, Max: 2})); d != "" {
		t.Error(d)
	}
	if u := add(s, 1, nil, eventstore.Any, "old"); u.Result.Status != eventstore.Repeated {
		t.Errorf("a redelivered event is %v", u.Result)
	}
	if u := add(s, 1, nil, eventstore.NoStream, "wrong"); u.Result.Status != eventstore.Refused {
		t.Errorf("the stream is taken as new: %v", u.Result)
	}
	// A refused unit deletes nothing.
	add(s, 1, func(ctx context.Context, tx table.Tx, _ []event.Recorded) error {
		must(tx.Write(ctx, def, nil, []table.Row{{"a"}}))
		return errors.New("refused")
	}, eventstore.Any, "refused")
	u := add(s, 1, func(ctx context.Context, tx table.Tx, _ []event.Recorded) error {
		rows, err := tx.Load(ctx, def, []table.Row{{"a"}, {"none"}})
		must(err)
		if rows[0] == nil || rows[1] != nil {
			t.Errorf("the transaction sees %v", rows)
		}
		return tx.Write(ctx, def, []table.Row{row("a", 10)}, []table.Row{{"b"}})
	}, eventstore.Any, "new")
	if u.Result.Status != eventstore.Done || u.Result.Written[0].Last != fetchPage+6 {
		t.Errorf("the append is %+v", u.Result)
	}

	text := func(rows []table.Row) (out []string) {
		for _, r := range rows {
			if r == nil {
				out = append(out, "none")
				continue
			}
			out = append(out, string(table.AppendRowJSON(nil, def, r)))
		}
		return out
	}
	rows, err := s.Tables().Load(ctx, def, []table.Row{{"a"}, {"b"}, {"c"}, {"d"}})
	must(err)
	if d := cmp.Diff([]string{`{"id":"a","n":10}`, "none", `{"id":"c","n":3}`, "none"}, text(rows)); d != "" {
		t.Error(d)
	}
	rows = nil
	for r, err := range s.Tables().Scan(ctx, def, nil) {
		must(err)
		rows = append(rows, r)
	}
	if d := cmp.Diff([]string{`{"id":"a","n":10}`, `{"id":"c","n":3}`}, text(rows)); d != "" {
		t.Error(d)
	}
	query := func(equal map[string]string) []string {
		t.Helper()
		_, found, err := s.Tables().Query(ctx, table.Query{Table: "t", Equal: equal})
		must(err)
		rows = nil
		for r, err := range found {
			must(err)
			rows = append(rows, r)
		}
		return text(rows)
	}
	for id, want := range map[string][]string{"a": {`{"id":"a","n":10}`}, "b": nil, "c": {`{"id":"c","n":3}`}} {
		if d := cmp.Diff(want, query(map[string]string{"id": id})); d != "" {
			t.Error(d)
		}
	}
	must(s.Tables().Apply(ctx, &table.Write{Def: def, Delete: []table.Row{{"c"}}}))
	if d := cmp.Diff([]string{`{"id":"a","n":10}`}, query(nil)); d != "" {
		t.Error(d)
	}
	// What was there is untouched.
	got, err := base.Tables().Load(ctx, def, []table.Row{{"a"}, {"b"}, {"c"}})
	must(err)
	if d := cmp.Diff([]string{`{"id":"a","n":1}`, `{"id":"b","n":2}`, `{"id":"c","n":3}`}, text(got)); d != "" {
		t.Error(d)
	}
	if head, err := base.Head(ctx); err != nil || head.Position != fetchPage+5 {
		t.Errorf("the log below ends at %d: %v", head.Position, err)
	}
}
