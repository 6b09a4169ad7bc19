package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// bodies are events in the forms in which they come: with the payload as a view into the body, beside it, and without
// either.
func bodies(largest int) []event.Event {
	view := func(id string, env event.Envelope, raw, data string) event.Event {
		e := event.Event{ID: id, Source: "src", Type: "T", Subject: "sub", Time: start.Add(time.Nanosecond), Envelope: env, Raw: []byte(raw)}
		at := strings.Index(raw, data)
		e.Data = e.Raw[at : at+len(data)]
		return e
	}
	big := `{"detail":"` + strings.Repeat("0123456789abcdef", largest/16-1) + `"}`
	changed := view("changed", event.EventBridge, `{"detail":{"a":1}}`, `{"a":1}`)
	changed.Changed = true
	changed.Data = []byte(`{"a":2}`)
	beside := view("beside", event.SNS, `{"Message":"{\"a\":1}"}`, "M")
	beside.Data = []byte(`{"a":1}`)
	bare := event.Event{ID: "bare", Type: "T", Data: []byte("null"), Metadata: []byte(`{"traceparent":"00-1"}`), Time: start}
	local := view("local", event.Plain, "{}", "{}")
	local.Time = time.Date(1066, 10, 14, 9, 0, 0, 5, time.FixedZone("", 3600))
	return []event.Event{
		view("eventbridge", event.EventBridge, ` {"detail-type": "T", "source":"src" ,"detail": {"a":1.0} } `, `{"a":1.0}`),
		view("cloudevents", event.CloudEvents, `{"specversion":"1.0","data":"x","id":"é"}`, `"x"`),
		view("plain", event.Plain, "{\"a\":\t1}", "{\"a\":\t1}"),
		view("first", event.EventBridge, `[1]tail`, `[1]`),
		view("last", event.EventBridge, `head[1]`, `[1]`),
		view("big", event.EventBridge, big, big[10:len(big)-1]),
		beside, changed, bare, local,
		{ID: "empty", Type: "", Data: []byte{}, Metadata: []byte{}},
		{ID: "raw only", Raw: []byte("raw"), Envelope: event.EventBridge},
		{ID: "quote'\"é\x00", Source: "a\x00b", Type: "%", Data: []byte(`"` + strings.Repeat("y", 300) + `"`)},
	}
}

func testBodies(f *fixture, has Features) {
	size := 1 << 20
	if has.MaxEvent > 0 {
		size = has.MaxEvent
	}
	in := bodies(size)
	var keep []event.Event
	for i := range in {
		keep = append(keep, in[i].Clone())
	}
	r := f.commit(&eventstore.Unit{Pipeline: "p", Appends: []eventstore.Append{{Stream: stream("a/1"), Events: in, Origin: "p/step"}}})
	f.status(r, eventstore.Done)
	for i := range in { // the batch's memory is the caller's again
		clear(in[i].Raw)
		clear(in[i].Data)
	}
	check := func(got []*event.Recorded) {
		f.Helper()
		f.same(len(got), len(keep))
		for i, r := range got {
			want := keep[i]
			if want.Changed {
				want.Raw = nil
			}
			if len(want.Data) == 0 {
				want.Data = nil
			}
			if len(want.Metadata) == 0 {
				want.Metadata = nil
			}
			if want.Time.IsZero() {
				want.Time = start
			}
			want.Time = want.Time.UTC()
			if d := cmp.Diff(event.Recorded{
				Event: want, Stream: stream("a/1"), Revision: int64(i) + 1, Position: int64(i) + 1, Committed: start, Origin: "p/step",
			}, *r, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })); d != "" {
				f.Errorf("%s differs (-want +got):\n%.2000s", want.ID, d)
			}
			wantAt, wantView := want.DataAt()
			at, view := r.DataAt()
			if at != wantAt || view != wantView {
				f.Errorf("%s: data is a view at %d (%v), want %d (%v)", want.ID, at, view, wantAt, wantView)
			}
		}
	}
	got := collect(f, f.s.ReadAll(f.ctx, eventstore.ReadOptions{}))
	check(got)
	check(collect(f, f.s.ReadStream(f.ctx, stream("a/1"), eventstore.ReadOptions{})))
	// What a reader appends to its own view harms no neighbour.
	for _, r := range got {
		_ = append(r.Data, "XXXXXXXX"...)
		_ = append(r.Raw, "XXXXXXXX"...)
		_ = append(r.Metadata, "XXXXXXXX"...)
	}
	for i, r := range got {
		if r.Raw != nil && !r.Changed && !bytes.Equal(r.Raw, keep[i].Raw) {
			f.Errorf("%s was overwritten", r.ID)
		}
	}
	check(f.live(len(keep)))
}

