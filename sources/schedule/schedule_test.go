package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// places is where a daemon keeps its sources' places.
type places map[string]string

func (p places) env() sources.Env {
	return sources.Env{
		Pipeline: "nightly", Now: time.Now, MaxEvents: 100,
		Cursor: func(_ context.Context, key string) (string, error) { return p[key], nil },
	}
}

// daemon runs a source for some time, in a bubble of synctest, and gives what came: "scheduled +late missed".
func (p places) daemon(t *testing.T, c Config, d time.Duration) (got []string) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c, p.env())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for m := range msgs {
		b := event.FromMessage(m)
		for i := range b.Events {
			e := &b.Events[i]
			if err := codec.Decode(e, event.EventBridge, 0); err != nil {
				t.Fatal(err)
			}
			missed, _ := rawjson.Get(e.Data, "missed")
			got = append(got, fmt.Sprintf("%s +%s %s", e.Time.Format("15:04:05"), time.Since(e.Time).Truncate(time.Second), missed))
			c := b.Cursor(i)
			p[c.Key] = c.Value
			b.Settle(i, event.Committed, nil)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return got
}

// bubble runs a test at midnight UTC on 1 January 2000, which is where synctest's clock starts.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Cron: "0 9 * * *", TimeZone: "America/New_York", Type: "Morning", Source: "me"}, places{}.env())
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := s.Subscribe(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		b := event.FromMessage(<-msgs)
		want := `{"id":"nightly/2000-01-01T14:00:00Z","source":"me","detail-type":"Morning","time":"2000-01-01T14:00:00Z","detail":{"scheduled":"2000-01-01T09:00:00-05:00","missed":0}}`
		if diff := cmp.Diff(want, string(b.Events[0].Raw)); diff != "" || len(b.Events) != 1 {
			t.Errorf("%d events (-want +got):\n%s", len(b.Events), diff)
		}
		if got := time.Now().UTC().Format(time.RFC3339Nano); got != "2000-01-01T14:00:00Z" {
			t.Errorf("it came at %s", got)
		}
		if got, want := b.Cursor(0), (event.Cursor{Key: "schedule:0 9 * * * America/New_York", Value: "2000-01-01T14:00:00Z"}); got != want {
			t.Errorf("its place is %v", got)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if !sources.TraitsOf(s).Ordered || sources.TraitsOf(s).Ends {
			t.Error("traits")
		}
	})
}

func TestMissed(t *testing.T) {
	for _, tt := range []struct {
		missed string
		down   time.Duration
		want   []string
	}{
		{"skip", 12 * time.Second, []string{"00:10:00 +2s 0", "00:20:00 +0s 0"}}, // within the grace
		{"skip", 5 * time.Minute, []string{"00:20:00 +0s 0"}},
		{"skip", 35 * time.Minute, []string{"00:50:00 +0s 0"}},
		{"once", 35 * time.Minute, []string{"00:40:00 +4m50s 3", "00:50:00 +0s 0"}},
		{"all", 35 * time.Minute, []string{"00:10:00 +34m50s 0", "00:20:00 +24m50s 0", "00:30:00 +14m50s 0", "00:40:00 +4m50s 0", "00:50:00 +0s 0"}},
	} {
		t.Run(fmt.Sprint(tt.missed, " ", tt.down), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := places{}
				c := Config{Cron: "*/10 * * * *", Missed: tt.missed}
				if got := p.daemon(t, c, 9*time.Minute+50*time.Second); got != nil {
					t.Errorf("before the first tick: %q", got)
				}
				// So that there is a place: the tick of midnight.
				p["schedule:*/10 * * * * UTC"] = "2000-01-01T00:00:00Z"
				<-time.After(tt.down)
				if diff := cmp.Diff(tt.want, p.daemon(t, c, 10*time.Minute)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestNothingIsMissedBeforeTheFirstTick(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := places{"schedule:0 * * * * UTC": "1999-12-01T00:00:00Z"} // of another expression
		if diff := cmp.Diff([]string{"00:10:00 +0s 0"}, p.daemon(t, Config{Cron: "*/10 * * * *"}, 15*time.Minute)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAYearOfSecondsIsPassedOverAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := places{"schedule:* * * * * * UTC": "1999-01-01T00:00:00Z", "schedule:@every 1s UTC": "1999-01-01T00:00:00Z"}
		for _, cron := range []string{"* * * * * *", "@every 1s"} {
			s, err := Open(t.Context(), Config{Cron: cron}, p.env())
			if err != nil {
				t.Fatal(err)
			}
			src := s.(*Source)
			due, last := src.due(time.Date(1999, 1, 1, 0, 0, 1, 0, time.UTC), time.Now())
			if len(due) != 1 || due[0].missed != countMissed || !last.Equal(time.Now()) {
				t.Errorf("%s: %v, %s", cron, due, last)
			}
		}
	})
}

func TestAllKeepsTheLimitOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := places{"schedule:* * * * * UTC": "1999-12-31T23:00:00Z"}
		env := p.env()
		env.MaxEvents = 7
		s, err := Open(t.Context(), Config{Cron: "* * * * *", Missed: "all"}, env)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		msgs, err := s.Subscribe(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for n < 60 {
			b := event.FromMessage(<-msgs)
			if n += len(b.Events); len(b.Events) > 7 {
				t.Errorf("a batch of %d", len(b.Events))
			}
		}
		stop()
		for range msgs {
			t.Error("more than was missed")
		}
	})
}

func TestPlacesThatCannotBeRead(t *testing.T) {
	for name, cursor := range map[string]func(context.Context, string) (string, error){
		"an error": func(context.Context, string) (string, error) { return "", errors.New("down") },
		"no time":  func(context.Context, string) (string, error) { return "x", nil },
	} {
		s, err := Open(t.Context(), Config{Cron: "@daily"}, sources.Env{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Subscribe(t.Context(), ""); err == nil {
			t.Errorf("%s: no error", name)
		}
		_ = s.Close()
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		c     Config
		field string // "": good
	}{
		{Config{Cron: "@daily", TimeZone: "Europe/London"}, ""},
		{Config{Cron: "@daily"}, ""},
		{Config{Cron: "* * *"}, "cron"},
		{Config{Cron: "@daily", TimeZone: "Mars/Base"}, "time_zone"},
		{Config{Cron: "@daily", TimeZone: "Local"}, "time_zone"},
	} {
		err := tt.c.Validate()
		var fe *config.FieldError
		if errors.As(err, &fe); (err == nil) != (tt.field == "") || (fe != nil && fe.Field != tt.field) {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
	both := Config{Cron: "0 25 * * *", TimeZone: "Mars/Base"}.Validate()
	if both == nil || !strings.Contains(both.Error(), "Mars/Base") || !strings.Contains(both.Error(), `hour "25"`) {
		t.Errorf("not both mistakes are named: %v", both)
	}
}
