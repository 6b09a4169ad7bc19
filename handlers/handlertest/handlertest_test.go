package handlertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/handlers/handlertest"
	"github.com/leatdev/leat/pipeline/event"
)

// counter counts up to a limit.
type counter struct{ Limit int }

func (counter) Evolve(s int, e event.Recorded) int {
	if e.Type == "Counted" {
		s++
	}
	return s
}

func (c counter) Decide(_ context.Context, s int, e event.Recorded) ([]event.Event, error) {
	switch {
	case e.Type == "Ignore":
		return nil, nil
	case e.Type == "Skip":
		return nil, event.Skip("no")
	case e.Type == "Panic":
		panic("boom")
	case e.Type == "Nonsense":
		return []event.Event{{Type: "", Data: []byte("{")}}, nil
	case s >= c.Limit:
		return nil, event.PoisonAs("full", fmt.Errorf("%d is all", c.Limit))
	}
	data, _ := json.Marshal(map[string]any{"n": s + 1, "at": e.Time})
	return []event.Event{{Type: "Counted", Data: data, Source: "counter"}}, nil
}

type config1 struct {
	handlers.Streams
	Limit int
}

func open(_ context.Context, c config1, env handlers.Env) (handlers.Handler, error) {
	if c.Limit == 0 {
		return nil, errors.New("no limit")
	}
	return handlers.NewAggregate(counter{c.Limit}, c.Streams, env)
}

func conf(state string) config1 {
	return config1{handlers.Streams{Stream: config.Text{Source: "count/{{ data.id }}"}, State: state, Version: 1}, 3}
}