// live gives the first n events as a subscription does.
func (f *fixture) live(n int) []*event.Recorded {
	f.Helper()
	var out []*event.Recorded
	for p, err := range f.s.Subscribe(f.ctx, eventstore.SubscribeOptions{}) {
		f.ok(err)
		for i := range p.Events {
			out = append(out, &p.Events[i])
		}
		if len(out) >= n {
			break
		}
	}
	return out
}

// testReadsFromAnywhere begins at each position of a log whose units are small and large: a backend may keep several events
// of a large one in one row, and a reader begins in the middle of it.
func testReadsFromAnywhere(f *fixture) {
	for n, size := range []int{7, 130, 1, 110} {
		var ids []string
		for k := range size {
			ids = append(ids, fmt.Sprintf("%d-%d", n, k))
		}
		f.append(fmt.Sprintf("a/%d", n%2), ids...)
	}
	all := f.all(eventstore.ReadOptions{})
	if len(all) != 248 {
		f.Fatalf("the log has %d events", len(all))
	}
	for i := range all {
		at := int64(i + 1)
		f.same(f.all(eventstore.ReadOptions{From: at, Max: 12}), all[i:min(i+12, len(all))])
		back := f.all(eventstore.ReadOptions{From: at, Max: 12, Backwards: true})
		slices.Reverse(back)
		f.same(back, all[max(0, i-11):i+1])
	}
}

