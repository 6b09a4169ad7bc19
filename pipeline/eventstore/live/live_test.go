package live

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// events are n of the log from a position on; the even ones are of type even.
func events(from int64, n int) (out []event.Recorded) {
	for i := range int64(n) {
		at := from + i
		out = append(out, event.Recorded{Event: event.Event{Type: []string{"even", "odd"}[at%2], Data: []byte("0123456789")}, Position: at})
	}
	return out
}

func positions(list []event.Recorded) (out []int64) {
	for i := range list {
		out = append(out, list[i].Position)
	}
	return out
}

func TestPage(t *testing.T) {
	odd := eventstore.Filter{Types: []string{"odd"}}
	for _, tt := range []struct {
		name        string
		after, head int64
		o           eventstore.SubscribeOptions
		added       []event.Recorded
		want        []int64
		through     int64
		full        bool
	}{
		{name: "all", head: 5, added: events(1, 4), want: []int64{1, 2, 3, 4}, through: 4},
		{name: "up to the head", head: 2, added: events(1, 4), want: []int64{1, 2}, through: 2, full: true},
		{name: "selected", head: 9, o: eventstore.SubscribeOptions{Filter: odd}, added: events(1, 4), want: []int64{1, 3}, through: 4},
		{name: "none selected", after: 1, head: 9, o: eventstore.SubscribeOptions{Filter: eventstore.Filter{Origins: []string{"p"}}}, added: events(2, 4), through: 5},
		{name: "many", head: 9, o: eventstore.SubscribeOptions{MaxEvents: 2}, added: events(1, 4), want: []int64{1, 2}, through: 2, full: true},
		{name: "large", head: 9, o: eventstore.SubscribeOptions{MaxBytes: 25}, added: events(1, 4), want: []int64{1, 2}, through: 2, full: true},
		{name: "one that is too large", head: 9, o: eventstore.SubscribeOptions{MaxBytes: 1}, added: events(1, 2), want: []int64{1}, through: 1, full: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPage(tt.after, tt.head, Pages(tt.o))
			p.Add(tt.added)
			if diff := cmp.Diff(tt.want, positions(p.Events)); diff != "" || p.Through != tt.through || p.Full != tt.full || p.Head != tt.head {
				t.Errorf("%+v\n%s", p, diff)
			}
		})
	}
}

// commitOf is a commit of n events that ends at head.
func commitOf(head int64, n int, payload []byte) *plan.Draft {
	d := plan.New(nil, head, time.Time{})
	st := &plan.Stream{Name: event.Stream{Type: "t", ID: "1"}}
	for i := range n {
		d.Writes = append(d.Writes, &plan.Write{Stream: st, Position: head - int64(n) + int64(i) + 1, Event: &event.Event{ID: "e", Raw: payload, Data: payload}})
	}
	return d
}

func TestRing(t *testing.T) {
	var r Ring
	fill := func(after, head int64) []int64 {
		p := NewPage(after, head, Pages(eventstore.SubscribeOptions{}))
		r.Fill(p)
		return positions(p.Events)
	}
	put := func(head int64, n int, payload string) { r.Put(commitOf(head, n, []byte(payload))) }
	put(2, 2, "x")
	leave := r.Follow()
	if got := fill(0, 2); got != nil {
		t.Errorf("kept for nobody: %v", got)
	}
	own := []byte("abc")
	r.Put(commitOf(5, 3, own))
	put(6, 1, "x")
	own[0] = '!'
	if got := fill(3, 6); !cmp.Equal(got, []int64{4, 5, 6}) {
		t.Errorf("%v", got)
	}
	if e := r.behind(3)[0]; string(e.Raw) != "abc" || string(e.Data) != "abc" || e.Position != 4 || e.ID != "e" {
		t.Errorf("the ring's memory is the caller's: %+v", e)
	}
	if got := fill(1, 6); got != nil {
		t.Errorf("from before the ring: %v", got)
	}
	put(9, 2, "x") // 7 was another process's
	if got := fill(5, 9); got != nil {
		t.Errorf("over a gap: %v", got)
	}
	if got := fill(7, 9); !cmp.Equal(got, []int64{8, 9}) {
		t.Errorf("behind a gap: %v", got)
	}
	large := string(make([]byte, ringBytes/2))
	for head := range int64(4) {
		put(10+head, 1, large)
	}
	if got := len(fill(7, 13)) + len(fill(12, 13)); got != 1 {
		t.Errorf("%d events are kept of 8 MiB", got)
	}
	leave()
	put(14, 1, "x")
	if got := fill(12, 14); got != nil {
		t.Errorf("kept for nobody: %v", got)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Ends
		e.Publish(2, time.Time{})
		ended := errors.New("ended")
		var closed bool
		f := Follower{
			Ready: func(context.Context) error {
				if closed {
					return ended
				}
				return nil
			},
			Next: func(_ context.Context, after, head int64) (eventstore.Page, error) {
				return eventstore.Page{Through: after + 1, Head: head}, nil
			},
		}
		seen := make(chan string, 10)
		go func() {
			defer close(seen)
			for p, err := range e.Follow(t.Context(), 0, f) {
				seen <- fmt.Sprint(p.Through, "/", p.Head, " ", err)
			}
		}()
		next := func() (out []string) {
			synctest.Wait()
			for {
				select {
				case s, ok := <-seen:
					if !ok {
						return append(out, "end")
					}
					out = append(out, s)
				default:
					return out
				}
			}
		}
		for _, step := range []struct {
			do   func()
			want []string
		}{
			{func() {}, []string{"1/2 <nil>", "2/2 <nil>"}},
			{func() { e.Publish(1, time.Time{}) }, nil},
			{func() { e.Publish(3, time.Time{}) }, []string{"3/3 <nil>"}},
			{func() { closed = true; e.Close() }, []string{"0/0 ended", "end"}},
		} {
			step.do()
			if diff := cmp.Diff(step.want, next()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		e.Close()
		if e.Publish(9, time.Time{}); e.Newest().Position != 3 {
			t.Error("published after the end")
		}
	})
}

// A follower that polls finds what nobody published, and gives up with its context.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Ends
		e.Publish(1, time.Time{})
		ctx, stop := context.WithCancel(t.Context())
		asked := 0
		f := Follower{
			Ready: func(context.Context) error {
				if asked++; asked == 3 {
					e.Publish(2, time.Time{})
				}
				return nil
			},
			Next: func(_ context.Context, _, head int64) (eventstore.Page, error) {
				stop()
				return eventstore.Page{Through: head}, nil
			},
			Poll: time.Second,
		}
		began := time.Now()
		for p, err := range e.Follow(ctx, 1, f) {
			if p.Through != 2 || err != nil || time.Since(began) != 2*time.Second {
				t.Errorf("%+v, %v after %s", p, err, time.Since(began))
			}
		}
		if asked != 3 {
			t.Errorf("asked %d times", asked)
		}
	})
}
