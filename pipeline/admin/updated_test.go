package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
)

// counting is a store that counts the streams that it lists and the events that it is asked for.
type counting struct {
	eventstore.Store
	eventstore.Updates
	listed, far atomic.Int64
}

func (c *counting) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		for i, err := range c.Store.Streams(ctx, o) {
			c.listed.Add(1)
			if !yield(i, err) {
				return
			}
		}
	}
}

func (c *counting) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		for i, err := range c.Updates.Updated(ctx, typ, since, most) {
			if c.listed.Add(1); err != nil {
				c.far.Add(1)
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// fill makes streams in the order of what it gives, some of them with a second event later on.
func fill(t *testing.T, st eventstore.Store, many int) (ids []string, add func(id, event string)) {
	t.Helper()
	var units []*eventstore.Unit
	queue := func(id, e string) {
		units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "many", ID: id}, Events: []event.Event{{ID: e, Type: "T", Data: []byte("{}")}},
		}}})
	}
	flush := func() {
		if err := st.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		units = units[:0]
	}
	for i := range many {
		ids = append(ids, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String())
		queue(ids[i], fmt.Sprint(i))
		if i%10 == 9 {
			queue(ids[i/2], fmt.Sprint(i, "b"))
		}
		if len(units) >= 2000 {
			flush()
		}
	}
	flush()
	return ids, func(id, e string) { queue(id, e); flush() }
}

func counted(t *testing.T, st eventstore.Store) (*counting, *client.Client) {
	t.Helper()
	counts := &counting{Store: st, Updates: st.(eventstore.Updates)}
	c, err := client.Connect(serving(t, counts), "main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return counts, c
}

// TestPagesOfManyStreams: of a hundred thousand streams a page looks at few, wherever it begins.
func TestPagesOfManyStreams(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			st, c := counted(t, open(t))
			many := 100_000
			if testing.Short() {
				many = 20_000
			}
			fill(t, st.Store, many)
			key := ""
			for pages := range 4 {
				page := pageOf(t, c, key)
				if looked := st.listed.Swap(0); looked > 6000 || len(page.Streams) != 1000 || !page.HasMore {
					t.Errorf("page %d looked at %d streams and has %d", pages, looked, len(page.Streams))
				}
				if key = page.NextPageKey; pages == 1 { // as if all but the last few thousand had been read
					last := lastUpdate(t, st.Store)
					key = "ffffffff-ffff-ffff-ffff-ffffffffffff|many|" + last[max(0, len(last)-3)].Format(time.RFC3339Nano)
				}
			}
			if st.far.Load() > 0 {
				t.Errorf("the walk gave up %d times", st.far.Load())
			}
		})
	}
}

// lastUpdate gives the different times of the last events of the log, in order.
func lastUpdate(t *testing.T, st eventstore.Store) (times []time.Time) {
	t.Helper()
	for e, err := range st.ReadAll(t.Context(), eventstore.ReadOptions{Backwards: true, Max: 9000}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(times) == 0 || !times[0].Equal(e.Committed) {
			times = slices.Insert(times, 0, e.Committed)
		}
	}
	return times
}

// TestPagesAreStable: the pages hold each stream once and in the order of the updates, and what is updated meanwhile
// comes again, behind.
func TestPagesAreStable(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			st, c := counted(t, open(t))
			ids, add := fill(t, st.Store, 5000)
			seen, key, last := map[string]int{}, "", ""
			for pages := 0; ; pages++ {
				page := pageOf(t, c, key)
				for _, s := range page.Streams {
					at := s.UpdatedAt.Format("2006-01-02T15:04:05.000000000") + s.StreamID
					if at <= last {
						t.Fatalf("page %d: %s is not behind %s", pages, at, last)
					}
					last = at
					seen[s.StreamID]++
				}
				if pages == 2 {
					add(page.Streams[0].StreamID, "again")
				}
				if key = page.NextPageKey; !page.HasMore {
					break
				}
			}
			twice := 0
			for _, id := range ids {
				if twice += seen[id] - 1; seen[id] == 0 {
					t.Fatalf("%s did not come", id)
				}
			}
			if len(seen) != len(ids) || twice != 1 {
				t.Errorf("%d of %d streams, %d twice", len(seen), len(ids), twice)
			}
		})
	}
}

type streamPage struct {
	Streams []struct {
		StreamID  string
		UpdatedAt time.Time
	}
	HasMore     bool
	NextPageKey string
}

func pageOf(t *testing.T, c *client.Client, key string) streamPage {
	t.Helper()
	path := "/streams/many"
	if key != "" {
		path += "?stream-next-page-key=" + url.QueryEscape(key)
	}
	status, body, err := c.Get(t.Context(), path)
	var got struct{ StreamPage streamPage }
	if err != nil || status != 200 || json.Unmarshal(body, &got) != nil {
		t.Fatalf("%d %v %s", status, err, body[:min(len(body), 300)])
	}
	return got.StreamPage
}

// TestFarUpdates: where the oldest updates lie far on in the log, all streams of the type are looked at; the page is the
// same.
func TestFarUpdates(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			st, c := counted(t, open(t))
			var want []string
			for round := range 20 { // each stream has its last event in the last round
				var units []*eventstore.Unit
				for i := range 1100 {
					id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String()
					units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{
						Stream: event.Stream{Type: "many", ID: id}, Events: []event.Event{{ID: fmt.Sprint(round), Type: "T", Data: []byte("{}")}},
					}}})
					if round == 0 {
						want = append(want, id)
					}
				}
				if err := st.Store.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			first := pageOf(t, c, "")
			if st.far.Load() != 1 || !first.HasMore || len(first.Streams) != 1000 {
				t.Errorf("the walk gave up %d times; %d streams", st.far.Load(), len(first.Streams))
			}
			second := pageOf(t, c, first.NextPageKey)
			if st.far.Load() != 1 {
				t.Error("the second page begins where the first ended, and is found by the log")
			}
			var got []string
			for _, s := range append(first.Streams, second.Streams...) {
				got = append(got, s.StreamID)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || second.HasMore {
				t.Errorf("%d streams, want %d", len(got), len(want))
			}
		})
	}
}
