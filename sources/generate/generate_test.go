package generate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func fixed() sources.Env {
	return sources.Env{Now: func() time.Time { return now }, MaxEvents: 100, MaxBytes: 1 << 20, MaxEventSize: 1 << 20}
}

func start(t testing.TB, c Config, env sources.Env) (*Source, <-chan *message.Message) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c, env)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*Source), msgs
}

// all gives the bodies of a source that ends.
func all(t testing.TB, c Config, env sources.Env) (bodies []string) {
	t.Helper()
	_, msgs := start(t, c, env)
	for m := range msgs {
		b := event.FromMessage(m)
		for i := range b.Events {
			bodies = append(bodies, string(b.Events[i].Raw))
			b.Settle(i, event.Committed, nil)
		}
	}
	return bodies
}

func text(s string) config.Text { return config.Text{Source: s} }

func leaf(name, s string) config.Field {
	return config.Field{Name: name, Tree: config.Tree{Leaf: &config.Expr{Source: s}}}
}

func TestEvents(t *testing.T) {
	c := Config{
		Count: 2, ID: text("e-{{ index }}"), Type: text("T{{ index % 2 }}"), Source: text("demo"), Subject: text("s/{{ index }}"),
		Data: config.Tree{Fields: []config.Field{
			leaf("n", "index * 10"), leaf("of", "item.count"), leaf("a.b", `"x\"" + string(index)`), leaf("a.c", "[index, nil]"), leaf("at", "time"),
			{Name: "o", Tree: config.Tree{Fields: []config.Field{leaf("p", "true")}}},
		}},
	}
	want := []string{
		`{"specversion":"1.0","id":"e-0","source":"demo","type":"T0","subject":"s/0","time":"2026-01-02T03:04:05.0000006Z","data":{"n":0,"of":2,"a":{"b":"x\"0","c":[0,null]},"at":"2026-01-02T03:04:05.0000006Z","o":{"p":true}}}`,
		`{"specversion":"1.0","id":"e-1","source":"demo","type":"T1","subject":"s/1","time":"2026-01-02T03:04:05.0000006Z","data":{"n":10,"of":2,"a":{"b":"x\"1","c":[1,null]},"at":"2026-01-02T03:04:05.0000006Z","o":{"p":true}}}`,
	}
	got := all(t, c, fixed())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e := event.Event{Raw: []byte(got[1])}
	if err := codec.Decode(&e, event.Auto, 0); err != nil || e.Envelope != event.CloudEvents || e.Subject != "s/1" || !e.Time.Equal(now) {
		t.Errorf("%v: %+v", err, e)
	}
}

func TestDefaults(t *testing.T) {
	ids := map[string]bool{}
	for i, body := range all(t, Config{Count: 250}, fixed()) {
		e := event.Event{Raw: []byte(body)}
		if err := codec.Decode(&e, event.Auto, 0); err != nil {
			t.Fatal(err)
		}
		if ids[e.ID] || e.Type != "Generated" || e.Source != "leat.generate" || string(e.Data) != fmt.Sprintf(`{"index":%d}`, i) {
			t.Errorf("event %d: %s", i, body)
		}
		ids[e.ID] = true
	}
	if len(ids) != 250 {
		t.Errorf("%d events", len(ids))
	}
}

func TestRandomNumbersAreOfSeedAndIndex(t *testing.T) {
	c := Config{Count: 1000, Seed: 1, ID: text("{{ index }}"), Data: config.Tree{Leaf: &config.Expr{Source: "item.random"}}}
	first := all(t, c, fixed())
	small := c
	small.Batch, small.Count = 7, 100
	if diff := cmp.Diff(first[:100], all(t, small, fixed())); diff != "" {
		t.Errorf("other batches give other numbers:\n%s", diff)
	}
	c.Seed = 2
	second := all(t, c, fixed())
	different := map[string]bool{}
	for i := range first {
		_, a, _ := strings.Cut(first[i], `"data":`)
		_, b, _ := strings.Cut(second[i], `"data":`)
		if different[a] = true; a == b {
			t.Errorf("event %d: both seeds give %s", i, a)
		}
		if !strings.HasPrefix(a, "0.") {
			t.Errorf("%s is no number from 0 to 1", a)
		}
	}
	if len(different) < 999 {
		t.Errorf("only %d different numbers", len(different))
	}
}