func testReads(f *fixture) {
	// Positions 1–12; a/1 has the odd ones, b/1 the even ones; every third is of type U; each two minutes apart.
	for i := 1; i <= 12; i++ {
		name, typ := "a/1", "T"
		if i%2 == 0 {
			name = "b/1"
		}
		if i%3 == 0 {
			typ = "U"
		}
		a := appendTo(name, eventstore.Any, fmt.Sprintf("%d:%s", i, typ))
		a.Origin = fmt.Sprint("o", i%4)
		f.status(f.commit(unit(a)), eventstore.Done)
		f.pass(2 * time.Minute)
	}
	ids := func(events []*event.Recorded) string {
		var out []string
		for _, r := range events {
			out = append(out, r.ID)
		}
		return strings.Join(out, " ")
	}
	type ro = eventstore.ReadOptions
	for _, tt := range []struct {
		stream string // "": the log
		o      ro
		want   string
	}{
		{"", ro{}, "1 2 3 4 5 6 7 8 9 10 11 12"},
		{"", ro{Backwards: true}, "12 11 10 9 8 7 6 5 4 3 2 1"},
		{"", ro{From: 10}, "10 11 12"},
		{"", ro{From: 3, To: 5}, "3 4 5"},
		{"", ro{From: 5, To: 3, Backwards: true}, "5 4 3"},
		{"", ro{From: 3, Backwards: true}, "3 2 1"},
		{"", ro{To: 10, Backwards: true}, "12 11 10"},
		{"", ro{From: 99}, ""},
		{"", ro{From: 99, Max: 2, Backwards: true}, "12 11"},
		{"", ro{From: 5, To: 3}, ""},
		{"", ro{To: 99, From: 12}, "12"},
		{"", ro{Max: 2}, "1 2"},
		{"", ro{Filter: eventstore.Filter{Types: []string{"U"}}}, "3 6 9 12"},
		{"", ro{Filter: eventstore.Filter{Types: []string{"U"}}, Max: 2, From: 4}, "6 9"},
		{"", ro{Filter: eventstore.Filter{Types: []string{"U"}}, Max: 2, Backwards: true}, "12 9"},
		{"", ro{Filter: eventstore.Filter{Types: []string{"U", "T", "none"}}, Max: 3}, "1 2 3"},
		{"", ro{Filter: eventstore.Filter{Types: []string{"none"}}}, ""},
		{"", ro{Filter: eventstore.Filter{StreamTypes: []string{"b"}}}, "2 4 6 8 10 12"},
		{"", ro{Filter: eventstore.Filter{StreamTypes: []string{"none"}}}, ""},
		{"", ro{Filter: eventstore.Filter{Origins: []string{"o1", "o2"}}}, "1 2 5 6 9 10"},
		{"", ro{Filter: eventstore.Filter{Origins: []string{"o1"}, Types: []string{"U"}, StreamTypes: []string{"a", "b"}}}, "9"},
		{"", ro{SinceTime: start.Add(19 * time.Minute)}, "11 12"},
		{"", ro{SinceTime: start.Add(20 * time.Minute), Max: 1}, "11"},
		{"", ro{SinceTime: start.Add(20 * time.Minute), Backwards: true}, "12 11"},
		{"", ro{SinceTime: start.Add(time.Hour)}, ""},
		{"", ro{SinceTime: start.Add(-time.Hour)}, "1 2 3 4 5 6 7 8 9 10 11 12"},
		{"a/1", ro{}, "1 3 5 7 9 11"},
		{"a/1", ro{Backwards: true, Max: 2}, "11 9"},
		{"a/1", ro{From: 3}, "5 7 9 11"},
		{"a/1", ro{From: 2, To: 3}, "3 5"},
		{"a/1", ro{From: 3, To: 2, Backwards: true}, "5 3"},
		{"a/1", ro{From: 7}, ""},
		{"b/1", ro{Filter: eventstore.Filter{Types: []string{"U"}}}, "6 12"},
		{"b/1", ro{SinceTime: start.Add(15 * time.Minute), Max: 2}, "10 12"},
		{"b/2", ro{}, ""},
		{"c/1", ro{Backwards: true}, ""},
	} {
		seq := f.s.ReadAll(f.ctx, tt.o)
		if tt.stream != "" {
			seq = f.s.ReadStream(f.ctx, stream(tt.stream), tt.o)
		}
		if got := ids(collect(f, seq)); got != tt.want {
			f.Errorf("%s %+v: %q, want %q", tt.stream, tt.o, got, tt.want)
		}
	}
	// A read may be left early, may be run again, and goes on over pages.
	seq := f.s.ReadAll(f.ctx, ro{})
	for range 2 {
		for r, err := range seq {
			f.ok(err)
			f.same(r.Position, int64(1))
			break
		}
	}
	var many []string
	for i := range 1100 {
		many = append(many, fmt.Sprint("m", i))
	}
	f.append("many/1", many...)
	f.same(len(collect(f, f.s.ReadStream(f.ctx, stream("many/1"), ro{}))), 1100)
	got := collect(f, f.s.ReadStream(f.ctx, stream("many/1"), ro{Backwards: true, From: 1000}))
	f.same(len(got), 1000)
	f.same(got[0].ID, "m999")
	f.same(len(collect(f, f.s.ReadAll(f.ctx, ro{Filter: eventstore.Filter{StreamTypes: []string{"many"}}}))), 1100)
	// A reader that commits meanwhile sees no more than was there when it started.
	n := 0
	for _, err := range f.s.ReadStream(f.ctx, stream("a/1"), ro{}) {
		f.ok(err)
		n++
		f.append("a/1", fmt.Sprint("more", n))
	}
	f.same(n, 6)
}