func TestAggregate(t *testing.T) {
	for _, state := range []string{"", "counts"} {
		h := handlertest.New(t, open, conf(state))
		h.Given("count/a", handlertest.Event("Counted", `{}`), handlertest.Event("Other", `{}`))
		h.When(handlertest.Event("Count", `{"id":"a"}`)).ThenTo("count/a").Then(event.Event{Type: "Counted", Source: "counter", Data: []byte(`{ "n": 2, "at": "2026-01-31T12:00:00Z" }`)})
		h.At(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
		h.When(handlertest.Event("Count", `{"id":"a"}`)).Then(handlertest.Event("Counted", `{"at":"2027-01-01T00:00:00Z","n":3}`))
		h.When(handlertest.Event("Count", `{"id":"a"}`)).ThenPoison("full").ThenError("3 is all")
		h.When(handlertest.Event("Ignore", `{"id":"a"}`)).ThenNothing()
		h.When(handlertest.Event("Skip", `{"id":"a"}`)).ThenNothing()
		h.When(handlertest.Event("Count", `{"id":"b"}`)).ThenTo("count/b")
		h.When(handlertest.Event("Count", `{}`)).ThenPoison(event.CodeStream)
	}
}

// spy is a test that may fail.
type spy struct {
	testing.TB
	failed []string
}

type stop struct{}

func (s *spy) Errorf(format string, args ...any) {
	s.failed = append(s.failed, fmt.Sprintf(format, args...))
}
func (s *spy) Fatalf(format string, args ...any) { s.Errorf(format, args...); panic(stop{}) }
func (s *spy) Fatal(args ...any)                 { s.Fatalf("%s", fmt.Sprint(args...)) }
func (s *spy) Output() io.Writer                 { return io.Discard }

// Each check fails where it must, and says what differs.
func TestFailures(t *testing.T) {
	count := handlertest.Event("Count", `{"id":"a"}`)
	counted := handlertest.Event("Counted", `{"n":1,"at":"2026-01-31T12:00:00Z"}`)
	for name, tt := range map[string]struct {
		do   func(h *handlertest.H)
		want []string
	}{
		"other data": {func(h *handlertest.H) {
			h.When(count).Then(handlertest.Event("Counted", `{"n":2,"at":"2026-01-31T12:00:00Z"}`))
		}, []string{`-`, `"2"`, `+`, `"1"`}},
		"other type": {func(h *handlertest.H) { h.When(count).Then(handlertest.Event("Count", string(counted.Data))) }, []string{`"Counted"`}},
		"other source": {func(h *handlertest.H) {
			h.When(count).Then(event.Event{Type: "Counted", Source: "x", Data: counted.Data})
		}, []string{`"counter"`}},
		"one too many": {func(h *handlertest.H) { h.When(count).Then() }, []string{"Counted"}},
		"one too few":  {func(h *handlertest.H) { h.When(count).Then(counted, counted) }, []string{"Counted"}},
		"an error":     {func(h *handlertest.H) { h.When(handlertest.Event("Count", `{}`)).Then(counted) }, []string{"the handler failed", "want Counted"}},
		"no error":     {func(h *handlertest.H) { h.When(count).ThenError("full") }, []string{"gave Counted", "full"}},
		"other error":  {func(h *handlertest.H) { h.When(handlertest.Event("Count", `{}`)).ThenError("full") }, []string{"full"}},
		"not parked":   {func(h *handlertest.H) { h.When(count).ThenPoison("") }, []string{"did not park"}},
		"other code":   {func(h *handlertest.H) { h.When(handlertest.Event("Count", `{}`)).ThenPoison("full") }, []string{`"stream"`, `"full"`}},
		"something":    {func(h *handlertest.H) { h.When(count).ThenNothing() }, []string{"Counted"}},
		"stream":       {func(h *handlertest.H) { h.When(count).ThenTo("count/b") }, []string{"count/a", "count/b"}},
		"panic":        {func(h *handlertest.H) { h.When(handlertest.Event("Panic", `{"id":"a"}`)) }, []string{"panics", "boom"}},
		"nonsense":     {func(h *handlertest.H) { h.When(handlertest.Event("Nonsense", `{"id":"a"}`)) }, []string{"has no type"}},
		"no when":      {func(h *handlertest.H) { h.Then() }, []string{"Then without When"}},
		"bad stream":   {func(h *handlertest.H) { h.Given("count", count) }, []string{"type/id"}},
	} {
		s := &spy{TB: t}
		func() {
			defer func() {
				if v := recover(); v != nil {
					if _, ok := v.(stop); !ok {
						panic(v)
					}
				}
			}()
			tt.do(handlertest.New(s, open, conf("")))
		}()
		text := strings.Join(s.failed, "\n")
		if text == "" {
			t.Errorf("%s: nothing failed", name)
		}
		for _, w := range tt.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in:\n%s", name, w, text)
			}
		}
	}
	s := &spy{TB: t}
	func() {
		defer func() { _ = recover() }()
		handlertest.New(s, open, config1{})
	}()
	if len(s.failed) != 1 || !strings.Contains(s.failed[0], "no limit") {
		t.Errorf("open: %q", s.failed)
	}
}

// What the checks do not say can be looked at.
func TestErrAndOut(t *testing.T) {
	h := handlertest.New(t, open, conf(""))
	h.When(handlertest.Event("Count", `{"id":"a"}`))
	if out := h.Out(); h.Err() != nil || len(out) != 1 || out[0].Type != "Counted" || out[0].Stream.String() != "count/a" {
		t.Errorf("gave %+v, %v", out, h.Err())
	}
	h.Then(event.Event{Type: "Counted", Source: "counter", Data: []byte(`{ "n": 1, "at": "2026-01-31T12:00:00Z" }`)})
	h.Given("count/a", handlertest.Event("Counted", `{}`), handlertest.Event("Counted", `{}`))
	h.When(handlertest.Event("Count", `{"id":"a"}`))
	if !event.IsPoison(h.Err()) || event.Code(h.Err()) != "full" || len(h.Out()) != 0 {
		t.Errorf("gave %+v, %v", h.Out(), h.Err())
	}
	h.ThenPoison("full")
}