func TestLimits(t *testing.T) {
	env := fixed()
	env.MaxEvents, env.MaxBytes, env.MaxEventSize = 5, 700, 200
	_, msgs := start(t, Config{Count: 20, Batch: 50, Data: config.Tree{Fields: []config.Field{leaf("x", `index == 3 ? "`+strings.Repeat("x", 500)+`" : ""`)}}}, env)
	n := 0
	for m := range msgs {
		b := event.FromMessage(m)
		if len(b.Events) == 0 || len(b.Events) > 5 || b.Size() > 700 {
			t.Errorf("a batch of %d events, %d bytes", len(b.Events), b.Size())
		}
		for i := range b.Events {
			if size := len(b.Events[i].Raw); (size == 201) != (n == 3) || size > 201 {
				t.Errorf("event %d has %d bytes", n, size)
			}
			n++
			b.Settle(i, event.Committed, nil)
		}
	}
	if n != 20 {
		t.Errorf("%d events", n)
	}
}

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		c     Config
		batch int
		gap   time.Duration
	}{
		{Config{Rate: 2}, 1, 500 * time.Millisecond},
		{Config{Rate: 100}, 10, 100 * time.Millisecond},
		{Config{Rate: 100000}, 100, time.Millisecond},
		{Config{Rate: 100, Batch: 50}, 50, 500 * time.Millisecond},
		{Config{Every: 3 * time.Second}, 1, 3 * time.Second},
		{Config{Every: 3 * time.Second, Batch: 4}, 4, 3 * time.Second},
		{Config{}, 100, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			env := fixed()
			env.Now = time.Now
			s, msgs := start(t, tt.c, env)
			begin := time.Now()
			for n := range 10 {
				b := event.FromMessage(<-msgs)
				if at := time.Since(begin); len(b.Events) != tt.batch || at != time.Duration(n)*tt.gap {
					t.Errorf("%+v: %d events after %s, want %d after %s", tt.c, len(b.Events), at, tt.batch, time.Duration(n)*tt.gap)
				}
			}
			_ = s.Close()
		})
	}
}

func TestAPauseIsMadeUpForInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := fixed()
		env.Now = time.Now
		s, msgs := start(t, Config{Rate: 10}, env)
		<-msgs
		<-time.After(time.Hour) // nothing is taken
		begin := time.Now()
		n := 0
		for time.Since(begin) < 2*time.Second {
			<-msgs
			n++
		}
		if n < 25 || n > 35 {
			t.Errorf("%d events in two seconds at 10 a second, a second behind", n)
		}
		_ = s.Close()
	})
}

func TestAnExpressionThatFailsEndsIt(t *testing.T) {
	s, msgs := start(t, Config{Count: 10, Data: config.Tree{Fields: []config.Field{leaf("x", "1 / (2 - index)")}}}, fixed())
	n := 0
	for m := range msgs {
		b := event.FromMessage(m)
		n += len(b.Events)
	}
	if err := s.Err(); n != 2 || err == nil || !strings.Contains(err.Error(), "generate: event 2: data: x: ") {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestStops(t *testing.T) {
	for _, c := range []Config{{}, {Every: time.Hour}} {
		s, err := Open(t.Context(), c, fixed())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		msgs, err := s.Subscribe(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		held := event.FromMessage(<-msgs)
		stop()
		for range msgs { // what was being sent
		}
		held.Settle(0, event.Committed, nil)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.(*Source).Err(); err != nil {
			t.Error(err)
		}
	}
	if s, _ := Open(t.Context(), Config{Count: 1}, fixed()); !sources.TraitsOf(s).Ends || !sources.TraitsOf(s).Ordered {
		t.Error("a source with a count ends, in order")
	} else if err := s.Close(); err != nil {
		t.Errorf("Close without Subscribe: %v", err)
	}
	if s, _ := Open(t.Context(), Config{}, fixed()); sources.TraitsOf(s).Ends {
		t.Error("a source without a count ends")
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		c     Config
		field string
	}{
		{Config{Rate: 1}, ""},
		{Config{Rate: 1, Every: time.Second}, "every"},
		{Config{Every: time.Microsecond}, "every"},
		{Config{Rate: 1e12}, "rate"},
	} {
		err := tt.c.Validate()
		var fe *config.FieldError
		if errors.As(err, &fe); (err == nil) != (tt.field == "") || (fe != nil && fe.Field != tt.field) {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	m, err := newMaker(&Config{Type: text("OrderCreated"), ID: text("o-{{ index }}"), Data: config.Tree{Fields: []config.Field{
		leaf("order_id", `"o-" + string(index)`), leaf("amount", "round(item.random * 10000) / 100"),
	}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		if _, err := m.event(i, now); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