func testStreams(f *fixture) {
	f.append("b/2", "1", "2")
	f.pass(time.Minute)
	for _, s := range []string{"b/10", "a/x_1", "a/x%1", "a/xé", "B/1", "ab/1", "b/2"} {
		f.append(s, "n"+s)
	}
	list := func(o eventstore.StreamsOptions) string {
		var out []string
		for _, i := range collect(f, f.s.Streams(f.ctx, o)) {
			out = append(out, i.Stream.String())
		}
		return strings.Join(out, " ")
	}
	type so = eventstore.StreamsOptions
	for _, tt := range []struct {
		o    so
		want string
	}{
		{so{}, "B/1 a/x%1 a/x_1 a/xé ab/1 b/10 b/2"},
		{so{Type: "b"}, "b/10 b/2"},
		{so{Type: "a", Prefix: "x_"}, "a/x_1"},
		{so{Type: "a", Prefix: "x%"}, "a/x%1"},
		{so{Prefix: "1"}, "B/1 ab/1 b/10"},
		{so{Type: "a", Prefix: "xé"}, "a/xé"},
		{so{Type: "a", Prefix: "x"}, "a/x%1 a/x_1 a/xé"},
		{so{Type: "a", Prefix: "x", After: stream("a/x%1"), Max: 1}, "a/x_1"},
		{so{Type: "a", Prefix: "x%1z"}, ""},
		{so{Type: "a", Prefix: "y"}, ""},
		{so{After: stream("a/x_1")}, "a/xé ab/1 b/10 b/2"},
		{so{After: stream("a/x_1"), Max: 2}, "a/xé ab/1"},
		{so{Type: "b", After: stream("b/10")}, "b/2"},
		{so{Type: "none"}, ""},
	} {
		if got := list(tt.o); got != tt.want {
			f.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
	f.same(collect(f, f.s.Streams(f.ctx, so{After: stream("b/10")})), []eventstore.StreamInfo{
		{Stream: stream("b/2"), Revision: 3, Created: start, Updated: start.Add(time.Minute)},
	})
}

// testUpdated lists streams by their last events.
func testUpdated(f *fixture) {
	u, ok := f.s.(eventstore.Updates)
	if !ok {
		f.Fatal("the store lists streams by their names alone: Features.NoUpdates says so")
	}
	var times []time.Time
	for _, s := range []string{"a/1", "a/2", "b/1", "a/3", "a/1", "a/é\x00", "a/4", "a/4", "a/2"} {
		f.pass(time.Minute)
		f.append(s, fmt.Sprint("e", len(times)))
		h, err := f.s.Head(f.ctx)
		f.ok(err)
		times = append(times, h.Committed)
	}
	list := func(typ string, since time.Time, most int64) string {
		var out []string
		for i, err := range u.Updated(f.ctx, typ, since, most) {
			if errors.Is(err, eventstore.ErrFar) {
				out = append(out, "far")
				break
			}
			f.ok(err)
			if i.Updated.Before(since) {
				f.Errorf("%+v is before %s", i, since)
			}
			out = append(out, fmt.Sprint(i.Stream.ID, "@", i.Revision))
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		typ   string
		since time.Time
		most  int64
		want  string
	}{
		{"a", time.Time{}, 100, "3@1 1@2 é\x00@1 4@2 2@2"},
		{"b", time.Time{}, 100, "1@1"},
		{"c", time.Time{}, 100, ""},
		{"a", times[4], 100, "1@2 é\x00@1 4@2 2@2"},
		{"a", times[4].Add(time.Microsecond), 100, "é\x00@1 4@2 2@2"},
		{"a", times[8].Add(time.Microsecond), 100, ""},
		{"a", time.Time{}, 9, "3@1 1@2 é\x00@1 4@2 2@2"},
		{"a", time.Time{}, 5, "3@1 1@2 far"},
		{"a", times[4], 4, "1@2 é\x00@1 4@2 far"},
	} {
		got := list(tt.typ, tt.since, tt.most)
		if strings.HasSuffix(tt.want, "far") && !strings.HasSuffix(got, "far") {
			tt.want = list(tt.typ, tt.since, 100) // it need not look at the log
		}
		if got != tt.want {
			f.Errorf("%s since %s, at most %d: %q, want %q", tt.typ, tt.since, tt.most, got, tt.want)
		}
	}
	for _, err := range u.Updated(f.ctx, "a", time.Time{}, 100) {
		f.ok(err)
		break // whoever has seen enough leaves
	}
}

// testTime lets the clock jump about: what is committed never goes back.
func testTime(f *fixture) {
	for i, d := range []time.Duration{0, time.Hour, -2 * time.Hour, time.Microsecond, -24 * time.Hour, 48*time.Hour + 999*time.Nanosecond} {
		f.pass(d)
		f.append("a/1", fmt.Sprint(i))
	}
	var last time.Time
	for _, r := range collect(f, f.s.ReadAll(f.ctx, eventstore.ReadOptions{})) {
		if r.Committed.Before(last) {
			f.Errorf("event %d was committed at %s, after %s", r.Position, r.Committed, last)
		}
		last = r.Committed
	}
	if !last.After(start.Add(20 * time.Hour)) {
		f.Errorf("the clock does not go on: %s", last)
	}
	h, err := f.s.Head(f.ctx)
	f.ok(err)
	f.same(h.Committed, last)
}
